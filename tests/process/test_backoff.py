"""The pauses before something is started again."""

from __future__ import annotations

from gateway.process.backoff import Backoff


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_pauses_double_up_to_the_longest() -> None:
    backoff = Backoff(first=0.25, longest=5, clock=Clock())
    assert [backoff.pause() for _ in range(7)] == [0.25, 0.5, 1, 2, 4, 5, 5]


def test_after_very_many_failures_the_pause_is_still_the_longest() -> None:
    backoff = Backoff(longest=30, clock=Clock())
    assert {backoff.pause() for _ in range(5000)} <= {0.25 * 2**n for n in range(7)} | {30}


def test_what_ran_for_long_enough_begins_anew() -> None:
    clock = Clock()
    backoff = Backoff(first=1, steady=60, clock=clock)
    for seconds, expected in ((59, 1), (59, 2), (60, 1), (0, 2), (600, 1)):
        backoff.started()
        clock.now += seconds
        assert backoff.pause() == expected
