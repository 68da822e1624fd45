"""From the `redis` block of the configuration to what all replicas share: answers, revocations, keys."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gateway.access.limits import Buckets, FailureLimit, MemoryBuckets, Rate, SharedBuckets
from gateway.access.revocation import DenyList, Revoker
from gateway.access.revocation_feed import RevocationFeed
from gateway.build.crew import Crew
from gateway.build.report import Report
from gateway.cache.redis import SharedStore, check_address
from gateway.cache.sealing import Sealer
from gateway.cache.seen_once import SeenOnce
from gateway.config import Config


@dataclass(frozen=True, slots=True)
class Shared:
    """The deny list, which every gateway has, and the logout tokens that were used; the rest is None without Redis,
    `sealer` without its secret.
    """

    deny_list: DenyList
    revoker: Revoker
    logouts: SeenOnce
    store: SharedStore | None = None
    feed: RevocationFeed | None = None
    sealer: Sealer | None = None
    buckets: Buckets = field(default_factory=MemoryBuckets)
    failures: FailureLimit | None = None


def shared_state(config: Config, report: Report, crew: Crew) -> Shared:
    """What the replicas share."""
    shared = _stored_state(config, report, crew)
    return replace(shared, failures=_failure_limit(config, shared.buckets))


def carried_over(shared: Shared, config: Config, before: Config) -> Shared:
    """The same for another configuration: what is revoked, counted or used up stays so. Redis is the same one."""
    failures = shared.failures
    if config.limits.failed_authentication != before.limits.failed_authentication:
        failures = _failure_limit(config, shared.buckets)
    return replace(shared, revoker=_revoker(config, shared.deny_list, shared.feed), failures=failures)


def _failure_limit(config: Config, buckets: Buckets) -> FailureLimit | None:
    limit = config.limits.failed_authentication
    return FailureLimit(Rate(limit.requests, limit.per, limit.requests), buckets) if limit.requests else None


def _revoker(config: Config, deny_list: DenyList, feed: RevocationFeed | None) -> Revoker:
    # A token is refused from `exp` + `leeway` on, so that is how long it may be of use.
    lifetimes = {
        name: issuer.max_lifetime + issuer.leeway if issuer.max_lifetime else 0.0
        for name, issuer in config.issuers.items()
    }
    return Revoker(deny_list, lifetimes, sharing=feed)


def _stored_state(config: Config, report: Report, crew: Crew) -> Shared:
    deny_list, redis = DenyList(), config.redis
    alone = Shared(deny_list, _revoker(config, deny_list, None), SeenOnce("logout", crew=crew.ledger))
    if redis is None:
        return alone
    url = redis.url.get_secret_value()
    try:
        check_address(url)
    except ValueError as problem:
        report.add(("redis", "url"), str(problem))
        return alone
    store = SharedStore(url, prefix=redis.key_prefix, timeout=redis.timeout, is_required=redis.required)
    feed = RevocationFeed(deny_list, store)
    if redis.required:
        deny_list.is_current = lambda: feed.is_connected
    secrets = [secret.get_secret_value().encode() for secret in redis.secret]
    return Shared(
        deny_list,
        _revoker(config, deny_list, feed),
        SeenOnce("logout", store, crew=crew.ledger),
        store,
        feed,
        Sealer(secrets) if secrets else None,
        SharedBuckets(store),
    )
