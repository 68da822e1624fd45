"""`oauth-gateway serve`: runs the gateway until it is told to stop."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gateway.cli.configuration import config_option, exit_with, load_or_exit
from gateway.config import ConfigError, ConfigFiles
from gateway.process.run import CanNotStart, run


@click.command("serve")
@config_option
def command(config_path: Path | None) -> None:
    """Run the gateway. SIGTERM and SIGINT finish what runs and end it. Exit status 2: bad configuration.

    SIGHUP, or a change of the configuration's files, reloads it: without a lost connection, and only if it is good.

    With several workers SIGUSR2 replaces them one by one, without refusing a connection.
    """
    # Before they are read: what changes after that is noticed.
    files = ConfigFiles(config_path)
    config = load_or_exit(config_path)
    try:
        run(config, files)
    except ConfigError as error:
        exit_with(error)
    except CanNotStart as problem:
        click.echo(problem, err=True)
        sys.exit(problem.exit_status)
    except OSError as problem:
        click.echo(f"cannot listen: {problem.strerror or problem}", err=True)
        sys.exit(1)
