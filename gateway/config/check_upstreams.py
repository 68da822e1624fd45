"""Rules between the fields of the upstreams, and of the listener's TLS."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from gateway.config.environment import nearest
from gateway.config.model import Config, Tls
from gateway.config.source import Finding, Path_
from gateway.config.upstreams import Health, Retry, Upstream

_BALANCES = ("round_robin", "least_requests", "random")
_CAUSES = ("connect", "disconnect", "timeout", "502", "503", "504")


def findings(config: Config) -> Iterator[Finding]:
    """Everything about upstreams and TLS that does not go together, as path and message."""
    if config.tls is not None:
        yield from _listener(config.tls)
    for name, upstream in config.upstreams.items():
        path: Path_ = ("upstreams", name)
        if (upstream.url is None) == (upstream.urls is None):
            yield path, "needs either url or urls"
        yield from _urls((*path, "urls"), upstream)
        for key in ("connect", "response", "idle"):
            if getattr(upstream.timeouts, key) <= 0:
                yield (*path, "timeouts", key), "must be longer than nothing"
        yield from _balance((*path, "balance"), upstream.balance)
        if upstream.health is not None:
            yield from _health((*path, "health"), upstream.health)
        if upstream.ejection is not None and upstream.ejection.duration <= 0:
            yield (*path, "ejection", "for"), "must be longer than nothing"
        if upstream.retry is not None:
            yield from _retry((*path, "retry"), upstream.retry)
        yield from _tls((*path, "tls"), upstream)


def _listener(tls: Tls) -> Iterator[Finding]:
    for key in ("certificate", "private_key"):
        if getattr(tls, key) is None:
            yield ("tls", key), "is missing"
    asks = tls.client_certificate != "none"
    if asks and tls.client_ca is None:
        yield ("tls", "client_ca"), f"is missing; client_certificate: {tls.client_certificate} needs it"
    if tls.client_ca is not None and not asks:
        yield ("tls", "client_ca"), "has no meaning while no certificate is asked for: set client_certificate"


def _urls(path: Path_, upstream: Upstream) -> Iterator[Finding]:
    seen: set[str] = set()
    for position, endpoint in enumerate(upstream.urls or ()):
        if endpoint.url in seen:
            yield (*path, position), f"{endpoint.url} is there already; give it a weight instead"
        seen.add(endpoint.url)
    if len({_base(endpoint.url) for endpoint in upstream.urls or ()}) > 1:
        yield path, "must all have the same base path"


def _base(url: str) -> str:
    return "" if url.startswith("unix:") else urlsplit(url).path.rstrip("/")


def _balance(path: Path_, balance: str) -> Iterator[Finding]:
    if balance not in _BALANCES and not (balance.startswith("hash:") and len(balance) > len("hash:")):
        yield path, f"must be {', '.join(_BALANCES)} or hash:<header or claim>{nearest(balance, _BALANCES)}"


def _health(path: Path_, health: Health) -> Iterator[Finding]:
    for key in ("interval", "timeout"):
        if getattr(health, key) <= 0:
            yield (*path, key), "must be longer than nothing"


def _retry(path: Path_, retry: Retry) -> Iterator[Finding]:
    for position, cause in enumerate(retry.on):
        if cause not in _CAUSES:
            where = (*path, "on", position) if len(retry.on) > 1 else (*path, "on")
            yield where, f"must be one of {', '.join(_CAUSES)}{nearest(cause, _CAUSES)}"


def _tls(path: Path_, upstream: Upstream) -> Iterator[Finding]:
    tls = upstream.tls
    if tls is None:
        return
    if not any(endpoint.url.startswith("https:") for endpoint in upstream.endpoints):
        yield path, "has no meaning: no address is https://"
    if (tls.certificate is None) != (tls.private_key is None):
        yield path, "certificate and private_key go together"
    if tls.ca is not None and not tls.verify:
        yield (*path, "ca"), "has no meaning with verify: false"
