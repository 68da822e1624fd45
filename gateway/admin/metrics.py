"""Counts what happened and tells it to Prometheus (text exposition format 0.0.4); knows nothing of HTTP.

Requests are counted in plain dictionaries, for the library's own counters cost a lock and a lookup per label set.
Labels have few values: names from the configuration and a closed list of words, never a path, a subject or a token.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gateway import __version__
from gateway.oauth.key_source import KeySource
from gateway.record import RequestRecord

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY", "PROPFIND", "REPORT"}
)
_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# From a cached token (tens of microseconds) to a wait for an issuer's keys.
_AUTH_BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


class CacheFigures(Protocol):
    """How often a cache had what it was asked for."""

    hits: int
    misses: int


class RedisFigures(Protocol):
    """How Redis does."""

    @property
    def results(self) -> Mapping[str, int]:
        """How often an operation had this result."""
        ...

    @property
    def is_available(self) -> bool:
        """Whether it could be used the last time."""
        ...


class UpstreamFigures(Protocol):
    """How the endpoints of an upstream do."""

    retries: int
    """How often a request was sent again."""

    @property
    def health(self) -> Mapping[str, bool]:
        """By the address of an endpoint, whether requests go there."""
        ...


class _Histogram:
    """Durations in seconds, counted by the first bucket whose upper bound is not below them."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Add the cumulative buckets, as the format wants them."""
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        family.add_metric(labels, buckets, self._sum)


