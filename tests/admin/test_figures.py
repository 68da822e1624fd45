"""How the figures of several processes become one set, and how they get from one process to another."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from gateway.admin.figures import FAMILIES, Figures
from gateway.admin.metrics import Metrics
from gateway.record import RequestRecord


def sample(figures: Figures, name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(figures.render().decode()):
        for found in family.samples:
            if found.name == name and labels.items() <= found.labels.items():
                return found.value
    raise AssertionError(f"no {name} with {labels}")


def counted(route: str, *seconds: float) -> Figures:
    metrics = Metrics()
    for each in seconds:
        record = RequestRecord("GET", 0.0)
        record.route, record.status, record.decision, record.seconds = route, 200, "allow", each
        metrics.observe(record)
    return metrics.figures()


def test_counters_and_histograms_add_up_by_their_labels() -> None:
    together = Figures()
    for each in (counted("a", 0.02, 7), counted("a", 0.02), counted("b", 0.5)):
        together.add(each)
    assert sample(together, "gateway_requests_total", route="a") == 3
    assert sample(together, "gateway_requests_total", route="b") == 1
    duration = "gateway_request_duration_seconds"
    assert sample(together, f"{duration}_count", route="a") == 3
    assert sample(together, f"{duration}_sum", route="a") == pytest.approx(7.04)
    assert sample(together, f"{duration}_bucket", route="a", le="0.025") == 2
    assert sample(together, f"{duration}_bucket", route="a", le="10.0") == 3
    assert sample(together, f"{duration}_bucket", route="b", le="0.5") == 1


@pytest.mark.parametrize(
    ("name", "first", "second", "together"),
    [
        ("gateway_requests_in_flight", 2, 3, 5),
        ("gateway_connections", 2, 3, 5),
        ("gateway_revocations", 2, 3, 3),
        ("gateway_redis_up", 1, 0, 0),
    ],
)
def test_gauges_become_what_an_operator_looks_for(name: str, first: int, second: int, together: int) -> None:
    for values in ((first, second), (second, first)):
        figures = Figures()
        for value in values:
            other = Figures()
            other.one(name, value)
            figures.add(other)
        assert sample(figures, name) == together


def test_the_oldest_keys_are_told_of_and_the_version_once() -> None:
    figures = Figures()
    for age in (10, 30, 20):
        other = Metrics().figures()
        other.put("gateway_jwks_age_seconds", [(("corp",), [age])])
        figures.add(other)
    assert sample(figures, "gateway_jwks_age_seconds", issuer="corp") == 30
    assert sample(figures, "gateway_build_info") == 1


def test_of_a_process_that_has_ended_only_what_it_counted_stays() -> None:
    ended = counted("a", 1)
    ended.one("gateway_requests_in_flight", 9)
    ended.one("gateway_revocations", 9)
    figures = Figures()
    figures.add_counts(ended)
    assert sample(figures, "gateway_requests_total", route="a") == 1
    for gauge in (b"gateway_requests_in_flight", b"gateway_revocations", b"gateway_build_info"):
        assert gauge not in figures.render()


def test_adding_leaves_what_was_added_as_it_was() -> None:
    one, figures = counted("a", 1), Figures()
    before = one.render()
    figures.add(one)
    figures.add(counted("a", 1))
    assert one.render() == before


def test_figures_arrive_as_they_were_sent() -> None:
    sent = counted('a "quoted" \n route', 0.001, 99)
    arrived = Figures.from_json(json.loads(json.dumps(sent.as_json())))
    assert arrived.render() == sent.render()


def test_metrics_of_another_version_are_left_out() -> None:
    arrived = Figures.from_json({**counted("a", 1).as_json(), "gateway_novelty": [[["x"], [1]]]})
    assert arrived.render() == counted("a", 1).render()


@pytest.mark.parametrize(
    "rows",
    [None, 5, {}, [None], [[[], [1]]], [[["r", "GET"], [1]]], [[["r", "GET", 200], [1]]], [[["r", "GET", "200"], 1]]]
    + [[[["r", "GET", "200"], values]] for values in ([], [1, 2], ["1"], [True], [None], [[1]])],
)
def test_what_is_no_row_is_refused(rows: Any) -> None:
    with pytest.raises(ValueError, match="not figures"):
        Figures.from_json({"gateway_requests": rows})


@given(st.lists(st.lists(st.floats(0, 100), max_size=5), max_size=5))
def test_it_makes_no_difference_in_which_process_something_was_counted(processes: list[list[float]]) -> None:
    together = Figures()
    for seconds in processes:
        together.add(counted("a", *seconds))
    alone = counted("a", *(each for seconds in processes for each in seconds))
    if any(processes):
        for suffix in ("count", "bucket"):
            name = f"gateway_request_duration_seconds_{suffix}"
            assert sample(together, name, route="a") == sample(alone, name, route="a")
        assert sample(together, "gateway_requests_total") == sample(alone, "gateway_requests_total")


def test_a_histogram_has_a_number_for_its_sum_for_each_bucket_and_for_what_is_above_all() -> None:
    for family in FAMILIES.values():
        assert family.width == (len(family.bounds) + 2 if family.kind == "histogram" else 1)
        assert bool(family.bounds) == (family.kind == "histogram")
