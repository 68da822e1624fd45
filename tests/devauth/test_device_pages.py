"""The pages for the codes of devices: sign in, enter, compare, decide."""

from __future__ import annotations

import pytest

from gateway.devauth.device_pages import UNKNOWN
from tests.devauth.visitor import Clock, Visitor


async def test_the_link_of_a_device_leads_by_way_of_signing_in_to_a_code_that_is_filled_in(visitor: Visitor) -> None:
    told = await visitor.device()
    page = await visitor.get(told["verification_uri_complete"])
    assert page.title == "Sign in"
    page = await visitor.sign_in(page)
    assert page.title == "Connect a device"
    assert page.form("/device")[1]["user_code"] == told["user_code"]
    # Nothing is decided by following a link: the user compares the code and says so.
    assert (await visitor.poll(told["device_code"])).body["error"] == "authorization_pending"
    consent = await visitor.submit(page, "/device")
    assert consent.title == "Give access to Demo device?"
    assert "Only if your device shows this code" in consent.text
    assert told["user_code"] in consent.text


@pytest.mark.parametrize("typed", [str.lower, lambda code: code.replace("-", ""), lambda code: f" {code} "])
async def test_a_code_counts_however_it_is_typed(visitor: Visitor, typed: object) -> None:
    told = await visitor.device()
    assert callable(typed)
    await visitor.decide_on_device(typed(told["user_code"]), "approve")
    assert (await visitor.poll(told["device_code"])).status == 200


@pytest.mark.parametrize("typed", ["BCDF-GHJK", "", "<script>", "é", "x" * 5000])
async def test_a_code_that_no_device_shows_is_told_so(visitor: Visitor, typed: str) -> None:
    page = await visitor.sign_in(await visitor.get("/device"))
    page = await visitor.submit(page, "/device", user_code=typed)
    assert (page.status, page.title) == (400, "Error: Connect a device")
    assert UNKNOWN in page.text
    assert "<script>" not in page.text


async def test_a_code_is_decided_on_once_and_in_time(visitor: Visitor, clock: Clock) -> None:
    decided, late = await visitor.device(), await visitor.device()
    await visitor.decide_on_device(decided["user_code"], "deny")
    page = await visitor.submit(await visitor.get("/device"), "/device", user_code=decided["user_code"])
    assert UNKNOWN in page.text
    assert (await visitor.poll(decided["device_code"])).body["error"] == "access_denied"
    consent = await visitor.submit(await visitor.get("/device"), "/device", user_code=late["user_code"])
    clock.now += 600
    assert UNKNOWN in (await visitor.submit(consent, "/consent", decision="approve")).text


async def test_nobody_may_guess_codes_for_long(visitor: Visitor, clock: Clock) -> None:
    told = await visitor.device()
    page = await visitor.sign_in(await visitor.get("/device"))
    for _ in range(10):
        page = await visitor.submit(page, "/device", user_code="BCDF-GHJK")
    page = await visitor.submit(page, "/device", user_code=told["user_code"])
    assert page.status == 429
    assert "Too many attempts" in page.text
    clock.now += 61
    assert (await visitor.submit(page, "/device", user_code=told["user_code"])).title == "Give access to Demo device?"


async def test_a_decision_is_approve_or_deny(visitor: Visitor) -> None:
    told = await visitor.device()
    page = await visitor.decide_on_device(told["user_code"], "maybe")
    assert page.status == 400
    assert (await visitor.poll(told["device_code"])).body["error"] == "authorization_pending"


async def test_another_account_can_be_chosen(visitor: Visitor) -> None:
    told = await visitor.device()
    page = await visitor.sign_in(await visitor.get(told["verification_uri_complete"]))
    sent = await visitor.submit(page, "/sign-out")
    page = await visitor.sign_in(await visitor.get(sent.location), "bob")
    consent = await visitor.submit(page, "/device")
    await visitor.submit(consent, "/consent", decision="approve")
    token = (await visitor.poll(told["device_code"])).body["access_token"]
    assert (await visitor.introspect(token))["sub"] == "bob"


@pytest.mark.parametrize("form", ["sign-in", "sign-out", "consent"])
async def test_the_address_of_a_form_leads_to_the_page(visitor: Visitor, form: str) -> None:
    page = await visitor.get(f"/device/{form}?user_code=X")
    assert (page.status, page.location) == (302, "/device?user_code=X")


async def test_a_form_of_who_is_not_signed_in_any_more_starts_again(visitor: Visitor) -> None:
    told = await visitor.device()
    page = await visitor.get("/device")
    _, fields = page.form("/sign-in")
    for path, entered in (("/device", {}), ("/device/consent", {"decision": "approve"})):
        sent = await visitor.post(path, {**fields, **entered, "user_code": told["user_code"]})
        assert (sent.status, sent.location) == (303, "/device")
    assert (await visitor.poll(told["device_code"])).body["error"] == "authorization_pending"
