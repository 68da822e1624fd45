"""How far somebody has come."""

from __future__ import annotations

from gateway.demo.journey import Journey
from gateway.demo.seen import Outcome, Unanswered
from tests.demo.traveller import story

GOOD = Outcome(())
BAD = Outcome((Unanswered("a request", "no answer"),))


def begun(**outcomes: Outcome) -> Journey:
    journey = Journey(story("device-code"), {})
    journey.outcomes = {int(name.removeprefix("step")): outcome for name, outcome in outcomes.items()}
    return journey


def test_the_next_step_is_the_first_that_has_not_gone_as_told() -> None:
    assert (begun().reached, begun().next_number) == (0, 1)
    assert (begun(step1=GOOD).reached, begun(step1=GOOD).next_number) == (1, 2)
    failed = begun(step1=GOOD, step2=BAD)
    assert (failed.reached, failed.next_number) == (1, 2)


def test_after_the_last_step_there_is_none() -> None:
    done = begun(step1=GOOD, step2=GOOD, step3=GOOD, step4=GOOD)
    assert (done.reached, done.next_number) == (4, 0)


def test_a_step_waits_for_the_moment_that_it_names_and_another_one_for_none() -> None:
    journey = begun()
    journey.moments["next_poll"] = 17.0
    assert journey.waits_until(3) == 17.0
    assert journey.waits_until(1) == 0.0


def test_what_is_called_a_token_is_known_as_one_and_nothing_of_it_is_in_the_representation() -> None:
    journey = begun()
    journey.keep({"access_token": "CANARY-1", "code": "CANARY-2"})
    journey.note_tokens({"refresh_token": "CANARY-3", "id_token": None, "expires_in": 3, "token_type": "Bearer"})
    assert journey.tokens == {"CANARY-1": "access token", "CANARY-3": "refresh token"}
    assert journey.values == {"access_token": "CANARY-1", "code": "CANARY-2"}
    assert "CANARY" not in repr(journey)
