"""Rules between the fields of the issuers, and of what else speaks of them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from gateway.config.environment import nearest
from gateway.config.issuers import Introspection, Issuer
from gateway.config.model import Config
from gateway.config.routes import Route
from gateway.config.source import Finding, Path_

_KEY_SOURCES = ("metadata", "jwks_uri", "jwks_file", "jwks", "secret")
_SHORTEST_SECRET = 32


def findings(config: Config) -> Iterator[Finding]:
    """Everything about issuers that does not go together, as path and message."""
    for name, issuer in config.issuers.items():
        path: Path_ = ("issuers", name)
        yield from _issuer(path, issuer)
        yield from _addresses(path, issuer)
        if issuer.introspection is not None and issuer.introspection.mode != "never":
            yield from _introspection((*path, "introspection"), issuer.introspection, issuer)
    yield from _issuers_differ(config)
    yield from _redis(config)
    for index, route in enumerate(config.routes):
        if route.require.introspect and not route.public:
            yield from _introspected_route(("routes", index, "require", "introspect"), route, config)


def _issuer(path: Path_, issuer: Issuer) -> Iterator[Finding]:
    given = [name for name in _KEY_SOURCES if getattr(issuer, name) is not None]
    if len(given) > 1:
        yield (*path, given[1]), f"the keys come from {given[0]} already; leave one of them"
    symmetric = [name for name in issuer.algorithms if name.startswith("HS")]
    if issuer.secret is not None and len(symmetric) != len(issuer.algorithms):
        yield (*path, "secret"), "goes with HS256, HS384 or HS512 alone: set algorithms: [HS256]"
    if issuer.secret is None and symmetric:
        yield (*path, "algorithms"), f"{symmetric[0]} needs secret; a public key must never serve as one"
    if issuer.secret is not None and len(issuer.secret.get_secret_value().encode()) < 32:
        yield (*path, "secret"), "must have 32 bytes at the least (RFC 7518 §3.2)"
    store = issuer.keys.store
    if store is not None and store != "redis" and not store.startswith(("/", "./", "../")):
        yield (*path, "keys", "store"), "must be `redis`, or a folder that begins with /, ./ or ../"
    if issuer.tls is not None and (issuer.tls.certificate is None) != (issuer.tls.private_key is None):
        yield (*path, "tls"), "certificate and private_key go together"


def _is_plain_http(url: str | None) -> bool:
    if url is None or not url.startswith("http://"):
        return False
    host = urlsplit(url).hostname or ""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost" and not host.endswith(".localhost")


def _issuers_differ(config: Config) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for name, issuer in config.issuers.items():
        if issuer.issuer in seen:
            yield ("issuers", name, "issuer"), f"is that of {seen[issuer.issuer]} already; a token could not choose"
        seen.setdefault(issuer.issuer, name)


def _addresses(path: Path_, issuer: Issuer) -> Iterator[Finding]:
    addresses = [((*path, name), getattr(issuer, name)) for name in ("issuer", "metadata", "jwks_uri")]
    if issuer.introspection is not None:
        addresses.append(((*path, "introspection", "endpoint"), issuer.introspection.endpoint))
    for where, address in addresses:
        if _is_plain_http(address) and not issuer.allow_http:
            yield where, "is http:// beyond this machine: use https://, or set allow_http: true"


def _introspection(path: Path_, block: Introspection, issuer: Issuer) -> Iterator[Finding]:
    method = block.client_auth
    if block.client_id is None:
        yield (*path, "client_id"), f"is missing; {method} needs it"
    needed = {"private_key_jwt": "client_key", "tls_client_auth": None}.get(method, "client_secret")
    for name in ("client_secret", "client_key"):
        if name == needed and getattr(block, name) is None:
            yield (*path, name), f"is missing; {method} needs it"
        if name != needed and getattr(block, name) is not None:
            yield (*path, name), f"has no meaning with client_auth: {method}"
    if block.client_key_id is not None and needed != "client_key":
        yield (*path, "client_key_id"), f"has no meaning with client_auth: {method}"
    if method == "tls_client_auth" and (issuer.tls is None or issuer.tls.certificate is None):
        yield (*path, "client_auth"), "tls_client_auth needs the issuer's tls.certificate and tls.private_key"
    if block.signed_response and all(name.startswith("HS") for name in issuer.algorithms):
        yield (*path, "signed_response"), "needs algorithms with a public key: whoever shares a secret could sign too"
    secret = block.client_secret
    if (
        method == "client_secret_jwt"
        and secret is not None
        and len(secret.get_secret_value().encode()) < _SHORTEST_SECRET
    ):
        yield (*path, "client_secret"), "must have 32 bytes at the least to sign with (RFC 7518 §3.2)"


def _redis(config: Config) -> Iterator[Finding]:
    if config.redis is not None:
        for position, secret in enumerate(config.redis.secret):
            if len(secret.get_secret_value().encode()) < _SHORTEST_SECRET:
                where: Path_ = ("redis", "secret", position) if len(config.redis.secret) > 1 else ("redis", "secret")
                yield where, "must have 32 bytes at the least"
    for name, issuer in config.issuers.items():
        if issuer.keys.store != "redis":
            continue
        where = ("issuers", name, "keys", "store")
        if config.redis is None:
            yield where, "redis is not configured"
        elif not config.redis.secret:
            yield where, "needs redis.secret: whoever can write in Redis must not decide which keys are trusted"


def _introspected_route(path: Path_, route: Route, config: Config) -> Iterator[Finding]:
    for name in route.require.issuers or config.issuers:
        issuer = config.issuers.get(name)
        if issuer is None:
            continue  # reported as an unknown name
        if issuer.introspection is None or issuer.introspection.mode == "never":
            others = [other for other, known in config.issuers.items() if known.introspection is not None]
            hint = f", or name others in require.issuers{nearest(name, others)}" if others else ""
            yield path, f"issuer {name} has no introspection; give it an introspection block{hint}"
