"""The price of what a configuration may say of traffic: each kind forwards and refuses, pairs are judged rightly."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.issuer import Issuer
from benchmarks.load import Figures, Sample
from benchmarks.requests import Request
from benchmarks.rounds import Absent, Effort
from benchmarks.scenarios import prefixes
from benchmarks.servers.gateway import BESIDE
from benchmarks.servers.peer import Setting, status_of
from benchmarks.traffic import CHANGES, ELSEWHERE, PLAIN, Price, is_good, kind, measure, report
from benchmarks.upstream import Upstream
from tests.benchmarks.conftest import CORES, needs


def samples(*microseconds: float) -> list[Sample]:
    return [Sample(Figures(1_000_000, 1.0, 1.0, 1.0), 1_000_000, each, 50.0) for each in microseconds]


def test_what_changes_on_the_machine_meets_both_of_a_pair() -> None:
    price = Price.of(samples(33, 65, 43), samples(30, 60, 42))
    assert (price.microseconds, price.more, price.least, price.most) == (43, 3, 1, 5)


@pytest.mark.parametrize(
    ("more", "holds", "verdict"),
    [(5.0, True, "+5.0 µs: yes"), (5.1, False, "+5.1 µs: no"), (-1.0, True, "-1.0 µs: yes")],
)
def test_the_promise_is_judged_by_the_middle_pair(more: float, holds: bool, verdict: str) -> None:
    prices: dict[str, Price | Absent] = {
        PLAIN: Price(30, 0, 0, 0),
        ELSEWHERE: Price(30 + more, more, more - 9, more + 9),
    }
    assert is_good(prices) is holds
    text = report(prices)
    assert text.endswith(f"{verdict}.")
    assert f"| {ELSEWHERE} | {30 + more:.1f} | {more:+.1f} | {more - 9:+.1f} to {more + 9:+.1f} |" in text
    prices["other"] = Absent("wrong answers", is_fault=True)
    assert not is_good(prices)
    assert "| other | wrong answers | - | - |" in report(prices)


@needs("nginx")
@pytest.mark.parametrize("name", CHANGES)
def test_each_kind_forwards_what_is_good_and_refuses_what_is_not(
    tmp_path: Path, api: Upstream, issuer: Issuer, name: str
) -> None:
    home = tmp_path / "server"
    home.mkdir()
    place = Setting(home, CORES, api.port, api.jwks_uri, issuer, prefixes(1))
    with kind(name, BESIDE).start(place):
        before = api.settled()
        assert [status_of(place.port, Request(token=issuer.token())) for _ in range(6)] == [200] * 6
        assert status_of(place.port, Request()) == 401
        assert api.settled() - before == 6


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two cores are needed")
@needs("nginx", "wrk", "taskset")
def test_kinds_are_measured_in_turns() -> None:
    prices = measure(BESIDE, Effort(rounds=2, seconds=1, connections=4), [PLAIN, ELSEWHERE])
    assert list(prices) == [PLAIN, ELSEWHERE]
    plain, elsewhere = prices[PLAIN], prices[ELSEWHERE]
    assert isinstance(plain, Price)
    assert isinstance(elsewhere, Price)
    assert plain.more == plain.least == plain.most == 0
    assert 1 < plain.microseconds < 5000
    assert 1 < elsewhere.microseconds < 5000
