"""The command line: one file a command, loaded when it is called."""

from __future__ import annotations

import importlib
from typing import Any

import click

COMMANDS = ("serve", "check", "explain", "test", "token", "schema", "health", "demo", "devauth", "version")


class Commands(click.Group):
    """Finds a command in the module of its name, so that `health` does not pay for what `demo` imports.

    `modules` are those of `package` that hold a `command`, in the order in which one meets them.
    """

    def __init__(self, *arguments: Any, package: str, modules: tuple[str, ...], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._package = package
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in their order."""
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name not in self._modules:
            return None
        command: click.Command = importlib.import_module(f"{self._package}.{cmd_name}").command
        return command


@click.group(cls=Commands, package=__name__, modules=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Let no request without the right OAuth 2 token reach your HTTP API."""
