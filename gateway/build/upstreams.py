"""From the `upstreams` of the configuration to services: their endpoints, and how a request finds its way to one."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from functools import partial
from urllib.parse import urlsplit

from gateway.build.report import Report
from gateway.config.upstreams import Endpoint, Upstream
from gateway.http.client import Origin, Pool
from gateway.http.tls import ClientContext
from gateway.upstream.balance import Balance, Consistent, Key, LeastRequests, RandomOfTwo, RoundRobin
from gateway.upstream.ejection import EjectionRules
from gateway.upstream.endpoint import Site
from gateway.upstream.health import ProbeRules
from gateway.upstream.names import Lookup
from gateway.upstream.retry import Budget, Retry
from gateway.upstream.service import Upstream as UpstreamService


class UpstreamBuilder:
    """Makes the upstreams of one gateway; `lookup` finds the addresses of their names.

    `before` are those of the gateway whose place it takes, and their blocks: one that says the same is the same object,
    with its connections, its budget for retries and what is known of its endpoints' health.
    """

    def __init__(self, report: Report, lookup: Lookup, before: Mapping[str, tuple[Upstream, UpstreamService]]) -> None:
        self._report = report
        self._lookup = lookup
        self._before = before

    def service(self, name: str, upstream: Upstream) -> UpstreamService:
        """One upstream; what can't be used is reported."""
        block, service = self._before.get(name, (None, None))
        if service is not None and block == upstream:
            return service
        tls = self._tls(name, upstream)
        key = Key(upstream.hash_key) if upstream.hash_key is not None else None
        return UpstreamService(
            name,
            [_site(endpoint, upstream, tls) for endpoint in upstream.endpoints],
            partial(_pool, upstream),
            balance=_balance(upstream.balance),
            key=key,
            health=_probe_rules(upstream),
            ejection=EjectionRules(upstream.ejection.failures, upstream.ejection.duration)
            if upstream.ejection is not None
            else None,
            retry=_retry(upstream),
            lookup=self._lookup,
        )

    def _tls(self, name: str, upstream: Upstream) -> ClientContext | None:
        if not any(endpoint.url.startswith("https:") for endpoint in upstream.endpoints):
            return None
        block = upstream.tls
        if block is None:
            return ClientContext()
        try:
            return ClientContext(
                ca=block.ca, certificate=block.certificate, private_key=block.private_key, verify=block.verify
            )
        except (OSError, ssl.SSLError) as problem:
            reason = str(problem.strerror or problem) if isinstance(problem, OSError) else str(problem)
            self._report.add(("upstreams", name, "tls"), f"can't be used: {reason}")
            return None


def _site(endpoint: Endpoint, upstream: Upstream, tls: ClientContext | None) -> Site:
    address = endpoint.url
    if address.startswith("unix:"):
        origin = Origin("localhost", 80, unix_path=address.removeprefix("unix:"))
        return Site(address, origin, "localhost", endpoint.weight)
    parts = urlsplit(address)
    host, is_encrypted = parts.hostname or "", parts.scheme == "https"
    origin = Origin(
        host,
        parts.port or (443 if is_encrypted else 80),
        tls=tls if is_encrypted else None,
        server_name=upstream.tls.server_name if upstream.tls is not None else None,
    )
    return Site(address, origin, parts.netloc, endpoint.weight, is_name=not _is_address(host))


def _pool(upstream: Upstream, origin: Origin) -> Pool:
    timeouts = upstream.timeouts
    return Pool(
        origin,
        connect_timeout=timeouts.connect,
        response_timeout=timeouts.response,
        idle_timeout=timeouts.idle,
        keep_alive=upstream.keep_alive,
        max_connections=upstream.max_connections,
    )


def _balance(setting: str) -> Balance | None:
    if setting == "least_requests":
        return LeastRequests()
    if setting == "random":
        return RandomOfTwo()
    return Consistent(RoundRobin()) if setting.startswith("hash:") else None


def _probe_rules(upstream: Upstream) -> ProbeRules | None:
    block = upstream.health
    if block is None:
        return None
    return ProbeRules(
        block.path, block.interval, block.timeout, block.unhealthy_after, block.healthy_after, block.status
    )


def _retry(upstream: Upstream) -> Retry | None:
    block = upstream.retry
    if block is None or block.attempts == 0:
        return None
    return Retry(block.attempts, frozenset(block.on), frozenset(block.methods), Budget(block.budget))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
