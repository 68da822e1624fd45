"""A limit on guessing."""

from __future__ import annotations

from gateway.devauth.attempts import Attempts
from tests.devauth.visitor import Clock


def test_so_many_failures_a_minute_are_allowed_by_name(clock: Clock) -> None:
    attempts = Attempts(3, clock=clock)
    for _ in range(3):
        assert not attempts.are_used_up("alice")
        attempts.count("alice")
        clock.now += 10
    assert attempts.are_used_up("alice")
    assert not attempts.are_used_up("bob")
    clock.now += 30
    assert not attempts.are_used_up("alice")
    attempts.count("alice")
    assert attempts.are_used_up("alice")
