"""From the routes of the configuration to the protected resources whose metadata the gateway answers (RFC 9728)."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config import Config
from gateway.config.routes import Route
from gateway.oauth.resource_metadata import ProtectedResource
from gateway.router import literal_prefix


def protected_resources(config: Config, paths: list[tuple[str, ...]]) -> dict[str, ProtectedResource]:
    """A protected resource for each literal prefix, and one for the whole; a prefix speaks for all routes below it."""
    protected = [
        (route, literal_prefix(path)) for route, all_ in zip(config.routes, paths, strict=True) for path in all_
    ]
    protected = [(route, prefix) for route, prefix in protected if not route.public]
    below: dict[str, list[Route]] = {prefix: [] for prefix in sorted({"", *(prefix for _, prefix in protected)})}
    for route, path in protected:
        for prefix in _upwards(path):
            if prefix in below:
                below[prefix].append(route)
    return {prefix: _resource(prefix, routes, config) for prefix, routes in below.items() if routes}


def _upwards(path: str) -> Iterator[str]:
    """The path and every folder above it, the root as an empty text."""
    yield path
    while path:
        path = path.rpartition("/")[0]
        yield path


def _resource(prefix: str, routes: list[Route], config: Config) -> ProtectedResource:
    """What the metadata says: the issuers and scopes of the routes below `prefix`."""
    names = [name for route in routes for name in route.require.issuers or config.issuers]
    scopes = [scope for route in routes for scope in (*(route.require.scopes or ()), *(route.require.any_scope or ()))]
    return ProtectedResource(
        prefix,
        tuple(dict.fromkeys(config.issuers[name].issuer for name in names)),
        tuple(sorted(set(scopes))),
    )


def is_metadata_folder(path: str) -> bool:
    """Whether a route's path is one like `/.well-known/**`, which speaks for every address below it."""
    return path.endswith("**") and literal_prefix(path).startswith("/.well-known")


def covers(folder: str, path: str) -> bool:
    """Whether a metadata address lies in the folder of such a route."""
    prefix = literal_prefix(folder)
    return path == prefix or path.startswith(f"{prefix}/")
