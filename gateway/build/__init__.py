"""From a configuration to a `Gateway`: the only folder that makes its objects and joins them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from gateway.app import Gateway, application
from gateway.build.crew import ALONE, Crew
from gateway.build.gateway import GatewayBuilder
from gateway.build.limits import server_limits
from gateway.config import Config, ConfigError, Problem, load, parse

__all__ = ["ALONE", "Crew", "build", "make_application", "problems", "server_limits"]


def build(config: Config, crew: Crew = ALONE) -> Gateway:
    """A gateway for a configuration, alone or as one of several workers.

    Raises `ConfigError` with what only shows when the parts are put together.
    """
    return GatewayBuilder(config, crew).gateway()


def make_application(config: Config | Mapping[str, Any] | str | Path) -> web.Application:
    """See `gateway.app.make_app`."""
    if isinstance(config, str | Path):
        config = load(config)
    elif not isinstance(config, Config):
        config = parse(config)
    return application(build(config), server_limits(config))


def problems(config: Config) -> tuple[Problem, ...]:
    """What is wrong with a configuration that is well-formed: ambiguous paths, routes that collide, unusable keys."""
    try:
        build(config)
    except ConfigError as error:
        return error.problems
    return ()
