"""The played user sends the forms of the real pages, and nothing of a session is shown."""

from __future__ import annotations

import pytest

from gateway.demo.guide import NO_ANSWER
from gateway.demo.user import PlayedUser
from tests.demo.traveller import CALLBACK, Traveller, story


async def test_the_user_signs_in_once_and_approves_each_time(traveller: Traveller) -> None:
    journey = traveller.guide.begin(story("code"))
    await traveller.go(journey, 1)
    user = PlayedUser(traveller.wire)
    exchanges, answer = await user.visit(journey.values["authorization_url"], CALLBACK)
    assert [exchange.title for exchange in exchanges] == [
        "Your browser opens the page",
        "You sign in",
        "Your browser opens the page",
        "You approve",
    ]
    assert answer is not None
    assert answer.address.startswith(f"{CALLBACK}?code=")
    again, _ = await user.visit(journey.values["authorization_url"], CALLBACK)
    assert [exchange.title for exchange in again] == ["Your browser opens the page", "You approve"]


async def test_a_page_is_shown_by_its_title_and_a_cookie_not_at_all(traveller: Traveller) -> None:
    journey = traveller.guide.begin(story("code"))
    await traveller.go(journey, 1)
    exchanges, _ = await PlayedUser(traveller.wire).visit(journey.values["authorization_url"], CALLBACK)
    first, second = exchanges[0].sent, exchanges[1].sent
    assert first.response.body == "(the page “Sign in”)"
    assert first.response.value_of("Set-Cookie") == "(not shown)"
    assert second.request.value_of("Cookie") == "(not shown)"
    assert "username=alice&password=alice" in second.request.body


@pytest.mark.parametrize(
    ("decision", "said", "title"),
    [("approve", "You approve", "The device is connected"), ("deny", "You say no", "The device gets no access")],
)
async def test_with_a_device_it_ends_on_a_page_that_wants_nothing_more(
    traveller: Traveller, decision: str, said: str, title: str
) -> None:
    journey = traveller.guide.begin(story("device-code"))
    await traveller.go(journey, 1)
    user = PlayedUser(traveller.wire, decision=decision)
    exchanges, answer = await user.visit(journey.values["verification_uri_complete"], CALLBACK)
    assert answer is None
    assert [exchange.title for exchange in exchanges][-2:] == ["You send the code of the device", said]
    assert title in exchanges[-1].sent.response.body


async def test_a_page_without_an_end_is_left(traveller: Traveller) -> None:
    journey = traveller.guide.begin(story("code"))
    await traveller.go(journey, 1)
    nobody = PlayedUser(traveller.wire, "nobody")
    exchanges, answer = await nobody.visit(journey.values["authorization_url"], CALLBACK)
    assert answer is None
    assert len(exchanges) == 10
    outcome = await traveller.guide.play(journey, 2, NO_ANSWER)
    assert "not the answer" in outcome.failure
