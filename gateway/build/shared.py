"""From the `redis` block of the configuration to what all replicas share: answers, revocations, keys."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gateway.access.limits import Buckets, FailureLimit, MemoryBuckets, Rate, SharedBuckets
from gateway.access.revocation import DenyList, Revoker
from gateway.access.revocation_feed import RevocationFeed
from gateway.build.report import Report
from gateway.cache.redis import SharedStore, check_address
from gateway.cache.sealing import Sealer
from gateway.config import Config


@dataclass(frozen=True, slots=True)
class Shared:
    """The deny list, which every gateway has; the rest is None without Redis, `sealer` without its secret."""

    deny_list: DenyList
    revoker: Revoker
    store: SharedStore | None = None
    feed: RevocationFeed | None = None
    sealer: Sealer | None = None
    buckets: Buckets = field(default_factory=MemoryBuckets)
    failures: FailureLimit | None = None


def shared_state(config: Config, report: Report) -> Shared:
    """What the replicas share."""
    shared = _stored_state(config, report)
    limit = config.limits.failed_authentication
    if limit.requests == 0:
        return shared
    return replace(shared, failures=FailureLimit(Rate(limit.requests, limit.per, limit.requests), shared.buckets))


def _stored_state(config: Config, report: Report) -> Shared:
    deny_list = DenyList()
    # A token is refused from `exp` + `leeway` on, so that is how long it may be of use.
    lifetimes = {
        name: issuer.max_lifetime + issuer.leeway if issuer.max_lifetime else 0.0
        for name, issuer in config.issuers.items()
    }
    redis = config.redis
    if redis is None:
        return Shared(deny_list, Revoker(deny_list, lifetimes))
    url = redis.url.get_secret_value()
    try:
        check_address(url)
    except ValueError as problem:
        report.add(("redis", "url"), str(problem))
        return Shared(deny_list, Revoker(deny_list, lifetimes))
    store = SharedStore(url, prefix=redis.key_prefix, timeout=redis.timeout, is_required=redis.required)
    feed = RevocationFeed(deny_list, store)
    if redis.required:
        deny_list.is_current = lambda: feed.is_connected
    secrets = [secret.get_secret_value().encode() for secret in redis.secret]
    return Shared(
        deny_list,
        Revoker(deny_list, lifetimes, sharing=feed),
        store,
        feed,
        Sealer(secrets) if secrets else None,
        SharedBuckets(store),
    )
