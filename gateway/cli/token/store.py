"""Keeps tokens in files that nobody else can read: one for each issuer, client and purpose, replaced as a whole.

Imports nothing of OAuth or HTTP: to hand out a token that is still good must cost little more than the start of Python.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

_FORMAT = 1
_LARGEST = 2**20
_USUAL_MARGIN = 60.0
_UNKNOWN_LIFETIME = 300.0
_CLOCK_SLACK = 60.0

Holder = Literal["client", "user"]


class StoreProblem(Exception):
    """The folder or a file of it can't be used. Says why, and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What tells tokens apart: who issues them, to which client, for whom (itself or a user), and what was asked for.

    `parameters` are further ones of the request, such as `audience`. The order of scopes means nothing.
    """

    issuer: str
    client_id: str
    holder: Holder
    scopes: frozenset[str] = frozenset()
    resources: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The same for the same purpose, whatever was said first."""
        return {
            "issuer": self.issuer,
            "client_id": self.client_id,
            "holder": self.holder,
            "scopes": sorted(self.scopes),
            "resources": sorted(self.resources),
            "parameters": sorted([name, value] for name, value in self.parameters),
        }

    @property
    def file_name(self) -> str:
        """Readable in front, unique behind, without an ending."""
        digest = hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()
        readable = re.sub(r"[^A-Za-z0-9.]+", "-", f"{self.issuer.partition('://')[2]} {self.client_id}").strip("-.")
        return f"{readable[:80]}-{self.holder}-{digest[:16]}"


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token as it was obtained. Times are seconds since the epoch; `expires_at` is None where nobody says.

    `scope` is what the issuer said it granted, None for what was asked for.
    """

    access_token: str = field(repr=False)
    obtained_at: float
    expires_at: float | None = None
    refresh_token: str | None = field(default=None, repr=False)
    scope: str | None = None

    def is_good(self, now: float, holder: Holder, margin: float | None) -> bool:
        """Whether it lasts for `margin` more seconds; None: a minute, or a quarter of its life where that is less.

        Of unknown lifetime it is good for some minutes when a new one costs the user nothing, else until replaced.
        """
        if now < self.obtained_at - _CLOCK_SLACK:
            return False  # the clock was set back: nothing is known
        if self.expires_at is None:
            is_free = holder == "client" or self.refresh_token is not None
            return not is_free or now < self.obtained_at + _UNKNOWN_LIFETIME
        if margin is None:
            margin = min(_USUAL_MARGIN, (self.expires_at - self.obtained_at) / 4)
        return now < self.expires_at - margin


def default_folder(environ: Mapping[str, str]) -> Path:
    """Below XDG_STATE_HOME or ~/.local/state. Raises `StoreProblem` where there is no home."""
    state = environ.get("XDG_STATE_HOME", "")
    if state.startswith("/"):  # the XDG specification: a relative one is ignored
        return Path(state, "oauth-gateway", "tokens")
    try:
        return Path.home() / ".local" / "state" / "oauth-gateway" / "tokens"
    except RuntimeError:
        raise StoreProblem("there is no home folder to keep tokens in; set XDG_STATE_HOME") from None


class TokenStore:
    """A folder of tokens, for its owner alone."""

    def __init__(self, folder: Path, *, owner: int | None = None) -> None:
        self.folder = folder
        self._owner = os.geteuid() if owner is None else owner

    def path(self, purpose: Purpose) -> Path:
        """The file of a purpose."""
        return self.folder / f"{purpose.file_name}.json"

    def load(self, purpose: Purpose) -> StoredToken | None:
        """The token of a purpose, None without any. Raises `StoreProblem` for a file that can't be used."""
        path = self.path(purpose)
        try:
            found, token = self._read(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as problem:
            raise StoreProblem(f"{path} can't be used: {_reason(problem)}") from None
        if found.as_json() != purpose.as_json():
            raise StoreProblem(f"{path} can't be used: it is not the file of this token")
        return token

    def find(
        self, issuer: str, client_id: str, scopes: frozenset[str] | None = None
    ) -> list[tuple[Purpose, StoredToken]]:
        """The tokens of an issuer and a client, the newest first; with `scopes`, those that were asked for with these.

        Files that can't be used are left out.
        """
        found = []
        for path in sorted(self.folder.glob("*.json")):
            with contextlib.suppress(OSError, ValueError):
                purpose, token = self._read(path)
                is_ours = (purpose.issuer, purpose.client_id) == (issuer, client_id) and path == self.path(purpose)
                if is_ours and scopes in (None, purpose.scopes):
                    found.append((purpose, token))
        return sorted(found, key=lambda pair: -pair[1].obtained_at)

    def _read(self, path: Path) -> tuple[Purpose, StoredToken]:
        """Raises OSError, ValueError."""
        with path.open("rb") as file:
            # Of the open file, so that nobody swaps it in between: a planted token would make us somebody else.
            self._check(os.fstat(file.fileno()))
            return _parsed(file.read(_LARGEST))

    def save(self, purpose: Purpose, token: StoredToken) -> None:
        """Replace what is there by this token, as a whole or not at all. Raises `StoreProblem`."""
        document = {"format": _FORMAT, **purpose.as_json(), "token": asdict(token)}
        try:
            self._make_folder()
            _replace(self.path(purpose), json.dumps(document, indent=1).encode("utf-8"))
        except OSError as problem:
            raise StoreProblem(f"{self.folder} takes no token: {_reason(problem)}") from None

    def forget(self, purpose: Purpose) -> None:
        """Delete the token of a purpose. Raises `StoreProblem`."""
        try:
            self.path(purpose).unlink(missing_ok=True)
        except OSError as problem:
            raise StoreProblem(f"{self.path(purpose)} can't be deleted: {_reason(problem)}") from None

    def lock_file(self, purpose: Purpose) -> Path:
        """What whoever gets this token locks; its folder is there afterwards. Raises `StoreProblem`."""
        try:
            self._make_folder()
        except OSError as problem:
            raise StoreProblem(f"{self.folder} can't be used: {_reason(problem)}") from None
        return self.folder / f"{purpose.file_name}.lock"

    def _make_folder(self) -> None:
        # `parents` makes the folders above with the usual mode.
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        status = self.folder.stat()
        if status.st_uid != self._owner:
            raise PermissionError(1, "the folder belongs to another user")
        if status.st_mode & 0o077:
            self.folder.chmod(0o700)

    def _check(self, status: os.stat_result) -> None:
        if status.st_uid != self._owner or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ValueError("somebody else may have written it")
        if status.st_mode & (stat.S_IRGRP | stat.S_IROTH):
            raise ValueError("others can read it")


def _parsed(data: bytes) -> tuple[Purpose, StoredToken]:
    """Raises ValueError."""
    try:
        document = json.loads(data)
        members = document["token"]
        token = StoredToken(**{name: members.get(name) for name in StoredToken.__dataclass_fields__})
        purpose = Purpose(
            document["issuer"],
            document["client_id"],
            document["holder"],
            frozenset(document["scopes"]),
            tuple(document["resources"]),
            tuple((name, value) for name, value in document["parameters"]),
        )
        is_sound = _is_sound(token) and bool(purpose.file_name)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ValueError("it is damaged") from None
    if not is_sound:
        raise ValueError("it is damaged")
    return purpose, token


def _is_sound(token: StoredToken) -> bool:
    """Whether each member is of its kind; a token goes into a command line and a header field."""
    tokens = [token.access_token, *([token.refresh_token] if token.refresh_token is not None else [])]
    times = [token.obtained_at, *([token.expires_at] if token.expires_at is not None else [])]
    return (
        all(isinstance(value, str) and re.fullmatch(r"[\x21-\x7e]+", value) for value in tokens)
        and all(isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12 for value in times)
        and (token.scope is None or (isinstance(token.scope, str) and token.scope.isprintable()))
    )


def _replace(path: Path, data: bytes) -> None:
    """Write beside the file and rename: no reader sees half of it, and no crash leaves half (mkstemp gives 0600)."""
    descriptor, name = tempfile.mkstemp(prefix=".", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _reason(problem: Exception) -> str:
    return str(problem.strerror or problem) if isinstance(problem, OSError) else str(problem)
