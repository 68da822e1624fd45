"""The pages of the tour in the browser: the start, each story, each of its steps, the gateway's configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from gateway.demo.guide import filled
from gateway.demo.journey import Journey
from gateway.demo.story import Story, Visit
from gateway.demo.view import NOTHING, View, fill, joined, paragraphs, sentence
from gateway.devauth.markup import Html

COUNTDOWN: Final = "<!--countdown-->"
"""Stands in a page where a time runs down before its last part is sent."""


class Pages:
    """Makes them. `places` says by role where each can be met: addresses of this run."""

    def __init__(self, stories: Sequence[Story], places: Mapping[str, str], configuration: Path) -> None:
        self._stories = stories
        self._places = places
        self._configuration = configuration

    def start(self, journeys: Mapping[str, Journey]) -> str:
        """The first page; `journeys` are those that were begun, by story."""
        begun = next((journey for journey in journeys.values() if 0 < journey.reached < journey.length), None)
        first = address(begun.story, begun.reached) if begun is not None else address(self._stories[0])
        content = fill(
            "start",
            first=first,
            first_words="Go on where you were" if begun is not None else "Begin with the first story",
            roles=joined(
                fill("role", kind=kind, name=name, text=text, here=self._places[kind]) for kind, name, text in _ROLES
            ),
            stories=joined(self._card(story, journeys.get(story.name)) for story in self._stories),
        )
        return _page("OAuth 2, click by click", content, "start")

    def story(self, journey: Journey, form_token: str) -> str:
        """What a story is about, and its first step to take."""
        story = journey.story
        content = fill(
            "story",
            title=story.title,
            subtitle=story.subtitle,
            before=paragraphs(story.before, journey.values),
            panel=self._panel(journey, 1, form_token, "First:") if not journey.outcomes else self._on(journey),
            length=str(journey.length),
            steps=_steps(journey, 0),
            standards=sentence(story.standards),
        )
        return _page(story.title, content, "story")

    def step(self, journey: Journey, number: int, form_token: str, *, now: float) -> str:
        """What a step came to, and the next one to take."""
        story, step, outcome = journey.story, journey.step(number), journey.outcomes[number]
        view = View(journey.tokens, self._configuration)
        content = fill(
            "step",
            name=story.name,
            story=story.title,
            number=str(number),
            length=str(journey.length),
            title=step.title,
            before=paragraphs(step.before, journey.values),
            seen=joined(map(view.show, outcome.seen)),
            after=NOTHING if outcome.failure else fill("after", text=paragraphs(step.after, journey.values)),
            panel=self._after(journey, number, form_token, now),
            steps=_steps(journey, number),
            again=_button(f"{address(story)}/again", form_token, "Start this story again", "plain"),
        )
        error = "Error: " if outcome.failure else ""
        return _page(f"{error}{step.title} ({story.title}, step {number} of {journey.length})", content, "story")

    def configuration(self, text: str) -> str:
        """The gateway's configuration, a line a list item, so that a decision can point to one."""
        lines = joined(
            fill("line", number=str(number), text=line) for number, line in enumerate(text.splitlines(), start=1)
        )
        content = fill("configuration", path=str(self._configuration), lines=lines)
        return _page("The gateway’s configuration", content, "configuration")

    def message(self, title: str, text: str) -> str:
        """Something to read."""
        return _page(title, fill("message", title=title, text=text), "message")

    # --- parts -------------------------------------------------------------------------------------------------

    def _after(self, journey: Journey, number: int, form_token: str, now: float) -> Html:
        if journey.outcomes[number].failure:
            visit = journey.step(number).visit
            if visit is not None and visit.brings_answer:
                # What came back is used up: the client needs a new link.
                again = _button(f"{address(journey.story)}/again", form_token, "Start this story again")
                return fill("notice", title="Once more", content=again)
            return self._panel(journey, number, form_token, "Once more:", now)
        if number + 1 in journey.outcomes:
            link = fill("link-on", address=address(journey.story, number + 1), text="See what came of it")
            return fill("notice", title=f"Next: {journey.step(number + 1).title}", content=link)
        if number < journey.length:
            return self._panel(journey, number + 1, form_token, "Next:", now)
        return self._ending(journey)

    def _panel(self, journey: Journey, number: int, form_token: str, what: str, now: float = 0.0) -> Html:
        """A step to take."""
        step = journey.step(number)
        left = journey.waits_until(number) - now if step.waits_for else 0.0
        return fill(
            "panel",
            what=what,
            title=step.title,
            before=paragraphs(step.before, journey.values),
            visit=_visit(journey, step.visit) if step.visit is not None else NOTHING,
            countdown=fill("countdown", what=step.waiting, seconds=str(math.ceil(left))) if left > 0 else NOTHING,
            button=_button(address(journey.story, number), form_token, step.button) if step.button else NOTHING,
        )

    def _on(self, journey: Journey) -> Html:
        link = fill("link-on", address=address(journey.story, max(journey.outcomes)), text="Go on where you were")
        return fill("notice", title="You have begun this story", content=link)

    def _ending(self, journey: Journey) -> Html:
        story = journey.story
        position = self._stories.index(story) + 1
        following = self._stories[position] if position < len(self._stories) else None
        return fill(
            "ending",
            title="The end of this story",
            text=paragraphs(story.ending, journey.values),
            next=fill("next-story", address=address(following), title=following.title) if following else NOTHING,
        )

    def _card(self, story: Story, journey: Journey | None) -> Html:
        length = len(story.steps)
        reached = journey.reached if journey is not None else 0
        progress = f"{length} steps" if not reached else f"{reached} of {length} steps taken"
        return fill(
            "card",
            name=story.name,
            title=story.title,
            subtitle=story.subtitle,
            summary=story.summary,
            progress="read to the end" if reached == length else progress,
        )


_ROLES: Final = (
    ("user", "You", "The resource owner: the orders are yours. You say who may do what with them."),
    ("client", "The client", "An application that wants to do something for you, and needs a token for it."),
    ("server", "The authorization server", "Knows you, asks you, and issues tokens."),
    (
        "gateway",
        "The gateway, and the API behind it",
        "Together the resource server. The gateway lets no request through that lacks the right token.",
    ),
)


def address(story: Story, number: int = 0) -> str:
    """Where a story is, or one of its steps."""
    return f"/{story.name}/{number}" if number else f"/{story.name}"


def _page(title: str, content: Html, kind: str) -> str:
    return fill("page", title=title, content=content, kind=kind)


def _button(action: str, form_token: str, text: str, kind: str = "primary") -> Html:
    return fill("form", action=action, form_token=form_token, text=text, kind=kind)


def _visit(journey: Journey, visit: Visit) -> Html:
    """The way to the authorization server: in this window where it leads back here, else in another."""
    link = fill(
        "visit" if visit.brings_answer else "visit-in-window",
        hint=paragraphs(visit.hint),
        url=filled(visit.url, journey.values),
        text=visit.button,
    )
    user_code = journey.values.get("user_code")
    return joined([fill("device", user_code=user_code), link]) if user_code and not visit.brings_answer else link


def _steps(journey: Journey, current: int) -> Html:
    """Where one is: steps that were taken are links."""
    return fill("steps", steps=joined(_item(journey, number, current) for number in range(1, journey.length + 1)))


def _item(journey: Journey, number: int, current: int) -> Html:
    title = journey.step(number).title
    if number == current:
        return fill("item-current", title=title)
    if number in journey.outcomes:
        return fill("item-taken", title=title, address=address(journey.story, number))
    return fill("item-ahead", title=title)
