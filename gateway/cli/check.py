"""`oauth-gateway check`: prints every problem of a configuration, without starting anything."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gateway import build
from gateway.cli.configuration import config_option
from gateway.config import ConfigError, ConfigUnreadable, load


@click.command("check")
@config_option
def command(config_path: Path | None) -> None:
    """Print every problem as file:line:column: path: message. Exit status: 0 none, 1 problems, 2 unreadable."""
    try:
        config = load(config_path)
        problems = build.problems(config)
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
