"""Opens an address in the user's browser, and lets it have nothing of ours.

The standard library's `webbrowser` gives a browser our standard output: its chatter would stand in front of the token,
and `$(oauth-gateway token get …)` would wait until the browser is closed.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping

_TRIED_FOR = 2.0
"""Seconds after which an opener that still runs is the browser itself."""


async def open_browser(address: str, environ: Mapping[str, str], *, platform: str = sys.platform) -> bool:
    """Whether some program took the address. An opener that fails at once lets the next one try."""
    for command in commands(address, environ, platform):
        if await asyncio.to_thread(_opens, command):
            return True
    return False


def _opens(command: list[str]) -> bool:
    nothing = subprocess.DEVNULL
    try:
        # A session of its own: Ctrl-C here must not close the browser.
        process = subprocess.Popen(  # noqa: S603 - the user's own choice of a browser, and no shell
            command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
        )
    except (OSError, ValueError):
        return False
    try:
        return process.wait(_TRIED_FOR) == 0
    except subprocess.TimeoutExpired:
        process.returncode = 0  # it may run on, and nobody waits for it: without this Python would complain
        return True


def commands(address: str, environ: Mapping[str, str], platform: str) -> Iterator[list[str]]:
    """What may open it, in the order of trying: $BROWSER, then what the desktop offers."""
    for entry in environ.get("BROWSER", "").split(os.pathsep):
        words = _words(entry)
        if words:
            yield _with_address(words, address)
    path = environ.get("PATH")
    for words in _of_the_desktop(environ, platform):
        program = shutil.which(words[0], path=path)
        if program is not None:
            yield [program, *words[1:], address]


def _words(entry: str) -> list[str]:
    try:
        return shlex.split(entry)
    except ValueError:
        return []


def _with_address(words: list[str], address: str) -> list[str]:
    if any("%s" in word for word in words):
        return [word.replace("%s", address) for word in words]
    return [*words, address]


def _of_the_desktop(environ: Mapping[str, str], platform: str) -> Iterator[list[str]]:
    if platform == "darwin":
        yield ["open"]
    elif "WSL_DISTRO_NAME" in environ:
        yield ["wslview"]
    if environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"):
        # Without a display these would start a browser for the terminal, which is busy.
        yield ["xdg-open"]
        yield ["gio", "open"]
        yield ["x-www-browser"]
