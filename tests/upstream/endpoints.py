"""Endpoints that nobody listens at, for tests of what is decided without asking them."""

from __future__ import annotations

from gateway.http.client import Origin, Pool
from gateway.upstream.endpoint import Endpoint, Site


def make_pool(origin: Origin) -> Pool:
    """Connections within short limits."""
    return Pool(origin, connect_timeout=1, response_timeout=1, idle_timeout=1, keep_alive=30, max_connections=8)


def site(port: int, weight: int = 1) -> Site:
    """A site on this machine."""
    return Site(f"http://127.0.0.1:{port}", Origin("127.0.0.1", port), f"127.0.0.1:{port}", weight)


def endpoints(*weights: int, first_port: int = 1) -> list[Endpoint]:
    """One for each weight, at ports in a row."""
    sites = [site(first_port + number, weight) for number, weight in enumerate(weights)]
    return [Endpoint(each, make_pool(each.origin)) for each in sites]
