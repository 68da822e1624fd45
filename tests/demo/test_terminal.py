"""The tour on the terminal: what it says, when it waits, and what it makes of a step that goes otherwise than told."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re

import pytest

from gateway.demo.story import Expected, Later, Send, Step, Story
from gateway.demo.terminal import TerminalTour
from tests.demo.traveller import Traveller, story


def tour(traveller: Traveller, keyboard: int | None = None) -> TerminalTour:
    return TerminalTour(traveller.guide, traveller.wire, keyboard)


def wrong(told: Story) -> Story:
    """The same story, in which the first request is told to be answered otherwise."""
    first = told.steps[0].parts[0]
    assert isinstance(first, Send)
    step = dataclasses.replace(told.steps[0], parts=(dataclasses.replace(first, expects=Expected(418)),))
    return dataclasses.replace(told, steps=(step, *told.steps[1:]))


async def test_it_tells_each_step_with_request_answer_and_explanation(
    traveller: Traveller, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await tour(traveller).play([story("client-credentials")])
    told = capsys.readouterr().out
    for step in story("client-credentials").steps:
        assert f". {step.title}\n" in told
    assert "    > GET /orders/acme HTTP/1.1\n" in told
    assert "    < HTTP/1.1 403 Forbidden\n" in told
    assert "      => refused: 403 scope_insufficient\n" in told
    assert "[Client → Gateway]" in told
    assert re.search(r"^      grant_type +client_credentials$", told, re.MULTILINE)
    assert told.endswith("\nevery step went as told\n")
    # Tokens are in short.
    assert "Bearer eyJ" in told
    assert not re.search(r"eyJ[\w-]{20,}\.", told)


async def test_it_says_that_it_plays_the_user(traveller: Traveller, capsys: pytest.CaptureFixture[str]) -> None:
    assert await tour(traveller).play([story("thief")])
    told = capsys.readouterr().out
    assert "Here the tour plays you: it sends the forms that you would fill in." in told
    assert "username=alice&password=alice" in told
    assert "    ok  `state` is the one that the client has sent" in told
    assert "devauth-" not in told


async def test_a_story_that_goes_otherwise_than_told_ends_there_and_the_next_one_is_played(
    traveller: Traveller, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not await tour(traveller).play([wrong(story("opaque-token")), story("who-is-who")])
    told = capsys.readouterr().out
    assert told.count("NOT as told: expected 418, got 200") == 1
    assert told.endswith("NOT as told: A token that tells nothing, step 1: expected 418, got 200\n")
    assert "2. The API says yes" not in told
    assert story("who-is-who").steps[-1].title in told
    assert "every step went as told" not in told


async def test_with_a_keyboard_it_waits_for_enter_before_each_step(
    traveller: Traveller, capsys: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    try:
        playing = asyncio.create_task(tour(traveller, reading).play([story("who-is-who")]))
        told = ""
        for number in range(1, 5):
            deadline = asyncio.get_running_loop().time() + 30
            while told.count("[Enter]") < number:
                assert asyncio.get_running_loop().time() < deadline, told
                await asyncio.sleep(0.01)
                told += capsys.readouterr().out
            assert told.count("< HTTP/1.1 ") == number - 1, "a step was taken before Enter"
            os.write(writing, b"\n")
        assert await playing
    finally:
        os.close(reading)
        os.close(writing)


async def test_at_the_end_of_the_input_it_goes_on_without_waiting(
    traveller: Traveller, capsys: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    os.close(writing)
    try:
        assert await asyncio.wait_for(tour(traveller, reading).play([story("who-is-who")]), 30)
    finally:
        os.close(reading)
    assert capsys.readouterr().out.count("[Enter]") == 1


async def test_a_step_that_has_to_wait_says_for_what_and_how_long(
    traveller: Traveller, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Step(title="first", before="a", after="b", button="Go", parts=(Later("soon", 1),))
    second = Step(title="second", before="c", after="d", button="Go", waits_for="soon", waiting="It goes on in")
    began = traveller.guide.clock()
    assert await tour(traveller).play([dataclasses.replace(story("who-is-who"), steps=(first, second))])
    assert traveller.guide.clock() - began >= 1
    assert "    It goes on in 1 s\n" in capsys.readouterr().out


async def test_servers_that_are_gone_are_told_and_not_a_traceback(
    traveller: Traveller, capsys: pytest.CaptureFixture[str]
) -> None:
    told = story("code")
    visit = told.steps[1].visit
    assert visit is not None
    gone = dataclasses.replace(told.steps[1], visit=dataclasses.replace(visit, url="http://127.0.0.1:1/"))
    assert not await tour(traveller).play([dataclasses.replace(told, steps=(told.steps[0], gone))])
    assert "step 2: no answer: ClientConnectorError" in capsys.readouterr().out
