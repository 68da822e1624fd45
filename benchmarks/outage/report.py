"""What clients saw while Redis was away, as a table: how many, how many wrong or lost, how long at worst and when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.outage.run import ELSEWHERE, NEVER, REVOKED, Course, Outcome
from benchmarks.outage.steady import Observation
from benchmarks.report import DASH, table

AROUND = 2.0
"""Seconds after the kill and after the return that count as its moment."""


def report(outcome: Outcome) -> str:
    """The table, what it adds up to, and when things happened."""
    head = ["", "requests", "wrong", "lost or 5xx", "p50 ms", "p99 ms"]
    moments = [f"max ms {name}" for name, _, _ in _moments(outcome.course)]
    rows = [_row(kind.name, outcome) for kind in outcome.kinds]
    return f"{table([*head, *moments], rows)}\n\n{_sum(outcome)}\n\n{_course(outcome)}"


def is_good(outcome: Outcome) -> bool:
    """No wrong decision, no lost request, nothing refused and forwarded; and the outage was one, and ended."""
    course = outcome.course
    return _counts(outcome) == (0, 0, 0) and NEVER not in (course.noticed, course.healed)


def _counts(outcome: Outcome) -> tuple[int, int, int]:
    seen = outcome.observations
    wrong, lost = sum(one.is_wrong for one in seen), sum(one.is_lost for one in seen)
    # A lost request may have reached the upstream or not.
    smuggled = max(0, outcome.forwarded - sum(one.answer[0] == 200 for one in seen) - lost)
    return wrong, lost, smuggled


def _moments(course: Course) -> Sequence[tuple[str, float, float]]:
    return (
        ("before", 0.0, course.killed),
        ("at the kill", course.killed, course.killed + AROUND),
        ("while away", course.killed + AROUND, course.back),
        ("at the return", course.back, course.back + AROUND),
        ("after", course.back + AROUND, NEVER),
    )


def _row(name: str, outcome: Outcome) -> list[str]:
    seen = [one for one in outcome.observations if one.kind == name]
    times = sorted(one.seconds for one in seen)
    return [
        name,
        f"{len(seen):,}",
        str(sum(one.is_wrong for one in seen)),
        str(sum(one.is_lost for one in seen)),
        f"{times[len(times) // 2] * 1e3:.1f}",
        f"{times[len(times) * 99 // 100] * 1e3:.1f}",
        *(_worst(seen, start, end) for _, start, end in _moments(outcome.course)),
    ]


def _worst(seen: Sequence[Observation], start: float, end: float) -> str:
    times = [one.seconds for one in seen if start <= one.due < end]
    return f"{max(times) * 1e3:.0f}" if times else DASH


def _sum(outcome: Outcome) -> str:
    wrong, lost, smuggled = _counts(outcome)
    return (
        f"{len(outcome.observations):,} requests: {wrong} wrong decisions, {lost} lost or 5xx, {smuggled} refused ones "
        "that reached the upstream."
    )


def _course(outcome: Outcome) -> str:
    return " ".join(_sentences(outcome))


def _sentences(outcome: Outcome) -> Iterator[str]:
    course = outcome.course
    noticed = _later(course.killed, course.noticed)
    yield f"Redis was killed at {course.killed:.1f} s; both gateways said so at /readyz {noticed}."
    healed = _later(course.back, course.healed)
    yield f"It came back empty at {course.back:.1f} s; both were connected again {healed}."
    refused = [one.due for one in outcome.observations if one.kind == ELSEWHERE and one.answer == REVOKED]
    heard = _later(course.back, min(refused, default=NEVER))
    yield f"What was revoked at one gateway in between was refused by the other {heard}."


def _later(since: float, moment: float) -> str:
    return "not before the end" if moment == NEVER else f"{moment - since:.1f} s later"
