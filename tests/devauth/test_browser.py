"""What holds for every page and form: no frame, no script, no forgery, and nothing that a session should not keep."""

from __future__ import annotations

import aiohttp
import pytest

from gateway.devauth.server import DevelopmentServer
from tests.devauth.visitor import Page, Visitor

FORMS = ("/authorize/sign-in", "/authorize/sign-out", "/authorize/consent", "/device", "/device/sign-in")
FORMS = (*FORMS, "/device/sign-out", "/device/consent", "/end-session/confirm")


async def pages(visitor: Visitor) -> list[Page]:
    """One of each kind."""
    sign_in = await visitor.get(visitor.address())
    consent = await visitor.sign_in(sign_in)
    paths = ["/device", "/end-session", "/", "/grants", "/authorize?client_id=x", "/authorize/consent"]
    others = [await visitor.get(path, Accept="text/html") for path in [*paths, "/nothing"]]
    return [sign_in, consent, *(page for page in others if page.status != 302)]


async def test_no_page_can_be_framed_run_a_script_or_be_kept(visitor: Visitor) -> None:
    for page in await pages(visitor):
        policy = page.fields["Content-Security-Policy"]
        for directive in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"):
            assert directive in policy
        assert "script" not in policy
        assert "unsafe" not in policy
        assert page.fields["X-Frame-Options"] == "DENY"
        assert page.fields["X-Content-Type-Options"] == "nosniff"
        assert page.fields["Cache-Control"] == "no-store"
        assert page.fields["Content-Type"] == "text/html; charset=utf-8"
        assert "<script" not in page.text
        assert " style=" not in page.text
        assert "Access-Control-Allow-Origin" not in page.fields


async def test_forms_may_lead_to_the_scheme_of_the_clients_address_alone(visitor: Visitor) -> None:
    page = await visitor.get(visitor.address())
    assert page.fields["Content-Security-Policy"].endswith("form-action 'self' http:")
    assert (await visitor.get("/device")).fields["Content-Security-Policy"].endswith("form-action 'self'")


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("csrf_token", [None, "", "guess", "é"])
async def test_a_form_that_is_not_ours_is_refused(visitor: Visitor, path: str, csrf_token: str | None) -> None:
    await visitor.consent_page()
    told = await visitor.device()
    entered = {"username": "alice", "password": "alice", "decision": "approve", "user_code": told["user_code"]}
    forged = {} if csrf_token is None else {"csrf_token": csrf_token}
    page = await visitor.post(f"{path}?{visitor.address().partition('?')[2]}", {**entered, **forged})
    assert (page.status, "Location" in page.fields) == (403, False)
    assert (await visitor.poll(told["device_code"])).body["error"] == "authorization_pending"


@pytest.mark.parametrize("path", FORMS)
async def test_a_form_of_another_session_is_refused(visitor: Visitor, server: DevelopmentServer, path: str) -> None:
    """Else a thief could sign a victim in as himself, or let the victim approve."""
    await visitor.consent_page()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        _, fields = (await Visitor(server.issuer, session).get(visitor.address())).form()
    entered = {"username": "bob", "password": "bob", "decision": "approve", "user_code": "BCDF-GHJK"}
    page = await visitor.post(f"{path}?{visitor.address().partition('?')[2]}", {**fields, **entered})
    assert page.status == 403
    assert "alice" in (await visitor.get(visitor.address())).text


async def test_who_signs_in_gets_another_session_and_another_csrf_token(visitor: Visitor) -> None:
    page = await visitor.get(visitor.address())
    before = page.fields["Set-Cookie"]
    sent = await visitor.submit(page, "/sign-in", username="alice", password="alice")
    assert sent.fields["Set-Cookie"] != before
    consent = await visitor.get(sent.location)
    assert consent.form("/consent")[1]["csrf_token"] != page.form()[1]["csrf_token"]
    stale = await visitor.post(consent.form("/consent")[0], {**page.form()[1], "decision": "approve"})
    assert stale.status == 403


async def test_the_cookie_is_for_this_server_alone(visitor: Visitor) -> None:
    cookie = (await visitor.get(visitor.address())).fields["Set-Cookie"]
    name, _, rest = cookie.partition("=")
    assert name.startswith("devauth-")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(rest.split("; "))
    assert "Domain" not in cookie


async def test_who_signs_out_has_to_sign_in_again(visitor: Visitor) -> None:
    consent = await visitor.consent_page()
    sent = await visitor.submit(consent, "/sign-out")
    assert sent.location.startswith("/authorize?")
    page = await visitor.get(sent.location)
    assert page.title == "Sign in"
    assert "bob" in (await visitor.sign_in(page, "bob")).text
    assert (await visitor.submit(consent, "/consent", decision="approve")).status == 403


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"csrf_token=%ff", "application/x-www-form-urlencoded", 400),
        (b"\xff", "application/x-www-form-urlencoded", 400),
        (b"a=1&a=2", "application/x-www-form-urlencoded", 400),
        (b"{}", "application/json", 400),
        (b"x" * 70_000, "application/x-www-form-urlencoded", 413),
        (b"", "multipart/form-data; boundary=x", 400),
    ],
)
async def test_no_form_makes_it_fail(visitor: Visitor, body: bytes, content_type: str, status: int) -> None:
    for path in (*FORMS, "/authorize"):
        fields = {"Content-Type": content_type, "Accept": "text/html"}
        page = await visitor.post(path, body, **fields)
        assert page.status == status
        assert page.fields["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("query", ["%ff", "a=%ff&client_id=demo-web", "&&=&", "client_id", "a=1&" * 150])
async def test_no_query_makes_it_fail(visitor: Visitor, query: str) -> None:
    for path in ("/authorize", "/device", "/end-session"):
        assert (await visitor.get(f"{path}?{query}")).status in (200, 400)
