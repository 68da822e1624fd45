"""What commands share: the option that names the configuration, and the way its problems are shown."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from gateway.config import Config, ConfigError, load

F = TypeVar("F", bound=Callable[..., Any])


def config_option(function: F) -> F:
    """Adds `-c/--config` to a command."""
    option = click.option(
        "-c",
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        help="Configuration file or folder; default: $OAUTH_GATEWAY_CONFIG, else config/gateway.yaml.",
    )
    return option(function)


def load_or_exit(path: Path | None) -> Config:
    """The configuration, or its problems on standard error and exit status 2."""
    try:
        return load(path)
    except ConfigError as error:
        exit_with(error)


def exit_with(error: ConfigError) -> NoReturn:
    """Print every problem and exit with 2: nothing was started."""
    click.echo(error, err=True)
    count = len(error.problems)
    click.echo(f"{count} problem{'s' if count != 1 else ''}; nothing was started", err=True)
    sys.exit(2)
