"""Keeps the last good keys of an issuer on disk, for a start while the issuer is down."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.oauth.jose import Malformed, strict_json

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """A JWK Set and when it was fetched, in seconds since the epoch."""

    document: dict[str, Any] = field(repr=False)
    fetched_at: float


class KeyStore:
    """One file an issuer, readable by nobody else: whoever can write there decides which keys are trusted.

    Only files of `owner` count, a user id; it is our own unless said otherwise.
    """

    def __init__(self, folder: Path, *, owner: int | None = None) -> None:
        self._folder = folder
        self._owner = os.geteuid() if owner is None else owner

    def load(self, issuer: str) -> StoredKeys | None:
        """The stored keys of this issuer, None without any that can be used."""
        path = self._path(issuer)
        try:
            with path.open("rb") as file:
                # Of the open file, so that nobody swaps it in between: in a shared folder others could plant keys.
                status = os.fstat(file.fileno())
                if status.st_uid != self._owner or status.st_mode & stat.S_IWOTH:
                    raise Malformed("somebody else may have written it")
                stored = strict_json(file.read())
        except FileNotFoundError:
            return None
        except (OSError, Malformed) as problem:
            logger.warning("stored keys in %s can't be used: %s", path, problem)
            return None
        document, fetched_at = stored.get("document"), stored.get("fetched_at")
        if stored.get("issuer") != issuer or not isinstance(document, dict) or not isinstance(fetched_at, int | float):
            logger.warning("stored keys in %s can't be used: not what was written there", path)
            return None
        return StoredKeys(document, float(fetched_at))

    def save(self, issuer: str, document: dict[str, Any], fetched_at: float) -> None:
        """Store keys. A disk that does not take them is reported, and no reason to stop."""
        data = json.dumps({"issuer": issuer, "fetched_at": fetched_at, "document": document}).encode("utf-8")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _replace(self._path(issuer), data)
        except OSError as problem:
            logger.warning("keys can't be stored in %s: %s", self._folder, problem.strerror)

    def _path(self, issuer: str) -> Path:
        return self._folder / f"{hashlib.sha256(issuer.encode('utf-8')).hexdigest()[:32]}.json"


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
