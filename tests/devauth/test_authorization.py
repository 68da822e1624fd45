"""The authorization endpoint over HTTP: pages, answers to the client, and the errors that RFC 6749 and OpenID name."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import aiohttp
import pytest

from gateway.devauth.clients import Client
from gateway.devauth.defaults import USERS
from gateway.devauth.server import DevelopmentServer
from tests.devauth.hostile import HOSTILE
from tests.devauth.visitor import CALLBACK, REQUEST, Clock, Page, Visitor

OPAQUE = {"client_id": "demo-opaque", "code_challenge": None, "code_challenge_method": None}


async def is_refused_with_a_page(visitor: Visitor, address: str) -> Page:
    """Whether nobody but the user is told: nothing leads away from here."""
    page = await visitor.get(address)
    assert page.status == 400, page.text
    assert "Location" not in page.fields
    assert "<a rel" not in page.text
    return page


async def error_of(visitor: Visitor, changes: dict[str, str | None]) -> dict[str, str]:
    """The error that goes to the client."""
    page = await visitor.get(visitor.address(changes))
    assert page.status == 302, page.text
    assert page.location.startswith(changes.get("redirect_uri") or CALLBACK)
    answer = page.answer
    assert "code" not in answer
    return answer


async def test_who_signs_in_and_approves_comes_back_with_code_state_and_issuer(visitor: Visitor) -> None:
    page = await visitor.get(visitor.address())
    assert (page.status, page.title) == (200, "Sign in")
    consent = await visitor.sign_in(page)
    assert consent.title == "Give access to Demo web application?"
    sent = await visitor.submit(consent, "/consent", decision="approve")
    assert sent.status == 303
    assert sent.location.startswith(f"{CALLBACK}?")
    answer = sent.answer
    assert len(answer.pop("code")) == 43
    assert answer == {"state": "a state", "iss": visitor.issuer}


async def test_the_consent_page_explains_what_is_asked_for_and_where_it_leads(visitor: Visitor) -> None:
    page = await visitor.consent_page({"scope": "openid orders:write"})
    for text in ("Know which user you are", "Place orders in your name", "http://127.0.0.1:8123", "alice", "1 hour"):
        assert text in page.text
    assert "Read your orders" not in page.text


async def test_a_denied_consent_is_access_denied_and_no_code(visitor: Visitor) -> None:
    sent = await visitor.submit(await visitor.consent_page(), "/consent", decision="deny")
    answer = sent.answer
    assert (sent.status, answer["error"], answer["state"]) == (303, "access_denied", "a state")
    assert answer["iss"] == visitor.issuer
    assert "code" not in answer


async def test_a_decision_that_is_neither_is_no_consent(visitor: Visitor) -> None:
    for decision in ("", "APPROVE", "yes"):
        answer = (await visitor.submit(await visitor.consent_page(), "/consent", decision=decision)).answer
        assert (answer["error"], "code" in answer) == ("invalid_request", False)


async def test_a_wrong_password_is_told_once_and_gives_nothing(visitor: Visitor) -> None:
    page = await visitor.get(visitor.address())
    for name, password in (("alice", "bob"), ("nobody", "nobody"), ("alice", "")):
        page = await visitor.sign_in(page, name, password)
        assert page.title == "Error: Sign in"
        assert "User name or password is wrong." in page.text
        assert f'value="{name}"' in page.text
    assert (await visitor.get(visitor.address())).title == "Sign in"


async def test_whoever_guesses_passwords_has_to_wait(visitor: Visitor, clock: Clock) -> None:
    page = await visitor.get(visitor.address())
    for _ in range(10):
        page = await visitor.sign_in(page, "alice", "guess")
    page = await visitor.sign_in(page, "alice", "alice")
    assert "Too many attempts" in page.text
    assert "Give access" in (await visitor.sign_in(page, "bob")).title
    clock.now += 61
    page = await visitor.sign_in(await visitor.get(visitor.address({"prompt": "login"})), "alice")
    assert "Give access" in page.title


@pytest.mark.parametrize("redirect_uri", HOSTILE)
async def test_no_address_that_is_not_the_clients_is_ever_redirected_to(visitor: Visitor, redirect_uri: str) -> None:
    for changes in ({}, {"response_type": "token"}, {"scope": "nonsense"}, {"prompt": "none"}):
        page = await is_refused_with_a_page(visitor, visitor.address({**changes, "redirect_uri": redirect_uri}))
        assert "redirect_uri is not registered" in page.text
        # Not even as a text: a page is no place for other people's words.
        assert "evil.com" not in page.text


@pytest.mark.parametrize("redirect_uri", [HOSTILE[0], "///evil.com", "/\\evil.com", "https:evil.com"])
async def test_no_form_leads_to_such_an_address_either(visitor: Visitor, redirect_uri: str) -> None:
    consent = await visitor.consent_page()
    action, fields = consent.form("/consent")
    hostile = visitor.address({"redirect_uri": redirect_uri}).partition("?")[2]
    forged = await visitor.post(f"{action.partition('?')[0]}?{hostile}", {**fields, "decision": "approve"})
    assert (forged.status, "Location" in forged.fields) == (400, False)


@pytest.mark.parametrize("query", ["", "//evil.com", "next=//evil.com", "%0d%0aLocation:https://evil.com"])
async def test_signing_in_leads_back_to_this_server_alone(visitor: Visitor, query: str) -> None:
    _, fields = (await visitor.get(visitor.address())).form("/sign-in")
    sent = await visitor.post(f"/authorize/sign-in?{query}", {**fields, "username": "alice", "password": "alice"})
    assert (sent.status, sent.location.startswith("/authorize?")) == (303, True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"client_id": None}, "client_id is missing or unknown"),
        ({"client_id": "nobody"}, "client_id is missing or unknown"),
        ({"client_id": "<b>"}, "client_id is missing or unknown"),
        ({"redirect_uri": None}, "redirect_uri is missing"),
        ({"redirect_uri": ""}, "redirect_uri is missing"),
        ({"client_id": "demo-service"}, "redirect_uri is not registered"),
        ({"client_id": "demo-device"}, "redirect_uri is not registered"),
    ],
)
async def test_where_nobody_knows_the_client_only_the_user_is_told(
    visitor: Visitor, changes: dict[str, str | None], said: str
) -> None:
    page = await is_refused_with_a_page(visitor, visitor.address(changes))
    assert said in page.text
    assert re.search("OAuth error: <code>invalid_(client|request)</code>", page.text)


@pytest.mark.parametrize(
    "extra", ["&client_id=demo-opaque", "&client_id=demo-web", "&redirect_uri=http://localhost/"], ids=str
)
async def test_two_clients_or_addresses_are_nobodys(visitor: Visitor, extra: str) -> None:
    await is_refused_with_a_page(visitor, visitor.address() + extra)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "nonsense"}, "unsupported_response_type"),
        ({"response_type": '"<é>\\'}, "unsupported_response_type"),
        ({"response_type": "none"}, "unsupported_response_type"),
        ({"response_mode": "form_post"}, "invalid_request"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"scope": "nonsense"}, "invalid_scope"),
        ({"scope": "orders:read admin"}, "invalid_scope"),
        ({"scope": "orders:read\torders:write"}, "invalid_scope"),
        ({"request": "e30.e30."}, "request_not_supported"),
        ({"request_uri": "https://good.com/x"}, "request_uri_not_supported"),
        ({"registration": "{}"}, "registration_not_supported"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "\u0661"}, "invalid_request"),
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": "s256"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge": "a" * 43 + "\n"}, "invalid_request"),
    ],
)
async def test_what_a_known_client_does_wrong_it_is_told_with_state_and_issuer(
    visitor: Visitor, changes: dict[str, str | None], error: str
) -> None:
    answer = await error_of(visitor, changes)
    assert answer["error"] == error
    assert re.fullmatch(r"[ !#-\[\]-~]+", answer["error_description"])
    assert (answer["state"], answer["iss"]) == ("a state", visitor.issuer)


async def test_a_parameter_that_comes_twice_is_an_error_and_a_doubled_state_is_not_sent(visitor: Visitor) -> None:
    page = await visitor.get(visitor.address() + "&scope=openid")
    assert (page.answer["error"], page.answer["state"]) == ("invalid_request", "a state")
    page = await visitor.get(visitor.address() + "&state=other")
    assert page.answer["error"] == "invalid_request"
    assert "state" not in page.answer


@pytest.mark.parametrize("response_type", ["token", "id_token", "id_token token", "code token", "code id_token"])
async def test_who_asks_for_implicit_finds_the_error_in_the_fragment_and_a_page_that_says_why(
    visitor: Visitor, response_type: str
) -> None:
    page = await visitor.get(visitor.address({"response_type": response_type}))
    assert page.location.startswith(f"{CALLBACK}#")
    assert page.answer["error"] == "unsupported_response_type"
    explained = await visitor.get(page.answer["error_uri"])
    assert explained.status == 200
    assert 'id="implicit"' in explained.text


@pytest.mark.parametrize("state", ["a b&c=d#e?/+%", "\u00e9\U0001f600", "<script>", "x" * 2000])
async def test_state_comes_back_as_it_was(visitor: Visitor, state: str) -> None:
    sent = await visitor.submit(await visitor.consent_page({"state": state}), "/consent", decision="approve")
    assert sent.answer["state"] == state


@pytest.mark.parametrize("redirect_uri", ["http://127.0.0.1:1", "http://localhost:2/a?b=%20c&d", "http://[::1]:3/"])
async def test_each_loopback_address_is_the_clients_and_stays_as_it_was(visitor: Visitor, redirect_uri: str) -> None:
    sent = await visitor.submit(
        await visitor.consent_page({"redirect_uri": redirect_uri}), "/consent", decision="approve"
    )
    joint = "&" if "?" in redirect_uri else "?"
    assert sent.location.startswith(f"{redirect_uri}{joint}code=")


async def test_a_request_by_post_is_answered_too(visitor: Visitor) -> None:
    sent = await visitor.post("/authorize", REQUEST)
    assert sent.status == 303
    assert (await visitor.get(sent.location)).title == "Sign in"
    twice = await visitor.post("/authorize", urlencode([*REQUEST.items(), ("scope", "openid")]).encode())
    assert twice.status == 400


@pytest.mark.parametrize("form", ["sign-in", "sign-out", "consent"])
async def test_the_address_of_a_form_leads_to_the_request(visitor: Visitor, form: str) -> None:
    query = visitor.address().partition("?")[2]
    page = await visitor.get(f"/authorize/{form}?{query}")
    assert (page.status, page.location) == (302, f"/authorize?{await query_as_seen(visitor)}")


async def query_as_seen(visitor: Visitor) -> str:
    """The query as the server writes it: a few characters need no percent-encoding."""
    action, _ = (await visitor.get(visitor.address())).form("/sign-in")
    return action.partition("?")[2]


# --- prompt, max_age and remembered consent (OpenID Connect Core §3.1.2.1) ---------------------------------------


async def test_without_a_page_there_is_a_code_for_who_is_signed_in_and_has_consented(visitor: Visitor) -> None:
    await visitor.code()
    page = await visitor.get(visitor.address({"prompt": "none"}))
    assert (page.status, "code" in page.answer) == (302, True)


@pytest.mark.parametrize(
    "changes",
    [{"scope": "openid profile orders:read orders:write"}, {"redirect_uri": "http://127.0.0.1:9/callback"}, OPAQUE],
    ids=["more scopes", "another port", "another client"],
)
async def test_what_was_not_consented_to_needs_a_page(visitor: Visitor, changes: dict[str, str | None]) -> None:
    await visitor.code()
    answer = await error_of(visitor, {**changes, "prompt": "none"})
    assert answer["error"] == "consent_required"


async def test_less_than_what_was_consented_to_needs_none(visitor: Visitor) -> None:
    await visitor.code()
    assert "code" in (await visitor.get(visitor.address({"scope": "openid", "prompt": "none"}))).answer


async def test_a_denial_is_no_consent(visitor: Visitor) -> None:
    await visitor.submit(await visitor.consent_page(), "/consent", decision="deny")
    assert (await error_of(visitor, {"prompt": "none"}))["error"] == "consent_required"


async def test_a_public_client_is_asked_for_each_time_and_one_with_a_secret_once(visitor: Visitor) -> None:
    await visitor.code()
    assert "Give access" in (await visitor.get(visitor.address())).title
    await visitor.code(OPAQUE)
    assert "code" in (await visitor.get(visitor.address(OPAQUE))).answer
    assert "Give access" in (await visitor.get(visitor.address({**OPAQUE, "prompt": "consent"}))).title


@pytest.mark.parametrize("prompt", ["login", "select_account", "login consent"])
async def test_a_client_may_want_a_password_each_time(visitor: Visitor, prompt: str) -> None:
    await visitor.code()
    for _ in range(2):
        page = await visitor.get(visitor.address({"prompt": prompt}))
        assert page.title == "Sign in"
        consent = await visitor.sign_in(page)
        assert "code" in (await visitor.submit(consent, "/consent", decision="approve")).answer


async def test_a_consent_page_from_before_is_not_enough_for_who_wants_a_password(visitor: Visitor) -> None:
    consent = await visitor.consent_page()
    action, fields = consent.form("/consent")
    sent = await visitor.post(f"{action}&prompt=login", {**fields, "decision": "approve"})
    assert (sent.status, sent.title) == (200, "Sign in")


async def test_a_password_older_than_max_age_is_asked_for_again(visitor: Visitor, clock: Clock) -> None:
    await visitor.code()
    clock.now += 100
    assert "Give access" in (await visitor.get(visitor.address({"max_age": "100"}))).title
    assert (await error_of(visitor, {"max_age": "99", "prompt": "none"}))["error"] == "login_required"
    for max_age in ("99", "0"):
        page = await visitor.get(visitor.address({"max_age": max_age}))
        consent = await visitor.sign_in(page)
        clock.now += 20
        assert "code" in (await visitor.submit(consent, "/consent", decision="approve")).answer
        clock.now += 100


async def test_another_user_than_the_client_means_is_not_taken_for_that_one(visitor: Visitor) -> None:
    hint = (await visitor.tokens())["id_token"]
    assert "code" in (await visitor.get(visitor.address({"prompt": "none", "id_token_hint": hint}))).answer
    meant = {"id_token_hint": hint}
    await visitor.sign_in(await visitor.get(visitor.address({"prompt": "login"})), "bob")
    assert (await error_of(visitor, {**meant, "prompt": "none"}))["error"] == "login_required"
    page = await visitor.get(visitor.address(meant))
    sent = await visitor.submit(page, "/sign-in", username="bob", password="bob")
    assert (await visitor.get(sent.location)).answer["error"] == "login_required"
    assert "Give access" in (await visitor.sign_in(await visitor.get(visitor.address(meant)), "alice")).title


@pytest.mark.parametrize("hint", ["nonsense", "e30.e30.", "a.b.c.d.e"])
async def test_a_hint_of_somebody_else_is_refused(visitor: Visitor, hint: str) -> None:
    await visitor.code()
    assert (await error_of(visitor, {"id_token_hint": hint}))["error"] == "invalid_request"
    access = (await visitor.tokens())["access_token"]
    assert (await error_of(visitor, {"id_token_hint": access}))["error"] == "invalid_request"


async def test_a_known_name_is_suggested_and_any_other_words_are_not_shown(visitor: Visitor) -> None:
    assert 'value="bob"' in (await visitor.get(visitor.address({"login_hint": "bob"}))).text
    assert "mallory" not in (await visitor.get(visitor.address({"login_hint": "mallory"}))).text.partition("<form")[0]


async def test_a_session_is_over_after_eight_hours(visitor: Visitor, clock: Clock) -> None:
    await visitor.code()
    clock.now += 8 * 3600
    assert (await error_of(visitor, {"prompt": "none"}))["error"] == "login_required"


# --- clients that nobody has vouched for -------------------------------------------------------------------------


async def test_a_client_that_registered_itself_is_shown_as_such_and_cannot_use_us_to_lead_users_away(
    visitor: Visitor,
) -> None:
    metadata = {"redirect_uris": ["https://evil.com/cb"], "token_endpoint_auth_method": "none", "client_name": "Bank"}
    async with visitor.session.post(f"{visitor.issuer}/register", json=metadata) as answer:
        client_id = (await answer.json())["client_id"]
    own = {"client_id": client_id, "redirect_uri": "https://evil.com/cb"}
    for wrong in ({"scope": "nonsense"}, {"prompt": "none"}, {"response_type": "token"}):
        page = await visitor.get(visitor.address({**own, **wrong}))
        assert (page.status, "Location" in page.fields) == (400, False)
        assert "Go on to https://evil.com" in page.text
    consent = await visitor.consent_page(own)
    assert "This client registered itself" in consent.text
    # Here the user has decided.
    sent = await visitor.submit(consent, "/consent", decision="deny")
    assert sent.location.startswith("https://evil.com/cb?error=access_denied")


async def test_a_client_with_one_address_need_not_name_it(session: aiohttp.ClientSession) -> None:
    client = Client(
        "web",
        "secret",
        frozenset({"read"}),
        "api",
        grant_types=frozenset({"authorization_code"}),
        redirect_uris=("https://good.com/cb?x=1",),
    )
    server = DevelopmentServer([client], "ES256", users=USERS)
    await server.start()
    try:
        visitor = Visitor(server.issuer, session)
        own = {"client_id": "web", "redirect_uri": None, "scope": None, "code_challenge": None}
        code = await visitor.code({**own, "code_challenge_method": None})
        form = {"client_id": "web", "client_secret": "secret", "redirect_uri": None, "code_verifier": None}
        answer = await visitor.redeem(code, form)
        assert (answer.status, answer.body["scope"]) == (200, "read")
        assert {"refresh_token", "id_token"}.isdisjoint(answer.body)
    finally:
        await server.stop()
