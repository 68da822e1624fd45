"""From the routes of the configuration to the protected resources whose metadata the gateway answers (RFC 9728)."""

from __future__ import annotations

from gateway.config import Config
from gateway.oauth.resource_metadata import ProtectedResource
from gateway.router import literal_prefix


def protected_resources(config: Config, paths: list[tuple[str, ...]]) -> dict[str, ProtectedResource]:
    """A protected resource for each literal prefix, and one for the whole; a prefix speaks for all routes below it."""
    protected = [
        (route, literal_prefix(path)) for route, all_ in zip(config.routes, paths, strict=True) for path in all_
    ]
    protected = [(route, prefix) for route, prefix in protected if not route.public]
    resources = {}
    for prefix in sorted({"", *(prefix for _, prefix in protected)}) if protected else ():
        below = [route for route, path in protected if path == prefix or path.startswith(f"{prefix}/")]
        names = [name for route in below for name in route.require.issuers or config.issuers]
        scopes = [
            scope for route in below for scope in (*(route.require.scopes or ()), *(route.require.any_scope or ()))
        ]
        resources[prefix] = ProtectedResource(
            prefix,
            tuple(dict.fromkeys(config.issuers[name].issuer for name in names)),
            tuple(sorted(set(scopes))),
        )
    return resources


def covers(folder: str, path: str) -> bool:
    """Whether a route like `/.well-known/**` was written for a folder that the metadata address lies in."""
    prefix = literal_prefix(folder)
    return prefix.startswith("/.well-known") and (path == prefix or path.startswith(f"{prefix}/"))
