"""The stories as data, and as they happen: each step goes as told against the real servers."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator

import pytest

from gateway.demo import prose
from gateway.demo.glossary import PARAMETERS
from gateway.demo.guide import Guide
from gateway.demo.stories import STORIES
from gateway.demo.stories.device import INTERVAL_AFTER_SLOW_DOWN
from gateway.demo.story import Begin, Decode, Forge, Later, Part, Send, Shorten, Step, Story, TakeAnswer
from tests.demo.traveller import Traveller, story

names = pytest.mark.parametrize("name", [each.name for each in STORIES])


def texts_of(part: Part) -> Iterator[str]:
    match part:
        case Send():
            yield from (part.url, *part.fields.values(), *part.form.values(), *part.document.values())
            yield from [f"${part.token}"] if part.token else []
        case Decode() | Shorten() | Forge():
            yield f"${part.token}"


def kept_by(part: Part) -> set[str]:
    match part:
        case Send():
            return {*part.keeps, *part.finds}
        case Begin():
            return {"authorization_url", "code_verifier"}
        case TakeAnswer():
            return {"code"}
        case Decode():
            return set(part.keeps)
        case Shorten() | Forge():
            return {part.copy}
        case Later():
            return set()


def identifiers(text: str) -> set[str]:
    return set(string.Template(text).get_identifiers())


@names
async def test_every_value_is_kept_before_it_is_used(name: str, traveller: Traveller) -> None:
    known = set(traveller.guide.begin(story(name)).values)
    for step in story(name).steps:
        # What stands before a step is shown with the one before it.
        used = identifiers(step.before)
        if step.visit is not None:
            used |= identifiers(step.visit.url)
        assert used <= known, step.title
        for part in step.parts:
            for text in texts_of(part):
                assert identifiers(text) <= known, (step.title, text)
            known |= kept_by(part)
        assert identifiers(step.after) <= known, step.title


@names
def test_every_step_can_be_begun_and_says_what_for(name: str) -> None:
    moments: set[str] = set()
    for step in story(name).steps:
        assert step.button or (step.visit is not None and step.visit.brings_answer), step.title
        assert step.before.strip(), step.title
        assert step.after.strip(), step.title
        assert not step.waits_for or (step.waits_for in moments and step.waiting), step.title
        moments |= set(moments_of(step))
    titles = [step.title for step in story(name).steps]
    assert len(set(titles)) == len(titles)


def moments_of(step: Step) -> Iterator[str]:
    for part in step.parts:
        match part:
            case Later():
                yield part.moment
            case Shorten():
                yield part.copy


@names
def test_every_parameter_that_is_sent_is_explained(name: str) -> None:
    sends = [part for step in story(name).steps for part in step.parts if isinstance(part, Send)]
    assert {parameter for send in sends for parameter in send.form} <= set(PARAMETERS)


def test_the_names_of_stories_are_no_pages_of_the_tour() -> None:
    found = [each.name for each in STORIES]
    assert len(set(found)) == len(found)
    assert not {"callback", "configuration", "style.css"} & set(found)
    assert all(re.fullmatch("[a-z-]+", name) for name in found)


@names
def test_every_marked_text_is_closed(name: str) -> None:
    told = story(name)
    for text in (told.before, told.ending, *(text for step in told.steps for text in (step.before, step.after))):
        shown = [span.text for paragraph in prose.paragraphs(re.sub(r"\$\w+", "x", text)) for span in paragraph]
        assert not any("`" in piece or "*" in piece for piece in shown), text


@pytest.mark.parametrize("name", ["who-is-who", "client-credentials", "opaque-token", "thief"])
async def test_every_step_goes_as_told(name: str, traveller: Traveller) -> None:
    journey = traveller.guide.begin(story(name))
    await traveller.go(journey, journey.length)
    assert journey.next_number == 0


async def test_bob_goes_through_it_with_his_own_orders(traveller: Traveller) -> None:
    journey = traveller.guide.begin(story("code"))
    await traveller.go(journey, 5, "bob")
    assert journey.values["tenant"] == "globex"


async def test_a_device_that_asks_before_the_user_has_decided_may_ask_again_later(traveller: Traveller) -> None:
    journey = traveller.guide.begin(story("device-code"))
    await traveller.go(journey, 1)
    began = traveller.guide.clock()
    await traveller.go(journey, 2)
    first = journey.waits_until(3)
    assert first >= began + INTERVAL_AFTER_SLOW_DOWN
    outcome = await traveller.guide.play(journey, 3)
    assert outcome.failure in ("expected 200, got 400 authorization_pending", "expected 200, got 400 slow_down")
    assert (journey.next_number, len(outcome.seen)) == (3, 1)
    assert journey.waits_until(3) > first


def test_together_they_show_every_grant_of_the_authorization_server() -> None:
    forms = [part.form for each in STORIES for step in each.steps for part in step.parts if isinstance(part, Send)]
    assert {form["grant_type"].rpartition(":")[2] for form in forms if "grant_type" in form} == {
        "authorization_code",
        "client_credentials",
        "refresh_token",
        "device_code",
    }


def reasons(told: Story) -> set[str]:
    sends = [part for step in told.steps for part in step.parts if isinstance(part, Send)]
    return {send.expects.word for send in sends if send.is_explained}


def test_the_life_of_a_token_has_each_of_its_ends() -> None:
    assert reasons(story("code")) == {"", "scope_insufficient", "token_expired", "token_inactive", "token_revoked"}


def test_a_guide_gives_every_journey_values_of_its_own(traveller: Traveller) -> None:
    guide: Guide = traveller.guide
    first, second = guide.begin(story("code")), guide.begin(story("code"))
    first.keep({"tenant": "acme"})
    assert "tenant" not in second.values
