"""The page for people: what it shows in each state, in a browser too, and that a configured name is text."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Browser, Page
from pytest_aiohttp.plugin import AiohttpClient

from gateway.admin import status_page, status_site
from gateway.admin.installation import Installation, IssuerSeen, UpstreamSeen
from gateway.admin.refusals import Refusal
from gateway.admin.status_page import duration, number, page
from tests.admin.statuses import ENDPOINTS, NOW, document, figures, installation, route
from tests.admin.test_markup import Reader
from tests.chromium import SECONDS, running_chromium

EVIL = "<script>alert(1)</script>\"'><img src=//evil.example onerror=alert(2)>&amp;"
REFUSAL = Refusal(NOW, "read", "token_expired", 401, "id1")


def shown(told: dict[str, Any]) -> str:
    return " ".join(Reader(re.sub(r"<style>.*?</style>", "", page(told), flags=re.DOTALL)).text.split())


def evil() -> dict[str, Any]:
    """A document in which every text is an attack."""
    seen = Installation(
        (route(EVIL, hosts=(EVIL,), paths=(EVIL,), methods=(EVIL,), upstream=EVIL, scopes=(EVIL,)),),
        (IssuerSeen(EVIL, EVIL, "discovery", 1.0),),
        (UpstreamSeen(EVIL, (EVIL,), probed=True),),
    )
    told = figures()
    told.put("gateway_decisions", [((EVIL, "refuse", EVIL, EVIL), [1])])
    told.put("gateway_cache_operations", [((EVIL, "hit"), [1])])
    told.put("gateway_jwks_refresh", [((EVIL, EVIL), [1])])
    refusal = Refusal(NOW, EVIL, EVIL, 401, EVIL)
    refused = {"state": "refused", "since": NOW, "problem": EVIL, "needs_restart": [EVIL]}
    return document(
        seen, told, [refusal], workers={EVIL: EVIL}, redis={"state": EVIL, "required": False}, configuration=refused
    )


def test_a_gateway_that_is_well_has_no_trouble_to_tell() -> None:
    text = shown(document(refusals=[REFUSAL]))
    assert text.startswith("ready · oauth-gatewayoauth-gateway readyVersion ")
    assert "up 1 h, as of 2026-11-26 05:38:41 UTC, configuration of 2026-11-26 05:37:41 UTC." in text
    for part in (
        "scope_insufficient",
        "token_expired401id1",
        "/orders/{tenant}/**",
        "75.0 %",
        "3 min 20 s",
        "1 of 1 serve",
    ):
        assert part in text
    assert 'class="troubles"' not in page(document())


@pytest.mark.parametrize(
    ("told", "state", "trouble"),
    [
        (document(told=figures(age=5000)), "ready, with trouble", "keys of issuer corp can't be fetched"),
        (document(ready=False, issuers={"inline": "ready"}), "not ready", "keys of issuer corp were never had"),
        (document(told=figures(down=ENDPOINTS[1:])), "ready, with trouble", f"nothing is sent to {ENDPOINTS[1]}."),
        (document(redis={"state": "unavailable", "required": False}), "ready, with trouble", "Redis can't be used."),
        (
            document(told=figures(gateway_workers=1), workers={"0": "ready", "1": "restarting"}),
            "ready, with trouble",
            "1 of 2 workers serve.",
        ),
        (
            document(configuration={"state": "refused", "since": NOW, "problem": "gateway.yaml:1:1: it is wrong"}),
            "ready, with trouble",
            "The last reload was refused, the configuration of before is in use: gateway.yaml:1:1: it is wrong",
        ),
        (
            document(configuration={"state": "current", "needs_restart": ["listen", "workers"]}),
            "ready, with trouble",
            "A restart is needed for what the configuration says of listen, workers.",
        ),
        (document(draining=True, ready=False), "draining", ""),
    ],
    ids=["stale", "waiting", "endpoint", "redis", "worker", "reload", "restart", "draining"],
)
def test_trouble_stands_at_the_top(told: dict[str, Any], state: str, trouble: str) -> None:
    text = shown(told)
    assert text.startswith(f"{state} · oauth-gateway")
    assert trouble in text[: text.index("requests")]


def test_nothing_of_nothing_is_a_page_too() -> None:
    text = shown(document(Installation(), issuers={}))
    assert text.count("There is none.") == 3


def test_of_very_many_routes_those_that_are_used_most_are_shown() -> None:
    text = shown(document(installation(*(route(f"r{n}") for n in range(1000)), route("read"))))
    assert "The 200 that are used most; 801 more are in /status.json." in text
    assert "r198" in text
    assert "r199" not in text


def test_whatever_is_configured_is_text() -> None:
    told = evil()
    read = Reader(page(told))
    assert not {"script", "img", "a", "link", "iframe"} & set(read.elements)
    assert EVIL in read.text
    assert not [value for value in read.attributes if value and "evil" in value]


def test_the_style_is_the_only_thing_that_the_policy_lets_in() -> None:
    policy = status_page.FIELDS["Content-Security-Policy"]
    [style] = re.findall(r"<style>(.*?)</style>", page(document()), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert "</" not in style
    assert "url(" not in style
    assert "style=" not in page(evil()).replace(style, "")


def test_numbers_and_durations_are_for_people() -> None:
    assert number(1_234_567) == "1\u202f234\u202f567"
    for seconds, words in ((0.4, "0 s"), (59, "59 s"), (60, "1 min"), (3661, "1 h 1 min"), (90_061, "1 d 1 h")):
        assert duration(seconds) == words


async def opened(browser: Browser, aiohttp_client: AiohttpClient, told: dict[str, Any], **options: Any) -> Page:
    """The page from a real listener, in a fresh window; a message of the console fails the test."""

    async def read() -> dict[str, Any]:
        return told

    application = web.Application()
    application.add_routes(status_site.routes(read))
    client = await aiohttp_client(application)
    window = await (await browser.new_context(**options)).new_page()
    window.set_default_timeout(SECONDS * 1000)
    messages: list[str] = []
    window.on("console", lambda message: messages.append(message.text))
    window.on("request", lambda request: messages.append(request.url))
    window.on("dialog", lambda dialog: messages.append(dialog.message))
    address = str(client.make_url("/status"))
    await window.goto(address)
    assert [message for message in messages if message != address and not message.endswith("/favicon.ico")] == []
    return window


async def test_a_browser_shows_it_in_every_size_and_scheme_without_a_complaint(aiohttp_client: AiohttpClient) -> None:
    async with running_chromium() as browser:
        for told in (document(refusals=[REFUSAL]), evil()):
            for width, scheme in ((1280, "light"), (390, "dark")):
                window = await opened(
                    browser,
                    aiohttp_client,
                    told,
                    viewport={"width": width, "height": 800},
                    color_scheme=scheme,
                )
                assert "oauth-gateway" in await window.locator("h1").inner_text()
                assert await window.locator("section").count() == 7
                # Nothing to be scrolled sideways, however long a name is.
                assert await window.evaluate("document.documentElement.scrollWidth <= innerWidth")
                back = await window.evaluate("getComputedStyle(document.body).backgroundColor")
                assert back == {"light": "rgb(245, 246, 248)", "dark": "rgb(18, 22, 28)"}[scheme]


async def test_on_a_phone_each_figure_says_what_it_is(aiohttp_client: AiohttpClient) -> None:
    async with running_chromium() as browser:
        window = await opened(
            browser, aiohttp_client, document(refusals=[REFUSAL]), viewport={"width": 390, "height": 800}
        )
        label = "getComputedStyle(document.querySelector('td'), '::before').content"
        assert await window.evaluate(label) == '"Reason"'
        assert await window.locator("thead").first.bounding_box() is not None  # still there for screen readers
