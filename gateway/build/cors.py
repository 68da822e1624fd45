"""From the `cors` block of a route to what browsers are told of it."""

from __future__ import annotations

from gateway.config.routes import Route
from gateway.http.cors import Cors

_HEADERS = ("Authorization", "Content-Type")


def compiled_cors(route: Route) -> Cors:
    """What one route tells browsers; its methods are the route's own where the block names none."""
    block = route.cors
    assert block is not None
    methods = block.methods or route.methods or ()
    if "GET" in methods and "HEAD" not in methods:
        methods = (*methods, "HEAD")
    return Cors(
        origins=frozenset(origin.lower() for origin in block.origins),
        methods=methods,
        headers=block.headers if block.headers is not None else _HEADERS,
        exposed=block.expose or (),
        has_credentials=block.credentials,
        max_age=block.max_age,
    )
