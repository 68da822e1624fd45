"""What `token` says to a person: all of it on standard error, so that standard output holds a token and nothing else.

Whatever a stranger wrote is made harmless first: a terminal obeys control characters.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator

import click

_SECOND = 1.0


def harmless(text: str) -> str:
    """The text with every character escaped that is not for reading: controls, and marks that turn the direction."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def in_words(seconds: float) -> str:
    """How long: `45 s`, `12 min`, `3 h 20 min`, `5 d`."""
    whole = int(abs(seconds))
    if whole < 90:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d"


class Teller:
    """Talks to the person at the terminal; details only to whoever asked for them with -v.

    `is_terminal` says whether a line can be written over; None: whether standard error is one.
    """

    def __init__(self, *, is_verbose: bool = False, is_terminal: bool | None = None) -> None:
        self._is_verbose = is_verbose
        self._is_terminal = sys.stderr.isatty() if is_terminal is None else is_terminal
        self._has_line = False

    def say(self, *lines: str) -> None:
        """What a person has to know."""
        self._end_line()
        for line in lines:
            click.echo(harmless(line), err=True)

    def detail(self, text: str) -> None:
        """What helps to see why; never a secret."""
        if self._is_verbose:
            self.say(f"- {text}")

    @contextlib.asynccontextmanager
    async def countdown(
        self, what: str, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> AsyncIterator[None]:
        """A line that counts down in place while the block runs; where nobody looks, one line that stays."""
        if not self._is_terminal:
            self.say(f"{what}, at most {in_words(seconds)}")
            yield
            return
        task = asyncio.create_task(self._count(what, clock() + seconds, clock))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self._end_line()

    async def _count(self, what: str, ends_at: float, clock: Callable[[], float]) -> None:
        while True:
            minutes, seconds = divmod(max(0, int(ends_at - clock())), 60)
            click.echo(f"\r{what}: {minutes}:{seconds:02} left \033[K", nl=False, err=True)
            self._has_line = True
            await asyncio.sleep(_SECOND)

    def _end_line(self) -> None:
        if self._has_line:
            click.echo(err=True)
            self._has_line = False


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends the command with status 130, as shells expect it, and without a traceback."""
    try:
        yield
    except (KeyboardInterrupt, click.Abort, asyncio.CancelledError):
        click.echo("\ninterrupted", err=True)
        raise SystemExit(130) from None
