"""`oauth-gateway check`: prints every problem of a configuration, without starting anything."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from gateway import build
from gateway.cli.configuration import config_option
from gateway.config import Config, ConfigError, ConfigUnreadable, Problem, load
from gateway.http.client import ConnectFailed, ConnectTimeout


@click.command("check")
@config_option
@click.option(
    "--online", is_flag=True, help="Also ask the issuers for their keys, and connect to Redis and the upstreams."
)
def command(config_path: Path | None, online: bool) -> None:
    """Print every problem as file:line:column: path: message. Exit status: 0 none, 1 problems, 2 unreadable."""
    problems: Sequence[Problem]
    try:
        config = load(config_path)
        problems = build.problems(config)
        if online and not problems:
            problems = asyncio.run(_unreachable(config))
    except ConfigUnreadable as error:
        click.echo(error, err=True)
        sys.exit(2)
    except ConfigError as error:
        problems = error.problems
    for problem in problems:
        click.echo(problem)
    if problems:
        sys.exit(1)
    routes = f"{len(config.routes)} route{'s' if len(config.routes) != 1 else ''}"
    click.echo(f"no problems: {routes}, issuers: {', '.join(config.issuers) or 'none'}")


async def _unreachable(config: Config) -> list[Problem]:
    """The issuers whose keys can't be had, Redis when it can't be used, the upstreams that take no connection."""
    gateway = build.build(config)
    await gateway.start()
    found: list[Problem] = []
    try:
        await gateway.wait_for_keys(
            timeout=max((issuer.keys.timeout for issuer in config.issuers.values()), default=1) * 4
        )
        for name, issuer in gateway.issuers.items():
            if issuer.keys.fetched_at is None:
                reasons = ", ".join(issuer.keys.results) or "timeout"
                found.append(config.places.problem(("issuers", name), f"its keys can't be had: {reasons}"))
        if gateway.feed is not None and not gateway.feed.is_connected:
            reasons = ", ".join(gateway.store.results) if gateway.store is not None else ""
            found.append(config.places.problem(("redis",), f"can't be used: {reasons}"))
        for name, upstream in gateway.upstreams.items():
            for endpoint in upstream.endpoints:
                try:
                    await endpoint.pool.try_connection()
                except (ConnectFailed, ConnectTimeout) as problem:
                    which = f"{endpoint} " if len(upstream.sites) > 1 else ""
                    found.append(config.places.problem(("upstreams", name), f"{which}takes no connection: {problem}"))
    finally:
        await gateway.close()
    return found
