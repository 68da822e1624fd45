"""The last refusals: few, newest first, and nothing of the client in them."""

from __future__ import annotations

import itertools
import json

import pytest

from gateway.admin.metrics import Metrics
from gateway.admin.refusals import KEPT, Refusal, Refusals
from gateway.record import RequestRecord


def record(number: int, reason: str | None = "token_missing") -> RequestRecord:
    made = RequestRecord("GET", 0.0, f"id{number}")
    made.route, made.status, made.reason, made.decision = "read", 401, reason, "refuse"
    made.client_ip, made.path, made.subject, made.client_id, made.host = ("CANARY",) * 5
    return made


def counting() -> Refusals:
    return Refusals(itertools.count(1.0).__next__)


def test_the_newest_stands_first_and_says_nothing_of_the_client() -> None:
    refusals = counting()
    for number in (1, 2):
        refusals.observe(record(number))
    assert refusals.newest_first() == [
        Refusal(2.0, "read", "token_missing", 401, "id2"),
        Refusal(1.0, "read", "token_missing", 401, "id1"),
    ]


def test_no_more_than_the_last_few_are_kept_however_many_there_are() -> None:
    refusals = counting()
    for number in range(10 * KEPT + 7):
        refusals.observe(record(number))
        assert len(refusals.newest_first()) <= KEPT
    assert [each.request_id for each in refusals.newest_first()] == [
        f"id{number}" for number in range(10 * KEPT + 6, 9 * KEPT + 6, -1)
    ]


def test_what_was_handed_over_is_kept_by_the_other_side_in_the_order_of_time() -> None:
    ours, theirs = counting(), Refusals(itertools.count(1.5).__next__)
    for number in range(2):
        ours.observe(record(number))
        theirs.observe(record(10 + number))
    ours.add(map(Refusal.from_json, json.loads(json.dumps(theirs.handed_over()))))
    assert [each.request_id for each in ours.newest_first()] == ["id11", "id1", "id10", "id0"]
    assert theirs.newest_first() == theirs.handed_over() == []
    ours.add(Refusal(10.0 + number, "", "x", 400, "y") for number in range(2 * KEPT))
    assert {each.reason for each in ours.newest_first()} == {"x"}


@pytest.mark.parametrize("members", [None, [], [1.0, "a", "b", "c", "d"], [1.0, "a", "b", 401, "d", "e"], {"at": 1}])
def test_what_is_no_refusal_is_not_taken_over(members: object) -> None:
    with pytest.raises(ValueError, match="not a refusal"):
        Refusal.from_json(members)


def test_metrics_note_what_was_refused_and_nothing_else() -> None:
    metrics = Metrics(itertools.count(1.0).__next__)
    metrics.observe(record(1, reason=None))
    assert metrics.refusals.newest_first() == []
    metrics.observe(record(2))
    assert [each.request_id for each in metrics.refusals.newest_first()] == ["id2"]
