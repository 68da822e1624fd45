"""The tour on the terminal: every story, step by step, with real requests. There is no browser, so the user is played.

Waits for Enter where somebody sits there, and never where nobody does.
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
import textwrap
from collections.abc import Iterable, Mapping
from typing import Final

import click

from gateway.demo import prose
from gateway.demo.glossary import CLAIMS, PARAMETERS
from gateway.demo.guide import NO_ANSWER, Guide, filled
from gateway.demo.journey import Journey
from gateway.demo.seen import Answer, Decoded, Exchange, Link, Outcome, Returned, Seen, Shortened, Unanswered
from gateway.demo.story import Role, Story, Visit
from gateway.demo.user import PlayedUser
from gateway.demo.wire import Message, NoAnswer, Wire

_WIDTH: Final = 100
_MARGIN: Final = "    "
_BRIEF: Final = ("Host", "Content-Type", "Location")


class TerminalTour:
    """Plays stories. `keyboard` is the file descriptor that Enter comes from; None: nobody sits there."""

    def __init__(self, guide: Guide, wire: Wire, keyboard: int | None) -> None:
        self._guide = guide
        self._wire = wire
        self._keyboard = keyboard
        self._user = PlayedUser(wire)

    async def play(self, stories: Iterable[Story]) -> bool:
        """Play all. Whether every step went as told."""
        failures = []
        for story in stories:
            failures += await self._story(story)
        click.echo()
        for failure in failures:
            click.secho(f"NOT as told: {failure}", fg="red", bold=True)
        if not failures:
            click.secho("every step went as told", fg="green", bold=True)
        return not failures

    async def _story(self, story: Story) -> list[str]:
        journey = self._guide.begin(story)
        click.secho(f"\n{story.title}: {story.subtitle} ({story.standards})", bold=True)
        click.echo("=" * _WIDTH)
        _say(story.before, journey.values)
        for number in range(1, journey.length + 1):
            try:
                failure = (await self._step(journey, number)).failure
            except NoAnswer as problem:
                failure = f"no answer: {problem}"
            if failure:
                return [f"{story.title}, step {number}: {failure}"]
        click.echo()
        _say(story.ending, journey.values)
        return []

    async def _step(self, journey: Journey, number: int) -> Outcome:
        step = journey.step(number)
        click.secho(f"\n{number}. {step.title}", bold=True)
        _say(step.before, journey.values)
        await self._pause()
        answer = await self._visit(journey, step.visit) if step.visit is not None else NO_ANSWER
        await self._wait(step.waiting, journey.waits_until(number))
        outcome = await self._guide.play(journey, number, answer)
        for seen in outcome.seen:
            self._show(seen, journey.tokens)
        if not outcome.failure:
            click.echo()
            _say(step.after, journey.values)
        return outcome

    async def _visit(self, journey: Journey, visit: Visit) -> Answer:
        """Be the user, and say so."""
        click.secho(f"{_MARGIN}Here the tour plays you: it sends the forms that you would fill in.", dim=True)
        url = filled(visit.url, journey.values)
        exchanges, answer = await self._user.visit(url, journey.values["redirect_uri"])
        for exchange in exchanges:
            self._show(exchange, journey.tokens)
        return answer or NO_ANSWER

    async def _pause(self) -> None:
        if self._keyboard is None:
            return
        click.secho(f"{_MARGIN}[Enter] ", nl=False, dim=True)
        if not await _enter(self._keyboard):
            click.echo()
            self._keyboard = None  # the end of the input: nobody is there any more

    async def _wait(self, what: str, until: float) -> None:
        """Until that moment; with a line that counts down where somebody sees it."""
        if self._guide.clock() >= until:
            return
        is_seen = self._keyboard is not None and sys.stdout.isatty()
        if not is_seen:
            click.echo(f"{_MARGIN}{what} {math.ceil(until - self._guide.clock())} s")
        while (left := until - self._guide.clock()) > 0:
            if is_seen:
                click.echo(f"\r{_MARGIN}{what} {math.ceil(left)} s \033[K", nl=False)
            await asyncio.sleep(min(1.0, left))
        if is_seen:
            click.echo()

    def _show(self, seen: Seen, tokens: Mapping[str, str]) -> None:
        click.echo()
        match seen:
            case Exchange():
                _show_exchange(seen, tokens)
            case Link():
                _title("The link")
                _text(seen.address)
                _meanings(seen.parameters, PARAMETERS)
                _title("What the client keeps to itself")
                _meanings(seen.kept, PARAMETERS)
            case Returned():
                _title("Your browser comes back with")
                _text(seen.address)
                _meanings(seen.parameters, PARAMETERS)
                for check, is_met in seen.checks:
                    _text(f"{'ok' if is_met else 'NO'}  {check}")
            case Decoded():
                _show_token(seen)
            case Shortened():
                _title("The authorization server issues the token once more")
                _text(f"exp is {prose.claim_in_words('exp', int(seen.ends_at))}, in {seen.seconds} seconds")
            case Unanswered():
                _title(seen.title)
        if seen.failure:
            click.secho(f"{_MARGIN}NOT as told: {seen.failure}", fg="red", bold=True)


def _show_exchange(exchange: Exchange, tokens: Mapping[str, str]) -> None:
    speaker, hearer = exchange.way
    _title(f"{exchange.title}  [{speaker.value} → {hearer.value}]")
    # What a page says to a browser would fill screens, and is not what the story is about.
    is_brief = speaker is Role.USER
    _message(exchange.sent.request, ">", tokens, is_brief=is_brief)
    _meanings({name: value for name, value in exchange.form.items() if name in PARAMETERS}, PARAMETERS, tokens=tokens)
    _message(exchange.sent.response, "<", tokens, is_brief=is_brief)
    if exchange.explanation is not None:
        click.secho(f"{_MARGIN}explain says", dim=True)
        for line in exchange.explanation.lines():
            click.echo(f"{_MARGIN}  {line}")


def _message(message: Message, mark: str, tokens: Mapping[str, str], *, is_brief: bool) -> None:
    lines = [message.first, *(f"{name}: {value}" for name, value in message.fields if not is_brief or name in _BRIEF)]
    if message.body:
        lines += ["", *prose.laid_out(message.body).splitlines()]
    for line in lines:
        click.echo(f"{_MARGIN}{mark} {prose.with_short_tokens(line, tokens)}".rstrip())


def _show_token(decoded: Decoded) -> None:
    _title(decoded.title)
    if decoded.is_opaque:
        _text(f"{len(decoded.token)} characters, and nothing to read: {prose.shortened(decoded.token)}")
        return
    for part in (decoded.header, decoded.claims):
        _meanings({name: prose.claim_in_words(name, value) for name, value in part.items()}, CLAIMS)


def _meanings(
    values: Mapping[str, str], meanings: Mapping[str, str], *, tokens: Mapping[str, str] | None = None
) -> None:
    width = max(map(len, values), default=0)
    for name, value in values.items():
        shown = prose.with_short_tokens(value, tokens or {})
        click.echo(f"{_MARGIN}  {name:<{width}}  {shown}")
        if name in meanings:
            click.secho(f"{_MARGIN}  {'':<{width}}  {''.join(prose.plain(meanings[name]))}", dim=True)


def _title(text: str) -> None:
    click.secho(f"{_MARGIN}{text}", underline=True)


def _text(text: str) -> None:
    click.echo(f"{_MARGIN}{text}")


def _say(text: str, values: Mapping[str, str]) -> None:
    for number, paragraph in enumerate(prose.plain(text, values)):
        click.echo(("\n" if number else "") + textwrap.fill(paragraph, _WIDTH))


async def _enter(keyboard: int) -> bool:
    """Wait for Enter; False at the end of the input. Not in a thread, which nothing could end while it waits."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(keyboard, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(keyboard)
    # As much as there is: what was typed ahead is not kept for the next steps.
    return bool(os.read(keyboard, 4096))
