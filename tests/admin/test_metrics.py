"""What Prometheus reads, parsed with its own library's parser."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from gateway import __version__
from gateway.admin.metrics import Metrics
from gateway.oauth.keys import KeySet
from gateway.record import RequestRecord

NOW = 1_800_000_000.0


@dataclass
class Keys:
    """A source of keys that never fetches."""

    name: str
    fetched_at: float | None = None
    results: Counter[str] = field(default_factory=Counter)
    keys: KeySet | None = None

    def current(self, now: float) -> KeySet | None:
        return self.keys

    async def start(self) -> None:
        return

    async def close(self) -> None:
        return

    async def first(self) -> None:
        return

    async def refresh_for_unknown_kid(self) -> None:
        return

    async def refresh(self) -> str:
        return "ok"


@dataclass
class Cache:
    hits: int
    misses: int


def ended(
    method: str = "GET", status: int = 200, route: str | None = "orders", decision: str | None = "allow"
) -> RequestRecord:
    record = RequestRecord(method, 0.0, "r-1")
    record.status, record.route, record.decision = status, route, decision
    record.seconds, record.auth_seconds = 0.02, 0.0002
    record.path = "/orders/secret-path"
    record.subject = "secret-subject"
    return record


def families(metrics: Metrics) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(metrics.render().decode("utf-8"))}


LABELS = ("route", "method", "status", "decision", "reason", "upstream", "cache", "issuer", "result", "version", "le")


def values(metrics: Metrics, sample: str) -> dict[tuple[str, ...], float]:
    """The values of one sample by the values of its labels, in the order of LABELS."""
    return {
        tuple(found.labels[name] for name in LABELS if name in found.labels): found.value
        for family in families(metrics).values()
        for found in family.samples
        if found.name == sample
    }


def test_requests_are_counted_by_route_method_and_status() -> None:
    metrics = Metrics()
    for record in (ended(), ended(), ended("POST", 201), ended(status=499)):
        metrics.observe(record)
    assert values(metrics, "gateway_requests_total") == {
        ("orders", "GET", "200"): 2,
        ("orders", "POST", "201"): 1,
        ("orders", "GET", "499"): 1,
    }


def test_methods_that_clients_make_up_share_one_label() -> None:
    metrics = Metrics()
    for number in range(50):
        metrics.observe(ended(f"X{number}"))
    assert values(metrics, "gateway_requests_total") == {("orders", "other", "200"): 50}


def test_a_request_without_route_and_decision_has_an_empty_route_and_no_decision() -> None:
    metrics = Metrics()
    metrics.observe(ended(status=400, route=None, decision=None))
    assert values(metrics, "gateway_requests_total") == {("", "GET", "400"): 1}
    assert values(metrics, "gateway_decisions_total") == {}
    assert values(metrics, "gateway_auth_duration_seconds_count") == {(): 0}


def test_decisions_are_counted_with_their_reason_and_issuer() -> None:
    metrics = Metrics()
    metrics.observe(ended())
    refused = ended(status=403, decision="refuse")
    refused.reason, refused.issuer = "insufficient_scope", "corp"
    metrics.observe(refused)
    shadow = ended(decision="would_refuse")
    shadow.reason = "token_expired"
    metrics.observe(shadow)
    assert values(metrics, "gateway_decisions_total") == {
        ("orders", "allow", "", ""): 1,
        ("orders", "refuse", "insufficient_scope", "corp"): 1,
        ("orders", "would_refuse", "token_expired", ""): 1,
    }


@pytest.mark.parametrize(
    ("seconds", "first_bucket"),
    [
        pytest.param(0.0, "0.001", id="nothing"),
        pytest.param(0.001, "0.001", id="a bound belongs to its bucket"),
        pytest.param(0.0011, "0.0025", id="just above a bound"),
        pytest.param(3600.0, "+Inf", id="longer than every bound"),
    ],
)
def test_a_duration_is_in_its_bucket_and_all_larger_ones(seconds: float, first_bucket: str) -> None:
    metrics = Metrics()
    record = ended()
    record.seconds = seconds
    metrics.observe(record)
    buckets = values(metrics, "gateway_request_duration_seconds_bucket")
    counted = [bound for (_, bound), count in buckets.items() if count == 1]
    assert float(counted[0]) == float(first_bucket)
    assert counted[-1] == "+Inf"
    assert len(counted) == sum(float(bound) >= float(first_bucket) for _, bound in buckets)
    assert values(metrics, "gateway_request_duration_seconds_count") == {("orders",): 1}
    assert values(metrics, "gateway_request_duration_seconds_sum") == {("orders",): seconds}


def test_the_upstream_s_time_is_told_only_of_requests_that_reached_one() -> None:
    metrics = Metrics()
    metrics.observe(ended())
    forwarded = ended()
    forwarded.upstream, forwarded.upstream_seconds = "orders-api", 0.25
    metrics.observe(forwarded)
    assert values(metrics, "gateway_upstream_duration_seconds_sum") == {("orders-api",): 0.25}
    assert values(metrics, "gateway_auth_duration_seconds_count") == {(): 2}


def test_figures_that_others_keep_are_read_when_a_scrape_comes() -> None:
    metrics = Metrics(clock=lambda: NOW)
    running = [0, 0]
    cache = Cache(0, 0)
    keys = Keys("corp")
    metrics.watch(
        requests_in_flight=lambda: running[0],
        connections=lambda: running[1],
        key_sources=[keys],
        caches={"token": [cache]},
        revocations=lambda: 4,
    )
    assert values(metrics, "gateway_jwks_age_seconds") == {}
    running[:] = [3, 7]
    cache.hits, cache.misses = 90, 10
    keys.fetched_at, keys.keys = NOW - 42, KeySet((), "f", skipped=("key 1: private",))
    keys.results.update({"ok": 2, "timeout": 1})
    assert values(metrics, "gateway_requests_in_flight") == {(): 3}
    assert values(metrics, "gateway_connections") == {(): 7}
    assert values(metrics, "gateway_cache_operations_total") == {("token", "hit"): 90, ("token", "miss"): 10}
    assert values(metrics, "gateway_revocations") == {(): 4}
    assert values(metrics, "gateway_jwks_age_seconds") == {("corp",): 42}
    assert values(metrics, "gateway_jwks_skipped_keys") == {("corp",): 1}
    assert values(metrics, "gateway_jwks_refresh_total") == {("corp", "ok"): 2, ("corp", "timeout"): 1}


@dataclass
class Redis:
    """What a Redis that comes and goes has to tell."""

    is_available: bool = True
    results: Counter[str] = field(default_factory=Counter)


def test_redis_and_introspection_are_told_of() -> None:
    metrics, redis = Metrics(), Redis()
    metrics.watch(
        requests_in_flight=lambda: 0,
        connections=lambda: 0,
        key_sources=[],
        caches={"introspection": [Cache(1, 2), Cache(3, 4)]},
        revocations=lambda: 0,
        redis=redis,
    )
    metrics.observe_introspection("corp", "active", 0.25)
    metrics.observe_introspection("corp", "timeout", 3.0)
    redis.results.update({"ok": 5, "timeout": 1})
    assert values(metrics, "gateway_cache_operations_total")[("introspection", "miss")] == 6
    assert values(metrics, "gateway_introspection_total") == {("corp", "active"): 1, ("corp", "timeout"): 1}
    assert values(metrics, "gateway_introspection_duration_seconds_sum") == {("corp",): 3.25}
    assert values(metrics, "gateway_redis_operations_total") == {("ok",): 5, ("timeout",): 1}
    assert values(metrics, "gateway_redis_up") == {(): 1}
    redis.is_available = False
    assert values(metrics, "gateway_redis_up") == {(): 0}


def test_the_age_of_keys_is_never_negative() -> None:
    metrics = Metrics(clock=lambda: NOW)
    metrics.watch(
        requests_in_flight=lambda: 0,
        connections=lambda: 0,
        key_sources=[Keys("corp", fetched_at=NOW + 5)],
        caches={},
        revocations=lambda: 0,
    )
    assert values(metrics, "gateway_jwks_age_seconds") == {("corp",): 0}


def test_the_version_is_told() -> None:
    assert values(Metrics(), "gateway_build_info") == {(__version__,): 1}


def test_no_path_and_no_subject_is_among_the_metrics() -> None:
    metrics = Metrics()
    metrics.observe(ended())
    assert b"secret" not in metrics.render()


def test_every_metric_has_a_help_text_and_the_prefix() -> None:
    metrics = Metrics()
    metrics.observe(ended())
    for name, family in families(metrics).items():
        assert name.startswith("gateway_")
        assert family.documentation
        assert family.type in {"counter", "gauge", "histogram"}
