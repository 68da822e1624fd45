"""The files that a configuration is read from, and whether they have changed: YAML files, and what `${file:…}` names.

They are looked at, not listened to: so it works the same on every file system, for a mounted ConfigMap, whose files are
links that lead through a folder which is swapped, and for editors that put a new file in the place of the old one.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from gateway.config.environment import PREFIX
from gateway.config.load import found
from gateway.config.model import Config

_REFERENCE = re.compile(rb"\$\{file:([^}]*)\}")

_RESTLESS = 4
"""How many looks may find something new each time before it is read all the same."""

_Stamps = dict[Path, tuple[int, int, int] | None]


class ConfigFiles:
    """What `load` reads for a path and an environment.

    `look` is to be called again and again. It says once of each change that there is something to read: when two looks
    in a row have found the same, so that a file is not read while it is being written, nor a folder halfway through.
    """

    def __init__(self, path: str | Path | None = None, environ: Mapping[str, str] | None = None) -> None:
        self.environ = os.environ if environ is None else environ
        self.path = found(path, self.environ)
        self._also: tuple[Path, ...] = ()
        self._named: tuple[Path, ...] = ()
        self._text_stamps: _Stamps = {}
        self._seen: _Stamps = {}
        self._read: dict[Path, bytes] = {}
        self._restless = 0
        self.note()

    def follow(self, config: Config, *, is_in_use: bool) -> None:
        """Look also after what is read once, when this configuration is built. What is read again by itself, as
        certificates are, matters only as long as the configuration is not in use: it may be what is missing.
        """
        also = tuple(dict.fromkeys(map(Path, _keys(config) if is_in_use else (*_keys(config), *_read_again(config)))))
        for file in self._also:
            if file not in also and file not in self._named:
                self._seen.pop(file, None)
                self._read.pop(file, None)
        for file in also:
            if file not in self._seen:
                self._seen[file], self._read[file] = _stamp(file), _digest(file)
        self._also = also

    def note(self) -> None:
        """They are about to be read: what changes from now on is a change."""
        self._seen = self._stamps()
        self._read = {file: _digest(file) for file in self._seen}
        self._restless = 0

    def look(self) -> bool:
        """Whether they have changed since they were noted, and are at rest."""
        stamps = self._stamps()
        if stamps != self._seen:
            self._seen = stamps
            self._restless += 1
            return self._restless > _RESTLESS
        if not self._restless:
            return False
        # A file that was merely touched or copied says what it said.
        self._restless = 0
        return {file: _digest(file) for file in self._seen} != self._read

    def _stamps(self) -> _Stamps:
        texts = {file: _stamp(file) for file in self._texts()}
        if texts != self._text_stamps:
            self._text_stamps = texts
            self._named = tuple(dict.fromkeys(map(Path, self._references(texts))))
        return {**texts, **{file: _stamp(file) for file in (*self._named, *self._also)}}

    def _texts(self) -> list[Path]:
        try:
            return sorted(self.path.glob("*.yaml")) if self.path.is_dir() else [self.path]
        except OSError:
            return []

    def _references(self, texts: Iterable[Path]) -> Iterator[str]:
        """The files that are named, by the look of the text: also by one that is no YAML at the moment."""
        overrides = (value.encode() for name, value in self.environ.items() if name.startswith(PREFIX))
        for text in (*map(_content, texts), *overrides):
            for name in _REFERENCE.findall(text):
                yield os.fsdecode(name)


def _keys(config: Config) -> Iterator[str]:
    for issuer in config.issuers.values():
        if issuer.introspection is not None and issuer.introspection.client_key is not None:
            yield issuer.introspection.client_key


def _read_again(config: Config) -> Iterator[str]:
    issuers, upstreams = config.issuers.values(), config.upstreams.values()
    blocks = (config.tls, *(issuer.tls for issuer in issuers), *(upstream.tls for upstream in upstreams))
    names = ("certificate", "private_key", "client_ca", "ca")
    files = [getattr(block, name, None) for block in blocks for name in names]
    yield from filter(None, (*files, *(issuer.jwks_file for issuer in issuers)))


def _stamp(file: Path) -> tuple[int, int, int] | None:
    # Of what a link leads to in the end: Kubernetes swaps the folder that `..data` names.
    try:
        status = file.stat()
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _content(file: Path) -> bytes:
    try:
        # A pipe, as the shell makes one of `<(…)`, can be read once, and that is for whoever loads it.
        return file.read_bytes() if file.is_file() else b""
    except (OSError, ValueError):
        return b""


def _digest(file: Path) -> bytes:
    return hashlib.sha256(_content(file)).digest()
