"""Somebody who goes through a story: takes the steps, and where a browser is wanted, a played user goes."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.demo.guide import NO_ANSWER, Guide, filled
from gateway.demo.journey import Journey
from gateway.demo.seen import Answer, Outcome
from gateway.demo.stories import STORIES
from gateway.demo.story import Story
from gateway.demo.user import PlayedUser
from gateway.demo.wire import Wire

CALLBACK = "http://127.0.0.1:8000/callback"


def story(name: str) -> Story:
    (found,) = (each for each in STORIES if each.name == name)
    return found


@dataclass
class Traveller:
    guide: Guide
    wire: Wire

    async def go(self, journey: Journey, to: int, name: str = "alice") -> Outcome:
        """Take all steps to this one, each of which has to go as told."""
        for number in range(journey.reached + 1, to + 1):
            outcome = await self.guide.play(journey, number, await self.visit(journey, number, name))
            assert outcome.failure == "", (journey.story.name, number)
        return outcome

    async def visit(self, journey: Journey, number: int, name: str = "alice") -> Answer:
        visit = journey.step(number).visit
        if visit is None:
            return NO_ANSWER
        url = filled(visit.url, journey.values)
        _, answer = await PlayedUser(self.wire, name).visit(url, CALLBACK)
        assert (answer is not None) == visit.brings_answer
        return answer or NO_ANSWER
