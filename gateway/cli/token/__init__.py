"""`oauth-gateway token`: gets a token as an OAuth client, tells what is in one, gives one back."""

from __future__ import annotations

import click

from gateway.cli import Commands


@click.group("token", cls=Commands, package=__name__, modules=("get", "inspect", "revoke"))
def command() -> None:
    """Get, read and revoke access tokens, as a client of any authorization server."""
