"""Browsers on the tour."""

from __future__ import annotations

import itertools

import pytest

from gateway.demo.guide import guided
from gateway.demo.visitors import Visitors
from gateway.demo.world import World
from tests.demo.traveller import CALLBACK, story


def visitors() -> Visitors:
    numbers = itertools.count(1)
    return Visitors(lambda: f"random-{next(numbers)}")


def test_a_visitor_is_found_by_the_cookie_alone() -> None:
    known = visitors()
    visitor = known.begin()
    assert known.find("random-1") is visitor
    assert [known.find(cookie) for cookie in (None, "", "random-2", "other")] == [None] * 4
    assert "random" not in repr(visitor)


@pytest.mark.parametrize("form_token", ["", "random-1", "random-2 ", "ä", "\udcff"])
def test_a_form_with_another_token_is_nobodys(form_token: str) -> None:
    visitor = visitors().begin()
    assert visitor.accepts("random-2")
    assert not visitor.accepts(form_token)


def test_the_longest_unseen_visitor_is_forgotten_when_there_are_too_many() -> None:
    known = visitors()
    first = known.begin()
    for _ in range(100):
        known.begin()
    assert known.find(first.id) is None


async def test_an_answer_belongs_to_the_journey_that_asked_with_this_state(world: World) -> None:
    visitor = visitors().begin()
    async with guided(world, CALLBACK) as (guide, _):
        for name in ("code", "thief", "who-is-who"):
            visitor.journeys[name] = guide.begin(story(name))
        for name in ("code", "thief"):
            await guide.play(visitor.journeys[name], 1)
    request = visitor.journeys["thief"].request
    assert request is not None
    assert visitor.waiting_for(request.state) is visitor.journeys["thief"]
    assert visitor.waiting_for("") is None
    assert visitor.waiting_for("ä") is None
