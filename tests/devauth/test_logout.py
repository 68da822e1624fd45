"""Signing out on behalf of a client (OpenID Connect RP-Initiated Logout 1.0)."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from tests.devauth.hostile import HOSTILE
from tests.devauth.visitor import Page, Visitor

BACK = "http://127.0.0.1:8123/bye"


async def end_session(visitor: Visitor, **parameters: str) -> Page:
    return await visitor.get(f"/end-session?{urlencode(parameters)}".rstrip("?"))


async def is_signed_in(visitor: Visitor) -> bool:
    return (await visitor.get(visitor.address())).title != "Sign in"


async def test_a_client_that_shows_the_users_id_token_signs_them_out_and_gets_them_back(visitor: Visitor) -> None:
    hint = (await visitor.tokens())["id_token"]
    page = await end_session(visitor, id_token_hint=hint, post_logout_redirect_uri=BACK, state="a b")
    assert (page.status, page.location) == (302, f"{BACK}?state=a+b")
    assert not await is_signed_in(visitor)
    again = await end_session(visitor, id_token_hint=hint, post_logout_redirect_uri=BACK)
    assert again.location == BACK


async def test_it_may_use_post_so_that_the_id_token_stands_in_no_address(visitor: Visitor) -> None:
    hint = (await visitor.tokens())["id_token"]
    page = await visitor.post("/end-session", {"id_token_hint": hint, "client_id": "demo-web"})
    assert (page.status, page.title) == (200, "You are signed out")
    assert not await is_signed_in(visitor)


async def test_without_an_id_token_the_user_is_asked(visitor: Visitor) -> None:
    await visitor.consent_page()
    page = await end_session(visitor, client_id="demo-web")
    assert page.title == "Sign out?"
    assert await is_signed_in(visitor)
    assert (await visitor.submit(page, "/confirm")).title == "You are signed out"
    assert not await is_signed_in(visitor)
    assert (await end_session(visitor)).title == "You are signed out"


async def test_the_id_token_of_another_user_is_not_enough_to_sign_out_this_one(visitor: Visitor) -> None:
    hint = (await visitor.tokens())["id_token"]
    await visitor.sign_in(await visitor.get(visitor.address({"prompt": "login"})), "bob")
    page = await end_session(visitor, id_token_hint=hint, post_logout_redirect_uri=BACK, state="s")
    assert page.title == "Sign out?"
    sent = await visitor.submit(page, "/confirm")
    assert (sent.status, sent.location) == (303, f"{BACK}?state=s")


@pytest.mark.parametrize("address", HOSTILE)
async def test_nobody_is_led_away(visitor: Visitor, address: str) -> None:
    hint = (await visitor.tokens())["id_token"]
    for parameters in ({"id_token_hint": hint}, {"client_id": "demo-web"}, {}):
        page = await end_session(visitor, **parameters, post_logout_redirect_uri=address)
        assert (page.status, "Location" in page.fields) == (400, False)
    assert await is_signed_in(visitor)


@pytest.mark.parametrize("hint", ["nonsense", "e30.e30.", ""])
async def test_without_a_hint_of_ours_there_is_no_way_back(visitor: Visitor, hint: str) -> None:
    page = await end_session(visitor, id_token_hint=hint, client_id="demo-web", post_logout_redirect_uri=BACK)
    assert page.status == 400


async def test_hint_and_client_must_go_together(visitor: Visitor) -> None:
    tokens = await visitor.tokens()
    for hint, client_id in ((tokens["id_token"], "demo-opaque"), (tokens["access_token"], "demo-web")):
        page = await end_session(visitor, id_token_hint=hint, client_id=client_id)
        assert page.status == 400
    assert await is_signed_in(visitor)
