"""From a configuration to a `Gateway`: the only folder that makes its objects and joins them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from gateway.app import Gateway
from gateway.build.crew import ALONE, Crew
from gateway.build.gateway import Built, GatewayBuilder
from gateway.build.limits import server_limits
from gateway.build.seen import installation
from gateway.build.stand_in import StandIn
from gateway.build.tls import listener_tls
from gateway.config import Config, ConfigError, Problem, load, parse
from gateway.embedding import application
from gateway.upstream.names import Lookup, system_lookup

__all__ = [
    "ALONE",
    "Built",
    "Crew",
    "StandIn",
    "build",
    "construct",
    "installation",
    "listener_tls",
    "make_application",
    "problems",
    "server_limits",
]


def build(
    config: Config,
    crew: Crew = ALONE,
    *,
    lookup: Lookup = system_lookup,
    stand_ins: Mapping[str, StandIn] | None = None,
) -> Gateway:
    """A gateway for a configuration, alone or as one of several workers.

    `lookup` finds the addresses of the upstreams' names. `stand_ins` take the place of issuers, by their names; a
    gateway that serves has none. Raises `ConfigError` with what only shows when the parts are
    put together.
    """
    return GatewayBuilder(config, crew, lookup, stand_ins=stand_ins).built().gateway


def construct(
    config: Config, crew: Crew = ALONE, before: Built | None = None, *, lookup: Lookup = system_lookup
) -> Built:
    """The same, with what it was made from. `before` is what runs, and has its place taken: whatever a configuration
    says as before is the same object, and nothing of it is started or ended here. Raises `ConfigError`.
    """
    return GatewayBuilder(config, crew, lookup, before).built()


def make_application(config: Config | Mapping[str, Any] | str | Path) -> web.Application:
    """See `gateway.app.make_app`."""
    if isinstance(config, str | Path):
        config = load(config)
    elif not isinstance(config, Config):
        config = parse(config)
    return application(build(config), server_limits(config))


def problems(config: Config) -> tuple[Problem, ...]:
    """What is wrong with a configuration that is well-formed: ambiguous paths, routes that collide, unusable keys."""
    found: list[Problem] = []
    for part in (build, listener_tls):
        try:
            part(config)
        except ConfigError as error:
            found += error.problems
    return tuple(found)