class Metrics:
    """The figures of one worker since it started."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._requests: defaultdict[tuple[str, str, int], int] = defaultdict(int)
        self._decisions: defaultdict[tuple[str, str, str, str], int] = defaultdict(int)
        self._durations: defaultdict[str, _Histogram] = defaultdict(lambda: _Histogram(_REQUEST_BUCKETS))
        self._upstreams: defaultdict[str, _Histogram] = defaultdict(lambda: _Histogram(_REQUEST_BUCKETS))
        self._auth = _Histogram(_AUTH_BUCKETS)
        self._in_flight: Callable[[], int] | None = None
        self._connections: Callable[[], int] | None = None
        self._key_sources: Sequence[KeySource] = ()
        self._caches: Mapping[str, Sequence[CacheFigures]] = {}
        self._introspections: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._introspection_durations: defaultdict[str, _Histogram] = defaultdict(lambda: _Histogram(_REQUEST_BUCKETS))
        self._redis: RedisFigures | None = None
        self._revocations: Callable[[], int] | None = None
        self._watched_upstreams: Mapping[str, UpstreamFigures] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Families(self._collect))

    def watch(
        self,
        *,
        requests_in_flight: Callable[[], int],
        connections: Callable[[], int],
        key_sources: Sequence[KeySource],
        caches: Mapping[str, Sequence[CacheFigures]],
        revocations: Callable[[], int],
        redis: RedisFigures | None = None,
        upstreams: Mapping[str, UpstreamFigures] | None = None,
    ) -> None:
        """Say where to read the figures that others keep; they are read when a scrape comes. `caches` by label."""
        self._in_flight = requests_in_flight
        self._connections = connections
        self._key_sources = key_sources
        self._caches = caches
        self._revocations = revocations
        self._redis = redis
        self._watched_upstreams = upstreams or {}

    def observe(self, record: RequestRecord) -> None:
        """Count one request that has ended."""
        route = record.route or ""
        method = record.method if record.method in _METHODS else "other"
        self._requests[route, method, record.status] += 1
        self._durations[route].observe(record.seconds)
        if record.decision is not None:
            self._decisions[route, record.decision, record.reason or "", record.issuer or ""] += 1
            self._auth.observe(record.auth_seconds)
        if record.upstream is not None and record.upstream_seconds is not None:
            self._upstreams[record.upstream].observe(record.upstream_seconds)

    def observe_introspection(self, issuer: str, result: str, seconds: float) -> None:
        """Count one call to an issuer: `active`, `inactive`, or the kind of its failure."""
        self._introspections[issuer, result] += 1
        self._introspection_durations[issuer].observe(seconds)

    def render(self) -> bytes:
        """Everything, in the text format that `CONTENT_TYPE` names."""
        return generate_latest(self._registry)

    def _collect(self) -> Iterator[Metric]:
        yield from self._of_requests()
        yield from self._of_durations()
        yield from self._of_now()
        yield from self._of_keys()
        yield from self._of_introspection()
        yield from self._of_caches()
        yield from self._of_endpoints()
        yield from self._of_shared_state()

    def _of_requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "gateway_requests",
            "Requests that have ended; status 499: the client went away before its answer.",
            labels=["route", "method", "status"],
        )
        for (route, method, status), count in self._requests.items():
            requests.add_metric([route, method, str(status)], count)
        yield requests
        decisions = CounterMetricFamily(
            "gateway_decisions",
            "Decisions about requests: allow, refuse or would_refuse, and the reason.",
            labels=["route", "decision", "reason", "issuer"],
        )
        for labels, count in self._decisions.items():
            decisions.add_metric(labels, count)
        yield decisions

    def _of_durations(self) -> Iterator[Metric]:
        requests = HistogramMetricFamily(
            "gateway_request_duration_seconds",
            "From the head of a request to the end of its response.",
            labels=["route"],
        )
        for route, histogram in self._durations.items():
            histogram.add_to(requests, [route])
        yield requests
        auth = HistogramMetricFamily("gateway_auth_duration_seconds", "What the decision took.", labels=[])
        self._auth.add_to(auth, [])
        yield auth
        upstreams = HistogramMetricFamily(
            "gateway_upstream_duration_seconds",
            "What the upstream took.",
            labels=["upstream"],
        )
        for upstream, histogram in self._upstreams.items():
            histogram.add_to(upstreams, [upstream])
        yield upstreams

    def _of_now(self) -> Iterator[Metric]:
        if self._in_flight is not None:
            yield GaugeMetricFamily("gateway_requests_in_flight", "Requests without a whole answer.", self._in_flight())
        if self._connections is not None:
            yield GaugeMetricFamily("gateway_connections", "Open connections of clients.", self._connections())
        build = GaugeMetricFamily("gateway_build_info", "Always 1; says the version.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build

    def _of_keys(self) -> Iterator[Metric]:
        now = self._clock()
        age = GaugeMetricFamily("gateway_jwks_age_seconds", "How old an issuer's keys are.", labels=["issuer"])
        skipped = GaugeMetricFamily(
            "gateway_jwks_skipped_keys", "Keys of an issuer that can't be used.", labels=["issuer"]
        )
        refresh = CounterMetricFamily(
            "gateway_jwks_refresh", "Fetches of an issuer's keys, by their result.", labels=["issuer", "result"]
        )
        for source in self._key_sources:
            if source.fetched_at is not None:
                age.add_metric([source.name], max(0.0, now - source.fetched_at))
            if (keys := source.current(now)) is not None:
                skipped.add_metric([source.name], len(keys.skipped))
            for result, count in source.results.items():
                refresh.add_metric([source.name, result], count)
        yield from (age, skipped, refresh)

    def _of_caches(self) -> Iterator[Metric]:
        operations = CounterMetricFamily(
            "gateway_cache_operations", "Look-ups in a cache: hit or miss.", labels=["cache", "result"]
        )
        for name, caches in self._caches.items():
            operations.add_metric([name, "hit"], sum(figures.hits for figures in caches))
            operations.add_metric([name, "miss"], sum(figures.misses for figures in caches))
        yield operations

    def _of_introspection(self) -> Iterator[Metric]:
        calls = CounterMetricFamily(
            "gateway_introspection", "Calls to an issuer's introspection, by result.", labels=["issuer", "result"]
        )
        for labels, count in self._introspections.items():
            calls.add_metric(labels, count)
        yield calls
        durations = HistogramMetricFamily(
            "gateway_introspection_duration_seconds", "What the calls took.", labels=["issuer"]
        )
        for issuer, histogram in self._introspection_durations.items():
            histogram.add_to(durations, [issuer])
        yield durations

    def _of_endpoints(self) -> Iterator[Metric]:
        healthy = GaugeMetricFamily(
            "gateway_upstream_healthy", "1 while requests go to this endpoint.", labels=["upstream", "endpoint"]
        )
        retries = CounterMetricFamily("gateway_upstream_retries", "Requests that were sent again.", labels=["upstream"])
        for name, upstream in self._watched_upstreams.items():
            retries.add_metric([name], upstream.retries)
            for endpoint, is_healthy in upstream.health.items():
                healthy.add_metric([name, endpoint], int(is_healthy))
        yield from (healthy, retries)

    def _of_shared_state(self) -> Iterator[Metric]:
        if self._revocations is not None:
            yield GaugeMetricFamily("gateway_revocations", "Entries of the deny list.", self._revocations())
        if self._redis is None:
            return
        yield GaugeMetricFamily("gateway_redis_up", "1 while Redis can be used.", int(self._redis.is_available))
        operations = CounterMetricFamily(
            "gateway_redis_operations", "Operations by result: ok, or why Redis could not be used.", labels=["result"]
        )
        for result, count in self._redis.results.items():
            operations.add_metric([result], count)
        yield operations


class _Families(Collector):
    """What a registry wants to be given: an object that collects."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._of = collect

    def collect(self) -> Iterable[Metric]:
        return self._of()
