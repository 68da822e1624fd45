"""One process at a time; a lock is the system's, and ends with the process that holds it."""

from __future__ import annotations

import asyncio
import contextlib
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.cli.token.lock import Locked, locked
from gateway.cli.token.store import StoreProblem

HOLD = """\
import fcntl, sys
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.asynccontextmanager
async def held_elsewhere(file: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process that holds the lock."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLD, str(file), stdin=pipe, stdout=pipe)
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"held\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_only_one_at_a_time_is_inside(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    async def enter(number: int) -> None:
        async with locked(tmp_path / "lock", patience=60):
            inside.append(number)
            most.append(len(inside))
            await asyncio.sleep(0.02)
            inside.remove(number)

    await asyncio.gather(*(enter(number) for number in range(5)))
    assert most == [1] * 5
    assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o600


async def test_whoever_waits_is_told_once_and_gets_in_when_the_other_dies(tmp_path: Path) -> None:
    waited: list[str] = []
    async with held_elsewhere(tmp_path / "lock") as process:

        def on_wait() -> None:
            waited.append("waiting")
            process.kill()

        async with locked(tmp_path / "lock", patience=60, on_wait=on_wait):
            assert waited == ["waiting"]


async def test_patience_ends(tmp_path: Path) -> None:
    async with held_elsewhere(tmp_path / "lock"):
        with pytest.raises(Locked):
            async with locked(tmp_path / "lock", patience=0.3):
                pass


async def test_a_waiting_one_can_be_cancelled(tmp_path: Path) -> None:
    async with held_elsewhere(tmp_path / "lock"):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), locked(tmp_path / "lock", patience=600):
                pass


async def test_what_can_not_be_locked_is_told(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for file in (tmp_path, tmp_path / "absent" / "lock", tmp_path / "link"):
        with pytest.raises(StoreProblem):
            async with locked(file, patience=1):
                pass
    assert not (tmp_path / "elsewhere").exists()
