"""The command line: one file a command, loaded when it is called."""

from __future__ import annotations

import importlib

import click

COMMANDS = ("serve", "check", "explain", "schema", "health", "demo", "devauth", "version")


class Commands(click.Group):
    """Finds a command in the module of its name, so that `health` does not pay for what `demo` imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which one meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"gateway.cli.{cmd_name}").command
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Let no request without the right OAuth 2 token reach your HTTP API."""
