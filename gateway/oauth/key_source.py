"""Where the keys of an issuer come from: what all sources have in common, and those that stand in the configuration or
in a file (RFC 7517). Fetched keys are in `jwks`.

The object that `current` returns changes exactly when the keys do, so a cache can tell by identity.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from gateway.oauth.jose import Malformed, strict_json
from gateway.oauth.keys import KeySet, from_jwks

logger = logging.getLogger(__name__)

_FILE_PERIOD = 5.0


class KeySource(Protocol):
    """The keys of one issuer, from wherever."""

    name: str
    fetched_at: float | None
    """When the keys were last had from their source, in seconds since the epoch; None before the first time."""
    results: Counter[str]
    """How often keys were fetched, by result: `ok`, `unchanged`, or the kind of a failure."""

    def current(self, now: float) -> KeySet | None:
        """The keys to verify with; None when there are none, or none that may still be used."""
        ...

    async def start(self) -> None:
        """Begin to fetch, without waiting for it."""
        ...

    async def close(self) -> None:
        """End what runs in the background."""
        ...

    async def first(self) -> None:
        """Wait for the first attempt to have keys, whatever comes of it."""
        ...

    async def refresh_for_unknown_kid(self) -> None:
        """A token names a key that is not there: fetch, unless that was done a moment ago."""
        ...

    async def refresh(self) -> str:
        """Fetch now, because an operator asks for it. `ok`, or the kind of the failure."""
        ...


class StaticKeys:
    """Keys that stand in the configuration."""

    def __init__(self, name: str, keys: KeySet, clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self.fetched_at: float | None = clock()
        self.results: Counter[str] = Counter()
        self._keys = keys

    def current(self, now: float) -> KeySet | None:
        """The keys; they never change."""
        return self._keys

    async def start(self) -> None:
        """Nothing to fetch."""

    async def close(self) -> None:
        """Nothing runs."""

    async def first(self) -> None:
        """They are here."""

    async def refresh_for_unknown_kid(self) -> None:
        """There is nowhere else to look."""

    async def refresh(self) -> str:
        """They are what they are."""
        return "ok"


class FileKeys:
    """Keys from a file, read again when it changes (a mounted secret's symlink swap included)."""

    def __init__(self, name: str, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self.fetched_at: float | None = None
        self.results: Counter[str] = Counter()
        self._path = path
        self._clock = clock
        self._keys: KeySet | None = None
        self._stamp: tuple[int, int, int] | None = None
        self._problem = ""
        self._task: asyncio.Task[None] | None = None
        self._read()

    def current(self, now: float) -> KeySet | None:
        """The keys of the last readable version of the file."""
        return self._keys

    async def start(self) -> None:
        """Watch the file."""
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop watching."""
        await cancelled(self._task)

    async def first(self) -> None:
        """It was read when this was made."""

    async def refresh_for_unknown_kid(self) -> None:
        """Look whether the file has changed."""
        self._read()

    async def refresh(self) -> str:
        """Read the file again if it has changed."""
        self._read()
        return "unusable" if self._problem else "ok"

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_FILE_PERIOD)
            self._read()

    def _read(self) -> None:
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                data = self._path.read_bytes()
                # Noted before it is parsed: a broken file is read once, and not again for each unknown `kid`.
                self._stamp = stamp
                self._adopt(from_jwks(strict_json(data)))
        except OSError as failure:
            self._stamp = None
            self._failed("unreadable", failure.strerror or "")
        except Malformed as problem:
            self._failed("malformed", str(problem))
        else:
            if not self._problem:
                self.fetched_at = self._clock()

    def _adopt(self, keys: KeySet) -> None:
        if not keys.keys:
            self._failed("empty", "no usable key")
            return
        self._problem = ""
        self.results["ok"] += 1
        report_skipped(self.name, keys)
        if self._keys is None or self._keys.fingerprint != keys.fingerprint:
            self._keys = keys

    def _failed(self, kind: str, problem: str) -> None:
        # Counted and told once: guessed kids can't fill the log.
        if problem == self._problem:
            return
        self._problem = problem
        self.results[kind] += 1
        logger.warning("keys of issuer %s: %s can't be used: %s", self.name, self._path, problem)


def report_skipped(name: str, keys: KeySet) -> None:
    """Tell in the log which keys of a set can't be used, and why."""
    for reason in keys.skipped:
        logger.warning("keys of issuer %s: skipped %s", name, reason)


async def cancelled(task: asyncio.Task[None] | None) -> None:
    """End a background task and wait until it has ended."""
    if task is not None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
