"""From a configuration to what operators are shown of it: names, patterns and rules, no secret and no file."""

from __future__ import annotations

from typing import Literal

from gateway.admin.installation import Installation, IssuerSeen, RouteSeen, UpstreamSeen
from gateway.config import Config
from gateway.config.issuers import Issuer
from gateway.config.routes import Route


def installation(config: Config) -> Installation:
    """What is shown."""
    return Installation(
        tuple(map(_route, config.routes)),
        tuple(_issuer(name, issuer) for name, issuer in config.issuers.items()),
        tuple(
            UpstreamSeen(
                name, tuple(endpoint.url for endpoint in upstream.endpoints), probed=upstream.health is not None
            )
            for name, upstream in config.upstreams.items()
        ),
    )


def _route(route: Route) -> RouteSeen:
    all_of, any_of = route.require.scopes or (), route.require.any_scope or ()
    return RouteSeen(
        route.title,
        route.host or (),
        route.path,
        route.methods or (),
        route.upstream if route.respond is None else None,
        "public" if route.public else route.token,
        () if route.public else (*all_of, *(scope for scope in any_of if scope not in all_of)),
        route.enforce,
    )


def _issuer(name: str, issuer: Issuer) -> IssuerSeen:
    keys = _keys(issuer)
    return IssuerSeen(name, issuer.issuer, keys, issuer.keys.refresh if keys in ("discovery", "jwks_uri") else None)


def _keys(issuer: Issuer) -> Literal["discovery", "jwks_uri", "file", "inline", "secret", "none"]:
    if issuer.secret is not None:
        return "secret"
    if issuer.jwks is not None:
        return "inline" if issuer.jwks.get("keys") else "none"
    if issuer.jwks_file is not None:
        return "file"
    return "jwks_uri" if issuer.jwks_uri is not None else "discovery"
