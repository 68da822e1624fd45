"""`oauth-gateway version`: which version this is."""

from __future__ import annotations

import click

from gateway import __version__


@click.command("version")
def command() -> None:
    """Print the version."""
    click.echo(f"oauth-gateway {__version__}")
