"""When a request may be sent again, for every cause, method and body; and how many may be."""

from __future__ import annotations

import itertools

import pytest

from gateway.http import client
from gateway.upstream.retry import CAUSES, CONNECT, Budget, Retry, cause_of

METHODS = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH", "PROPFIND")
SAFE = ("GET", "HEAD", "OPTIONS")


def rules(attempts: int = 1, causes: tuple[str, ...] = CAUSES, methods: tuple[str, ...] = METHODS) -> Retry:
    return Retry(attempts, frozenset(causes), frozenset(methods), Budget(1.0))


@pytest.mark.parametrize(("cause", "method", "has_body"), [*itertools.product(CAUSES, METHODS, (False, True))])
def test_what_was_written_is_sent_again_only_when_it_is_safe_and_has_no_body(
    cause: str, method: str, has_body: bool
) -> None:
    expected = cause == CONNECT or (method in SAFE and not has_body)
    assert rules().allows(cause, attempt=1, method=method, has_body=has_body) is expected


@pytest.mark.parametrize("cause", CAUSES)
def test_only_after_the_causes_that_were_named(cause: str) -> None:
    others = tuple(other for other in CAUSES if other != cause)
    assert rules(causes=(cause,)).allows(cause, attempt=1, method="GET", has_body=False)
    assert not rules(causes=others).allows(cause, attempt=1, method="GET", has_body=False)


def test_only_the_methods_that_were_named() -> None:
    assert not rules(methods=("GET",)).allows(CONNECT, attempt=1, method="POST", has_body=False)


def test_so_many_attempts_and_no_more() -> None:
    found = [rules(attempts=2).allows(CONNECT, attempt=n, method="GET", has_body=False) for n in (1, 2, 3)]
    assert found == [True, True, False]


@pytest.mark.parametrize(
    ("problem", "cause"),
    [
        (client.ConnectFailed(), "connect"),
        (client.ConnectTimeout(), "connect"),
        (client.Disconnected(), "disconnect"),
        (client.ResponseTimeout(), "timeout"),
        (client.PoolTimeout(), None),
        (client.ResponseInvalid(), None),
        (client.IdleTimeout(), None),
    ],
)
def test_each_failure_has_its_cause(problem: Exception, cause: str | None) -> None:
    assert cause_of(problem) == cause
    if cause is None:
        assert not rules().allows(cause, attempt=1, method="GET", has_body=False)


def test_in_the_long_run_the_retries_are_a_share_of_the_requests() -> None:
    budget, spent = Budget(0.2), 0
    for _ in range(10_000):
        budget.earn()
        spent += budget.spend()
    assert 0.2 * 10_000 <= spent <= 0.2 * 10_000 + 100


def test_a_burst_of_failures_after_quiet_times_is_covered() -> None:
    budget = Budget(0.2)
    assert sum(budget.spend() for _ in range(1000)) == 100


def test_a_small_budget_is_one_at_a_time_and_none_is_none() -> None:
    small, none = Budget(0.0001), Budget(0.0)
    assert [small.spend(), small.spend(), none.spend()] == [True, False, False]


def test_what_is_not_allowed_costs_nothing() -> None:
    retry = Retry(1, frozenset({"connect"}), frozenset({"GET"}), Budget(0.002))
    for _ in range(10):
        assert not retry.allows("503", attempt=1, method="GET", has_body=False)
    assert retry.allows("connect", attempt=1, method="GET", has_body=False)
    assert not retry.allows("connect", attempt=1, method="GET", has_body=False)
