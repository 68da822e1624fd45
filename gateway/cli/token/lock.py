"""One process at a time gets a token: a refresh token that is rotated is good once (RFC 6749 §6, RFC 9700 §4.14).

Two shells that refresh at once would each send the old one: an issuer takes that for theft, and ends them all.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from gateway.cli.token.store import StoreProblem

_LOOK_EVERY = 0.1


class Locked(StoreProblem):
    """Another process holds the lock for longer than we may wait."""


@contextlib.asynccontextmanager
async def locked(
    file: Path,
    *,
    patience: float,
    on_wait: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[None]:
    """Be the only one who holds this file. `on_wait` is called once when another does.

    Raises `Locked` after `patience` seconds, `StoreProblem` when the file can't be locked. The lock ends with the
    process, whatever becomes of it; the file stays, since deleting it would let two others in.
    """
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as problem:
        raise StoreProblem(f"{file} can't be opened: {problem.strerror}") from None
    try:
        await _acquire(descriptor, patience, on_wait, clock)
        yield
    finally:
        os.close(descriptor)


async def _acquire(descriptor: int, patience: float, on_wait: Callable[[], None], clock: Callable[[], float]) -> None:
    """Tries again and again instead of waiting in the system, so that Ctrl-C is heard and patience ends."""
    ends_at = clock() + patience
    if _try(descriptor):
        return
    on_wait()
    while clock() < ends_at:
        await asyncio.sleep(_LOOK_EVERY)
        if _try(descriptor):
            return
    raise Locked("another oauth-gateway is getting the same token and does not finish")


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as problem:
        raise StoreProblem(f"the tokens can't be locked: {problem.strerror}") from None
    return True
