"""`oauth-gateway schema`: the JSON Schema of the configuration, for editors."""

from __future__ import annotations

import json

import click

from gateway.config import schema


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of the configuration."""
    click.echo(json.dumps(schema(), indent=2))
