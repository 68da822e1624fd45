"""The tour's web application over HTTP: who may press its buttons, in which order, and what it never says."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
import pytest

from gateway.demo import site
from gateway.demo.stories import STORIES
from gateway.demo.stories.device import INTERVAL_AFTER_SLOW_DOWN
from gateway.demo.world import World
from tests.devauth.visitor import Page, Visitor


@pytest.fixture
async def address(world: World) -> AsyncIterator[str]:
    async with site.running(world, 0) as running:
        yield running.removesuffix("/")


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    # `unsafe`: cookies of an address, not of a name.
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as opened:
        yield opened


@dataclass
class Browser:
    """Somebody on the tour; goes nowhere by itself."""

    address: str
    session: aiohttp.ClientSession

    async def get(self, path: str, **fields: str) -> Page:
        return await Visitor(self.address, self.session).get(path, **fields)

    async def post(self, path: str, form: Mapping[str, str] | None = None, **fields: str) -> Page:
        return await Visitor(self.address, self.session).post(path, form or {}, **fields)

    async def press(self, page: Page, ending: str = "") -> Page:
        """Send the form of a page that leads there, and open what it leads to."""
        action, fields = page.form(ending)
        sent = await self.post(action, fields)
        assert sent.status == 303, sent.text
        return await self.get(sent.location)

    async def signed_in(self, page: Page) -> str:
        """Follow the link to the authorization server, sign in and approve; where it sends the browser to."""
        link = re.search(r'href="(http://[^"]+/authorize\?[^"]+)"', page.text)
        assert link is not None
        visitor = Visitor("", self.session)
        asked = await visitor.get(link[1].replace("&amp;", "&"))
        issuer = link[1].partition("/authorize")[0]
        visitor = Visitor(issuer, self.session)
        consent = await visitor.sign_in(asked) if "Sign in" in asked.title else asked
        return (await visitor.submit(consent, "/consent", decision="approve")).location


@pytest.fixture
def browser(address: str, session: aiohttp.ClientSession) -> Browser:
    return Browser(address, session)


async def test_the_start_has_every_story_and_the_addresses_of_this_run(browser: Browser, world: World) -> None:
    page = await browser.get("/")
    for story in STORIES:
        assert f'href="/{story.name}"' in page.text
    for place in (world.issuer, world.origin, browser.address):
        assert place in page.text


async def test_a_step_is_taken_by_its_button_and_can_be_loaded_again(browser: Browser) -> None:
    page = await browser.press(await browser.get("/who-is-who"))
    assert page.title == "Ask without a token (Who is who, step 1 of 4)"
    assert "401 token_missing" in page.text
    again = await browser.get("/who-is-who/1")
    assert again.text == page.text
    assert (await browser.press(page, "/2")).title.startswith("Who guards this API?")


async def test_a_step_pressed_twice_is_taken_once(browser: Browser) -> None:
    page = await browser.get("/who-is-who")
    action, fields = page.form()
    answers = await asyncio.gather(*(browser.post(action, fields) for _ in range(5)))
    assert {(answer.status, answer.location) for answer in answers} == {(303, "/who-is-who/1")}
    numbers = re.findall("X-Request-Id:</span> ([0-9a-f]+)", (await browser.get("/who-is-who/1")).text)
    assert len(numbers) == 1


async def test_no_step_can_be_taken_before_its_turn(browser: Browser) -> None:
    page = await browser.get("/who-is-who")
    _, fields = page.form()
    for number in (2, 4, 99):
        assert (await browser.post(f"/who-is-who/{number}", fields)).location == "/who-is-who"
        assert (await browser.get(f"/who-is-who/{number}")).location == "/who-is-who"
    await browser.press(page)
    assert (await browser.get("/who-is-who/3")).location == "/who-is-who/1"


async def test_a_story_can_be_started_again(browser: Browser) -> None:
    page = await browser.press(await browser.get("/who-is-who"))
    page = await browser.press(page, "/again")
    assert page.title == "Who is who"
    assert (await browser.get("/who-is-who/1")).location == "/who-is-who"


async def test_who_comes_back_to_a_story_goes_on_where_they_were(browser: Browser) -> None:
    await browser.press(await browser.get("/who-is-who"))
    assert 'href="/who-is-who/1"' in (await browser.get("/who-is-who")).text
    start = await browser.get("/")
    assert "Go on where you were" in start.text
    assert "1 of 4 steps taken" in start.text


async def test_the_code_comes_back_and_is_gone_from_the_address_at_once(browser: Browser) -> None:
    page = await browser.press(await browser.get("/code"))
    location = await browser.signed_in(page)
    assert location.startswith(f"{browser.address}/callback?code=")
    answer = await browser.get(location)
    assert (answer.status, answer.location) == (302, "/code/2")
    assert answer.fields["Referrer-Policy"] == "no-referrer"
    page = await browser.get("/code/2")
    assert "<strong>GET /callback?code=" in page.text
    # The cookies of the browser are nobody's business.
    assert "Cookie:</span> (not shown)" in page.text
    # A second time it changes nothing.
    assert (await browser.get(location)).location == "/code/2"
    page = await browser.press(page, "/3")
    assert "200" in page.text
    assert page.title.startswith("The code for tokens")


async def test_nobody_can_make_another_browser_take_their_answer(browser: Browser, address: str) -> None:
    """Login CSRF: the victim's browser is sent to the callback with the attacker's code."""
    page = await browser.press(await browser.get("/code"))
    location = await browser.signed_in(page)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        victim = Browser(address, session)
        assert (await victim.get(location)).status == 400
        await victim.press(await victim.get("/code"))
        assert (await victim.get(location)).status == 400
        assert (await victim.get("/code/2")).location == "/code/1"


@pytest.mark.parametrize("query", ["", "?code=a", "?state=", "?state=a&state=a&code=b", "?state=%ff", "?error=x"])
async def test_an_answer_that_nobody_asked_for_is_refused_without_an_echo(browser: Browser, query: str) -> None:
    await browser.press(await browser.get("/code"))
    page = await browser.get(f"/callback{query}", Accept="text/html")
    assert page.status == 400
    assert page.title == "This answer belongs to nobody here"


@pytest.mark.parametrize("form", [{}, {"form_token": ""}, {"form_token": "guessed"}])
async def test_a_form_of_another_page_does_nothing(browser: Browser, form: dict[str, str]) -> None:
    await browser.get("/who-is-who")
    for path in ("/who-is-who/1", "/who-is-who/again"):
        page = await browser.post(path, form)
        assert (page.status, page.title) == (403, "This button is not good any more")
    assert (await browser.get("/who-is-who/1")).location == "/who-is-who"


async def test_the_token_of_a_form_is_good_with_its_own_cookie_alone(browser: Browser, address: str) -> None:
    _, fields = (await browser.get("/who-is-who")).form()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        other = Browser(address, session)
        assert (await other.post("/who-is-who/1", fields)).status == 403
        await other.get("/who-is-who")
        assert (await other.post("/who-is-who/1", fields)).status == 403


async def test_the_cookie_is_for_this_server_and_no_script(browser: Browser) -> None:
    cookie = (await browser.get("/code")).fields["Set-Cookie"]
    assert re.match(r"tour-[0-9a-f]{8}=[\w-]{43};", cookie)
    for attribute in ("HttpOnly", "SameSite=Lax", "Path=/"):
        assert attribute in cookie


@pytest.mark.parametrize("host", ["evil.com", "127.0.0.1.evil.com", "10.0.0.1"])
async def test_a_page_that_gives_its_name_our_address_gets_nothing(browser: Browser, host: str) -> None:
    """DNS rebinding: for the browser, such a page and we are one origin."""
    for path in ("/", "/configuration", "/code"):
        page = await browser.get(path, Host=host)
        assert page.status == 421
        assert "demo-admin-token" not in page.text


@pytest.mark.parametrize("host", ["localhost", "[::1]:1", "127.0.0.2", "LOCALHOST:80"])
async def test_who_comes_by_another_name_of_this_machine_is_sent_to_ours(browser: Browser, host: str) -> None:
    """Else the cookie would be that of the other name, and the answer of a sign-in would find nobody."""
    page = await browser.get("/code?a=%20b", Host=host)
    assert (page.status, page.location) == (302, f"{browser.address}/code?a=%20b")
    assert (await browser.get("//evil.com/..", Host=host)).location.startswith(f"{browser.address}/")


async def test_no_page_runs_scripts_or_shows_in_a_frame_or_is_stored(browser: Browser) -> None:
    await browser.press(await browser.get("/who-is-who"))
    for path in ("/", "/who-is-who", "/who-is-who/1", "/configuration"):
        fields = (await browser.get(path)).fields
        assert "default-src 'none'" in fields["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in fields["Content-Security-Policy"]
        assert fields["Cache-Control"] == "no-store"


async def test_what_is_not_there_is_a_page_for_people_and_json_for_programs(browser: Browser) -> None:
    for path in ("/nothing", "/nothing/1", "/code/0", "/code/x"):
        assert (await browser.get(path, Accept="text/html")).title == "Not Found"
        assert (await browser.get(path)).body["error"] == "invalid_request"
    assert (await browser.post("/", Accept="text/html")).status == 405


async def test_the_configuration_is_shown_line_by_line(browser: Browser, world: World) -> None:
    page = await browser.get("/configuration")
    lines = world.configuration.read_text().splitlines()
    assert page.text.count("<li id=") == len(lines)
    assert f'<li id="L{len(lines)}">' in page.text


async def test_malformed_bytes_and_long_forms_get_an_answer_that_repeats_nothing(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    page = await browser.post("/code/1", {"form_token": "CANARY" * 1000})
    assert page.status in (403, 413)
    assert "CANARY" not in page.text
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(browser.address).port)
    writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: CANARY\x01\r\n\r\n")
    got = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    assert got.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
    assert b"CANARY" not in got
    assert "CANARY" not in "".join(
        record.getMessage() for record in caplog.records if record.name.startswith("gateway")
    )


async def test_no_token_is_in_an_address_or_in_the_log(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="gateway")
    page = await browser.get("/client-credentials")
    for number in range(1, 5):
        page = await browser.press(page, f"/{number}")
    tokens = set(re.findall(r'<code class="value">(eyJ[\w.-]{100,})</code>', page.text))
    assert tokens
    assert not any(token in value for token in tokens for value in re.findall('(?:href|action)="([^"]*)"', page.text))
    assert not any(token in record.getMessage() for token in tokens for record in caplog.records)


async def test_a_time_runs_down_in_the_page_before_its_button_comes(browser: Browser) -> None:
    page = await browser.press(await browser.get("/device-code"))
    action, fields = page.form("/2")
    sent = await browser.post(action, fields)
    pieces: list[bytes] = []
    async with browser.session.get(f"{browser.address}{sent.location}") as answer:
        async for piece in answer.content.iter_any():
            pieces.append(piece)
    assert b"<button" not in pieces[0].partition(b'class="panel"')[2]
    assert len(pieces) > 2
    text = b"".join(pieces).decode()
    numbers = [int(number) for number in re.findall(r"<b>(\d+) s</b>", text)]
    assert numbers == sorted(set(numbers), reverse=True)
    assert numbers[0] > numbers[-1] == 0
    assert 'action="/device-code/3"' in text
    # Now there is nothing to wait for.
    assert 'class="countdown"' not in (await browser.get("/device-code/2")).text


async def test_who_presses_too_soon_waits_until_it_is_time(browser: Browser) -> None:
    page = await browser.press(await browser.get("/device-code"))
    action, fields = page.form("/2")
    loop = asyncio.get_running_loop()
    began = loop.time()
    await browser.post(action, fields)
    answer = await browser.post("/device-code/3", fields)
    assert loop.time() - began >= INTERVAL_AFTER_SLOW_DOWN
    page = await browser.get(answer.location)
    # Nobody has approved, and the device was not told to slow down once more.
    assert "expected 200, got 400 authorization_pending" in page.text


async def test_without_a_port_it_takes_the_usual_one_or_another(world: World) -> None:
    async with site.running(world) as first, site.running(world) as second:
        assert first != second
        async with aiohttp.ClientSession() as session:
            for address in (first, second):
                async with session.get(address) as answer:
                    assert answer.status == 200


async def test_it_ends_while_a_time_runs_down(world: World, session: aiohttp.ClientSession) -> None:
    async with contextlib.AsyncExitStack() as stack:
        address = await stack.enter_async_context(site.running(world, 0))
        browser = Browser(address.removesuffix("/"), session)
        page = await browser.press(await browser.get("/device-code"))
        action, fields = page.form("/2")
        sent = await browser.post(action, fields)
        async with session.get(f"{browser.address}{sent.location}") as loading:
            await loading.content.readuntil(b'<span class="countdown"')
            await stack.aclose()
            with pytest.raises(aiohttp.ClientPayloadError):
                await loading.read()
