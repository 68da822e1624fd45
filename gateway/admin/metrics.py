"""Counts what happened in this process and tells its figures; knows nothing of HTTP.

Requests are counted in plain dictionaries, for the library's own counters cost a lock and a lookup per label set.
Labels have few values: names from the configuration and a closed list of words, never a path, a subject or a token.
"""

from __future__ import annotations

import itertools
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from gateway import __version__
from gateway.admin.figures import AUTH_BUCKETS, REQUEST_BUCKETS, Figures
from gateway.admin.refusals import Refusals
from gateway.oauth.key_source import KeySource
from gateway.record import RequestRecord

_METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY", "PROPFIND", "REPORT"}
)


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

    def row(self) -> list[float]:
        """The sum, then the buckets."""
        return [self._sum, *self._counts]


def _of_requests() -> _Histogram:
    return _Histogram(REQUEST_BUCKETS)


class Metrics:
    """The figures of one process since it started."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._requests: defaultdict[tuple[str, str, int], int] = defaultdict(int)
        self._decisions: defaultdict[tuple[str, str, str, str], int] = defaultdict(int)
        self._durations: defaultdict[str, _Histogram] = defaultdict(_of_requests)
        self._upstreams: defaultdict[str, _Histogram] = defaultdict(_of_requests)
        self._auth = _Histogram(AUTH_BUCKETS)
        self._introspections: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._introspection_durations: defaultdict[str, _Histogram] = defaultdict(_of_requests)
        self._in_flight: Callable[[], int] | None = None
        self._connections: Callable[[], int] | None = None
        self._key_sources: Sequence[KeySource] = ()
        self._caches: Mapping[str, Sequence[CacheFigures]] = {}
        self._redis: RedisFigures | None = None
        self._revocations: Callable[[], int] | None = None
        self._watched_upstreams: Mapping[str, UpstreamFigures] = {}
        self._limited: defaultdict[str, int] = defaultdict(int)
        self._past = Figures()
        self.refusals = Refusals(clock)

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
        """Say where to read the figures that others keep; they are read when a scrape comes. `caches` by label.

        Said again, it is for what has taken the place of others: what those had counted until now stays counted.
        """
        self._past.add_counts(self._told_by_others_than(key_sources, caches, upstreams or {}))
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
            if record.status == 429 and record.reason == "rate_limited":
                self._limited[route] += 1
            self._auth.observe(record.auth_seconds)
        if record.reason is not None:
            self.refusals.observe(record)
        if record.upstream is not None and record.upstream_seconds is not None:
            self._upstreams[record.upstream].observe(record.upstream_seconds)

    def observe_introspection(self, issuer: str, result: str, seconds: float) -> None:
        """Count one call to an issuer: `active`, `inactive`, or the kind of its failure."""
        self._introspections[issuer, result] += 1
        self._introspection_durations[issuer].observe(seconds)

    def render(self) -> bytes:
        """Everything, in the text format that `figures.CONTENT_TYPE` names."""
        return self.figures().render()

    def figures(self) -> Figures:
        """Everything, to be rendered here or added to that of other processes."""
        figures = Figures()
        self._tell_requests(figures)
        self._tell_now(figures)
        self._tell_keys(figures)
        self._tell_introspection(figures)
        self._tell_caches(figures)
        self._tell_endpoints(figures)
        figures.put("gateway_rate_limited", [((route,), [count]) for route, count in self._limited.items()])
        self._tell_shared_state(figures)
        figures.add_counts(self._past)
        return figures

    def _told_by_others_than(
        self,
        key_sources: Sequence[KeySource],
        caches: Mapping[str, Sequence[CacheFigures]],
        upstreams: Mapping[str, UpstreamFigures],
    ) -> Figures:
        """What those tell that are watched now, and are not among these."""
        gone = Figures()
        kept = {id(each) for each in (*key_sources, *upstreams.values(), *itertools.chain(*caches.values()))}
        self._key_sources = [each for each in self._key_sources if id(each) not in kept]
        self._caches = {name: [each for each in known if id(each) not in kept] for name, known in self._caches.items()}
        self._watched_upstreams = {name: each for name, each in self._watched_upstreams.items() if id(each) not in kept}
        self._tell_keys(gone)
        self._tell_caches(gone)
        self._tell_endpoints(gone)
        return gone

    def _tell_requests(self, figures: Figures) -> None:
        figures.put(
            "gateway_requests",
            (((route, method, str(status)), [count]) for (route, method, status), count in self._requests.items()),
        )
        figures.put("gateway_decisions", ((labels, [count]) for labels, count in self._decisions.items()))
        figures.put("gateway_request_duration_seconds", _rows(self._durations))
        figures.put("gateway_auth_duration_seconds", [((), self._auth.row())])
        figures.put("gateway_upstream_duration_seconds", _rows(self._upstreams))

    def _tell_now(self, figures: Figures) -> None:
        if self._in_flight is not None:
            figures.one("gateway_requests_in_flight", self._in_flight())
        if self._connections is not None:
            figures.one("gateway_connections", self._connections())
        figures.put("gateway_build_info", [((__version__,), [1])])

    def _tell_keys(self, figures: Figures) -> None:
        now = self._clock()
        sources = self._key_sources
        figures.put(
            "gateway_jwks_age_seconds",
            (
                ((source.name,), [max(0.0, now - source.fetched_at)])
                for source in sources
                if source.fetched_at is not None
            ),
        )
        held = [(source.name, source.current(now)) for source in sources]
        figures.put(
            "gateway_jwks_skipped_keys", (((name,), [len(keys.skipped)]) for name, keys in held if keys is not None)
        )
        figures.put(
            "gateway_jwks_refresh",
            (((source.name, result), [count]) for source in sources for result, count in source.results.items()),
        )

    def _tell_introspection(self, figures: Figures) -> None:
        figures.put("gateway_introspection", ((labels, [count]) for labels, count in self._introspections.items()))
        figures.put("gateway_introspection_duration_seconds", _rows(self._introspection_durations))

    def _tell_caches(self, figures: Figures) -> None:
        rows: list[tuple[tuple[str, str], list[float]]] = []
        for name, caches in self._caches.items():
            rows.append(((name, "hit"), [sum(cache.hits for cache in caches)]))
            rows.append(((name, "miss"), [sum(cache.misses for cache in caches)]))
        figures.put("gateway_cache_operations", rows)

    def _tell_endpoints(self, figures: Figures) -> None:
        upstreams = self._watched_upstreams.items()
        figures.put(
            "gateway_upstream_healthy",
            [
                ((name, endpoint), [int(is_healthy)])
                for name, upstream in upstreams
                for endpoint, is_healthy in upstream.health.items()
            ],
        )
        figures.put("gateway_upstream_retries", [((name,), [upstream.retries]) for name, upstream in upstreams])

    def _tell_shared_state(self, figures: Figures) -> None:
        if self._revocations is not None:
            figures.one("gateway_revocations", self._revocations())
        if self._redis is not None:
            figures.one("gateway_redis_up", int(self._redis.is_available))
            figures.put(
                "gateway_redis_operations", (((result,), [count]) for result, count in self._redis.results.items())
            )


def _rows(histograms: Mapping[str, _Histogram]) -> list[tuple[tuple[str, ...], list[float]]]:
    return [((name,), histogram.row()) for name, histogram in histograms.items()]
