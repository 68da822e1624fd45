"""The device grant over HTTP: both codes, the four errors of RFC 8628 §3.5, and one token."""

from __future__ import annotations

import re

import pytest

from tests.devauth.visitor import Clock, Visitor


async def test_a_device_is_told_where_the_user_goes_and_how_often_to_ask(visitor: Visitor) -> None:
    told = await visitor.device(scope="openid orders:read")
    assert re.fullmatch("[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", told["user_code"])
    assert told["verification_uri"] == f"{visitor.issuer}/device"
    assert told["verification_uri_complete"] == f"{visitor.issuer}/device?user_code={told['user_code']}"
    assert (told["expires_in"], told["interval"], len(told["device_code"])) == (600, 5, 43)


async def test_it_waits_until_the_user_approves_and_gets_one_token(visitor: Visitor, clock: Clock) -> None:
    told = await visitor.device(scope="openid orders:read")
    assert (await visitor.poll(told["device_code"])).body == {"error": "authorization_pending"}
    assert (await visitor.decide_on_device(told["user_code"], "approve")).title == "The device is connected"
    clock.now += 5
    answer = await visitor.poll(told["device_code"])
    assert (answer.status, answer.body["scope"]) == (200, "openid orders:read")
    assert {"refresh_token", "id_token"} <= answer.body.keys()
    assert (await visitor.introspect(answer.body["access_token"]))["sub"] == "alice"
    assert (await visitor.refresh(answer.body["refresh_token"], client_id="demo-device")).status == 200


async def test_a_code_whose_token_was_taken_ends_that_token_when_it_comes_again(visitor: Visitor) -> None:
    told = await visitor.device()
    await visitor.decide_on_device(told["user_code"], "approve")
    tokens = (await visitor.poll(told["device_code"])).body
    assert await visitor.is_active(tokens["access_token"])
    answer = await visitor.poll(told["device_code"])
    assert (answer.status, answer.body["error"]) == (400, "invalid_grant")
    assert not await visitor.is_active(tokens["access_token"])
    refreshed = await visitor.refresh(tokens["refresh_token"], client_id="demo-device")
    assert refreshed.body["error"] == "invalid_grant"


async def test_who_polls_too_fast_has_to_slow_down_by_five_seconds_each_time(visitor: Visitor, clock: Clock) -> None:
    code = (await visitor.device())["device_code"]

    async def error_after(seconds: float) -> str:
        clock.now += seconds
        error: str = (await visitor.poll(code)).body["error"]
        return error

    assert await error_after(0) == "authorization_pending"
    assert await error_after(4.9) == "slow_down"
    assert await error_after(9.9) == "slow_down"
    assert await error_after(15) == "authorization_pending"
    assert await error_after(14.9) == "slow_down"


async def test_what_the_user_denies_is_denied_for_good(visitor: Visitor) -> None:
    told = await visitor.device()
    assert (await visitor.decide_on_device(told["user_code"], "deny")).title == "The device gets no access"
    for _ in range(2):
        assert (await visitor.poll(told["device_code"])).body["error"] == "access_denied"


async def test_after_ten_minutes_it_is_over_decided_or_not(visitor: Visitor, clock: Clock) -> None:
    waiting, approved = await visitor.device(), await visitor.device()
    await visitor.decide_on_device(approved["user_code"], "approve")
    clock.now += 600
    for told in (waiting, approved):
        answer = await visitor.poll(told["device_code"])
        assert (answer.status, answer.body["error"]) == (400, "expired_token")


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"client_id": "demo-web"}, 400, "unauthorized_client"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({}, 401, "invalid_client"),
        ({"client_id": "demo-opaque"}, 401, "invalid_client"),
        ({"client_id": "demo-device", "client_secret": "x"}, 401, "invalid_client"),
        ({"client_id": "demo-device", "scope": "nonsense"}, 400, "invalid_scope"),
        ({"client_id": "demo-device", "scope": "orders:read\torders:write"}, 400, "invalid_scope"),
    ],
)
async def test_not_everybody_gets_codes(visitor: Visitor, form: dict[str, str], status: int, error: str) -> None:
    page = await visitor.post("/device_authorization", form)
    assert (page.status, page.body["error"]) == (status, error)
    assert page.fields["Cache-Control"] == "no-store"
    assert {"device_code", "user_code"}.isdisjoint(page.body)


@pytest.mark.parametrize(
    ("client_id", "device_code", "status", "error"),
    [
        ("demo-device", "unknown", 400, "invalid_grant"),
        ("demo-device", "", 400, "invalid_request"),
        ("demo-web", None, 400, "unauthorized_client"),
        ("nobody", None, 401, "invalid_client"),
    ],
)
async def test_not_everybody_gets_the_token_of_an_approved_code(
    visitor: Visitor, client_id: str, device_code: str | None, status: int, error: str
) -> None:
    told = await visitor.device()
    await visitor.decide_on_device(told["user_code"], "approve")
    code = told["device_code"] if device_code is None else device_code
    answer = await visitor.poll(code, client_id)
    assert (answer.status, answer.body["error"]) == (status, error)
    assert (await visitor.poll(told["device_code"])).status == 200


async def test_another_device_client_cannot_take_the_token(visitor: Visitor) -> None:
    metadata = {"grant_types": ["urn:ietf:params:oauth:grant-type:device_code"], "token_endpoint_auth_method": "none"}
    async with visitor.session.post(f"{visitor.issuer}/register", json=metadata) as answer:
        other = (await answer.json())["client_id"]
    told = await visitor.device()
    await visitor.decide_on_device(told["user_code"], "approve")
    assert (await visitor.poll(told["device_code"], other)).body["error"] == "invalid_grant"
    assert (await visitor.poll(told["device_code"])).status == 200
