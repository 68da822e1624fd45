"""The figures that Prometheus is told (text exposition format 0.0.4): what there is, and how several processes add up.

A figure is a row of numbers under the values of its labels: one number, or the sum and the buckets of a histogram. So
they can be sent from one process to another and added, whatever they count. Knows nothing of where they come from.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# From a cached token (tens of microseconds) to a wait for an issuer's keys.
AUTH_BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)

Labels = tuple[str, ...]
Row = list[float]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. `together` makes one gauge of those of two processes; what counts is always added."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Labels = ()
    bounds: tuple[float, ...] = ()
    together: Callable[[float, float], float] = operator.add

    @property
    def width(self) -> int:
        """How many numbers a row has."""
        return len(self.bounds) + 2 if self.kind == "histogram" else 1


_FAMILIES = (
    Family(
        "gateway_requests",
        "counter",
        "Requests that have ended; status 499: the client went away before its answer.",
        ("route", "method", "status"),
    ),
    Family(
        "gateway_decisions",
        "counter",
        "Decisions about requests: allow, refuse or would_refuse, and the reason.",
        ("route", "decision", "reason", "issuer"),
    ),
    Family(
        "gateway_request_duration_seconds",
        "histogram",
        "From the head of a request to the end of its response.",
        ("route",),
        REQUEST_BUCKETS,
    ),
    Family("gateway_auth_duration_seconds", "histogram", "What the decision took.", (), AUTH_BUCKETS),
    Family("gateway_upstream_duration_seconds", "histogram", "What the upstream took.", ("upstream",), REQUEST_BUCKETS),
    Family("gateway_requests_in_flight", "gauge", "Requests without a whole answer."),
    Family("gateway_connections", "gauge", "Open connections of clients."),
    Family("gateway_build_info", "gauge", "Always 1; says the version.", ("version",), together=max),
    Family(
        "gateway_config_last_reload_successful", "gauge", "0 when the last reload was refused, else 1.", together=min
    ),
    Family(
        "gateway_config_last_reload_timestamp_seconds",
        "gauge",
        "When the configuration in use was taken, in seconds since the epoch.",
        together=max,
    ),
    Family("gateway_workers", "gauge", "Worker processes that serve."),
    Family("gateway_worker_restarts", "counter", "Worker processes that were started in place of one that ended."),
    # The oldest keys, the longest list: where processes differ, the one that is behind is what an operator looks for.
    Family("gateway_jwks_age_seconds", "gauge", "How old an issuer's keys are.", ("issuer",), together=max),
    Family("gateway_jwks_skipped_keys", "gauge", "Keys of an issuer that can't be used.", ("issuer",), together=max),
    Family("gateway_jwks_refresh", "counter", "Fetches of an issuer's keys, by their result.", ("issuer", "result")),
    Family("gateway_introspection", "counter", "Calls to an issuer's introspection, by result.", ("issuer", "result")),
    Family("gateway_introspection_duration_seconds", "histogram", "What the calls took.", ("issuer",), REQUEST_BUCKETS),
    Family("gateway_cache_operations", "counter", "Look-ups in a cache: hit or miss.", ("cache", "result")),
    Family(
        "gateway_upstream_healthy",
        "gauge",
        "1 while requests go to this endpoint.",
        ("upstream", "endpoint"),
        together=min,
    ),
    Family("gateway_upstream_retries", "counter", "Requests that were sent again.", ("upstream",)),
    Family("gateway_rate_limited", "counter", "Requests refused because they came too soon.", ("route",)),
    Family("gateway_revocations", "gauge", "Entries of the deny list.", together=max),
    Family("gateway_redis_up", "gauge", "1 while Redis can be used.", together=min),
    Family(
        "gateway_redis_operations",
        "counter",
        "Operations by result: ok, or why Redis could not be used.",
        ("result",),
    ),
)
FAMILIES: Mapping[str, Family] = {family.name: family for family in _FAMILIES}
"""Every metric by its name (a counter's without `_total`), in the order in which they are told."""


class Figures:
    """The rows of each metric, at one moment."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[Labels, Row]] = {}

    def put(self, name: str, rows: Iterable[tuple[Labels, Row]]) -> None:
        """Set all rows of one metric; a metric without rows is told all the same."""
        self._rows[name] = dict(rows)

    def one(self, name: str, value: float) -> None:
        """Set a metric without labels."""
        self._rows[name] = {(): [value]}

    def rows(self, name: str) -> Mapping[Labels, Row]:
        """The rows of one metric, by the values of its labels; none of a metric that is not there."""
        return self._rows.get(name, {})

    def add(self, others: Figures) -> None:
        """Count in those of another process."""
        for name, rows in others._rows.items():
            self._add(FAMILIES[name], rows)

    def add_counts(self, others: Figures) -> None:
        """Count in what another process did before it ended; its gauges ended with it."""
        for name, rows in others._rows.items():
            if FAMILIES[name].kind != "gauge":
                self._add(FAMILIES[name], rows)

    def _add(self, family: Family, rows: Mapping[Labels, Row]) -> None:
        ours = self._rows.setdefault(family.name, {})
        together = family.together if family.kind == "gauge" else operator.add
        for labels, row in rows.items():
            known = ours.get(labels)
            ours[labels] = list(row) if known is None else list(map(together, known, row))

    def as_json(self) -> dict[str, Any]:
        """For another process."""
        return {name: [[list(labels), row] for labels, row in rows.items()] for name, rows in self._rows.items()}

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> Figures:
        """The opposite of `as_json`; metrics that are not known here are left out. Raises ValueError."""
        figures = cls()
        for name, rows in members.items():
            family = FAMILIES.get(name)
            if family is not None:
                figures.put(name, (_checked(family, row) for row in _as_list(rows)))
        return figures

    def render(self) -> bytes:
        """Everything, in the text format that `CONTENT_TYPE` names."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Families(self._metrics()))
        return generate_latest(registry)

    def _metrics(self) -> Iterator[Metric]:
        for family in _FAMILIES:
            if family.name in self._rows:
                yield _metric(family, self._rows[family.name])


def _as_list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("not figures")
    return value


def _checked(family: Family, row: object) -> tuple[Labels, Row]:
    match row:
        case [list(labels), list(numbers)] if len(labels) == len(family.labels) and len(numbers) == family.width:
            if all(isinstance(label, str) for label in labels) and all(map(_is_number, numbers)):
                return tuple(labels), numbers
    raise ValueError(f"not figures of {family.name}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _metric(family: Family, rows: Mapping[Labels, Row]) -> Metric:
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        for labels, (total, *counts) in rows.items():
            histogram.add_metric(labels, _cumulative(family, counts), total)
        return histogram
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.labels)
    for labels, (value,) in rows.items():
        metric.add_metric(labels, value)
    return metric


def _cumulative(family: Family, counts: Iterable[float]) -> list[tuple[str, float]]:
    """The buckets as the format wants them: each holds those below it too."""
    total = 0.0
    buckets = []
    for bound, count in zip((*map(str, family.bounds), "+Inf"), counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets


class _Families(Collector):
    """What a registry wants to be given: an object that collects."""

    def __init__(self, metrics: Iterator[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics
