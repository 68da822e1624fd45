"""How `token` ends when it can't do what it was asked: a class for each exit status."""

from __future__ import annotations

from typing import ClassVar

import click

from gateway.cli.token.terminal import harmless


class Failure(click.ClickException):
    """Ends the command: one line that says what happened, further ones that say what to do."""

    def __init__(self, message: str, *advice: str) -> None:
        super().__init__(message)
        self.advice = advice

    def show(self, file: object = None) -> None:
        """On standard error, always."""
        click.echo(f"error: {harmless(self.message)}", err=True)
        for line in self.advice:
            click.echo(f"  {harmless(line)}", err=True)


class Refused(Failure):
    """The authorization server says no, or the gateway would."""

    exit_code: ClassVar[int] = 1


class WrongOption(Failure):
    """What the command was given can't be used."""

    exit_code: ClassVar[int] = 2


class IssuerTrouble(Failure):
    """The authorization server can't be asked, or what it says can't be used."""

    exit_code: ClassVar[int] = 3


class Unfinished(Failure):
    """The user denied, or did not finish in time."""

    exit_code: ClassVar[int] = 4
