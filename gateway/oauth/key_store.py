"""Keeps the last good keys of an issuer, for a start while the issuer is down: on disk, or sealed in Redis."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import stat
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from gateway.cache.redis import SharedStore, StoreUnavailable
from gateway.cache.sealing import Sealer
from gateway.oauth.jose import Malformed, strict_json

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """A JWK Set and when it was fetched, in seconds since the epoch."""

    document: dict[str, Any] = field(repr=False)
    fetched_at: float


class KeyStore(Protocol):
    """Where keys outlive a process. What can't be kept or read is reported, and no reason to stop."""

    async def load(self, issuer: str) -> StoredKeys | None:
        """The stored keys of this issuer, None without any that can be used."""
        ...

    async def save(self, issuer: str, document: dict[str, Any], fetched_at: float) -> None:
        """Store keys."""
        ...


class FolderKeyStore:
    """One file an issuer, readable by nobody else: whoever can write there decides which keys are trusted.

    Only files of `owner` count, a user id; it is our own unless said otherwise.
    """

    def __init__(self, folder: Path, *, owner: int | None = None) -> None:
        self._folder = folder
        self._owner = os.geteuid() if owner is None else owner

    async def load(self, issuer: str) -> StoredKeys | None:
        """The stored keys of this issuer, None without any that can be used."""
        path = self._path(issuer)
        try:
            with path.open("rb") as file:
                # Of the open file, so that nobody swaps it in between: in a shared folder others could plant keys.
                status = os.fstat(file.fileno())
                if status.st_uid != self._owner or status.st_mode & stat.S_IWOTH:
                    raise Malformed("somebody else may have written it")
                return _read(file.read(), issuer)
        except FileNotFoundError:
            return None
        except (OSError, Malformed) as problem:
            logger.warning("stored keys in %s can't be used: %s", path, problem)
            return None

    async def save(self, issuer: str, document: dict[str, Any], fetched_at: float) -> None:
        """Store keys. A disk that does not take them is reported."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _replace(self._path(issuer), _written(issuer, document, fetched_at))
        except OSError as problem:
            logger.warning("keys can't be stored in %s: %s", self._folder, problem.strerror)

    def _path(self, issuer: str) -> Path:
        return self._folder / f"{hashlib.sha256(issuer.encode('utf-8')).hexdigest()[:32]}.json"


class SharedKeyStore:
    """Keys in Redis, sealed: whoever can write there must not decide which keys are trusted.

    They are kept for `seconds`, as long as keys may be used without their issuer.
    """

    def __init__(
        self, store: SharedStore, sealer: Sealer, *, seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._seconds = seconds
        self._clock = clock

    async def load(self, issuer: str) -> StoredKeys | None:
        """The stored keys of this issuer, None without any that can be used, or without Redis."""
        for name in self._sealer.names("keys", issuer.encode("utf-8")):
            try:
                sealed = await self._store.get(name)
                data = self._sealer.open(name, sealed, self._clock()) if sealed is not None else None
                if data is not None:
                    return _read(data, issuer)
            except StoreUnavailable:
                return None
            except Malformed as problem:
                logger.warning("keys stored in Redis can't be used: %s", problem)
        return None

    async def save(self, issuer: str, document: dict[str, Any], fetched_at: float) -> None:
        """Store keys. Without Redis they are stored with the next fetch."""
        name = self._sealer.name("keys", issuer.encode("utf-8"))
        sealed = self._sealer.seal(name, _written(issuer, document, fetched_at), fetched_at + self._seconds)
        with contextlib.suppress(StoreUnavailable):
            await self._store.put(name, sealed, self._seconds)


def _written(issuer: str, document: dict[str, Any], fetched_at: float) -> bytes:
    return json.dumps({"issuer": issuer, "fetched_at": fetched_at, "document": document}).encode("utf-8")


def _read(data: bytes, issuer: str) -> StoredKeys:
    stored = strict_json(data)
    document, fetched_at = stored.get("document"), stored.get("fetched_at")
    if stored.get("issuer") != issuer or not isinstance(document, dict) or not isinstance(fetched_at, int | float):
        raise Malformed("not what was written there")
    return StoredKeys(document, float(fetched_at))


def _replace(path: Path, data: bytes) -> None:
    """Write beside the file and rename, so that no reader ever sees half of it (mkstemp makes it mode 0600)."""
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
