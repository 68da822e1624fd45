"""Which program opens an address, and that it has nothing of ours. The browsers here are shell scripts."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import stat
import sys
import time
from pathlib import Path

import pytest

from gateway.cli.token.browser import commands, open_browser
from tests.cli.token.command import ROOT

ADDRESS = "https://as.example/authorize?a=b&c=d%20e;touch$IFS/tmp/x"


def program(folder: Path, name: str, text: str) -> Path:
    """A program of that name."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.parametrize(
    ("environ", "platform", "expected"),
    [
        ({"BROWSER": "firefox"}, "linux", [["firefox", ADDRESS]]),
        ({"BROWSER": "'my browser' -n %s -x"}, "linux", [["my browser", "-n", ADDRESS, "-x"]]),
        ({"BROWSER": "a:b %s"}, "linux", [["a", ADDRESS], ["b", ADDRESS]]),
        ({"BROWSER": "'unbalanced"}, "linux", []),
        ({"BROWSER": ":: "}, "linux", []),
        ({}, "linux", []),
        ({"DISPLAY": ":0"}, "linux", [["xdg-open", ADDRESS], ["gio", "open", ADDRESS]]),
        ({"WAYLAND_DISPLAY": "w"}, "linux", [["xdg-open", ADDRESS], ["gio", "open", ADDRESS]]),
        ({"WSL_DISTRO_NAME": "Debian"}, "linux", [["wslview", ADDRESS]]),
        ({}, "darwin", [["open", ADDRESS]]),
    ],
)
def test_the_users_choice_comes_first_and_without_a_display_nothing_else(
    tmp_path: Path, environ: dict[str, str], platform: str, expected: list[list[str]]
) -> None:
    for name in ("xdg-open", "gio", "open", "wslview"):
        program(tmp_path, name, "")
    found = list(commands(ADDRESS, {"PATH": str(tmp_path), **environ}, platform))
    assert [[command[0].removeprefix(f"{tmp_path}/"), *command[1:]] for command in found] == expected


async def test_the_address_is_one_argument_and_no_shell_sees_it(tmp_path: Path) -> None:
    browser = program(tmp_path, "browser", f'printf "%s\\n" "$#" "$1" > {shlex.quote(str(tmp_path / "seen"))}')
    assert await open_browser(ADDRESS, {"BROWSER": str(browser)})
    assert (tmp_path / "seen").read_text() == f"1\n{ADDRESS}\n"


async def test_one_that_fails_lets_the_next_one_try(tmp_path: Path) -> None:
    bad = program(tmp_path, "bad", "exit 3")
    good = program(tmp_path, "good", "exit 0")
    assert await open_browser(ADDRESS, {"BROWSER": f"/nowhere/browser:{bad}:{good}"})
    assert not await open_browser(ADDRESS, {"BROWSER": f"{bad}:/nowhere/browser"})
    assert not await open_browser(ADDRESS, {})


async def test_a_browser_has_nothing_of_ours_and_is_not_waited_for(tmp_path: Path) -> None:
    number = shlex.quote(str(tmp_path / "pid"))
    browser = program(
        tmp_path, "browser", f"echo chatter; echo more >&2; read l && exit 9; echo $$ >{number}; exec sleep 60"
    )
    text = (
        "import asyncio, sys; from gateway.cli.token.browser import open_browser; "
        "print(asyncio.run(open_browser('https://as.example/', {'BROWSER': sys.argv[1]})))"
    )
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", "-c", text, str(browser)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    # The pipes are at their end, though the browser still runs: it holds none of them.
    assert await process.communicate(b"for the token command alone\n") == (b"True\n", b"")
    assert time.monotonic() - started < 30
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
