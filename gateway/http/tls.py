"""TLS for connections to others: who is trusted, and as whom we come (RFC 8446). Files that change are read again."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from pathlib import Path

logger = logging.getLogger(__name__)

_LOOK_EVERY = 5.0
"""Seconds between looks at the files: a certificate that was renewed is used within ten."""

_Stamp = tuple[tuple[int, int, int], ...]


class ClientContext:
    """Gives the context for a new connection. A file that can't be used leaves the last good context in place.

    Raises OSError or ssl.SSLError when made with files that can't be used.
    """

    def __init__(
        self,
        *,
        ca: str | None = None,
        certificate: str | None = None,
        private_key: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ca = ca
        self._certificate = certificate
        self._private_key = private_key
        self._files = [Path(file) for file in (ca, certificate, private_key) if file is not None]
        self._clock = clock
        self._stamp = self._look()
        self._context = self._load()
        self._looked_at = clock()

    def __call__(self) -> ssl.SSLContext:
        """The context of the files as they are."""
        now = self._clock()
        if now - self._looked_at >= _LOOK_EVERY:
            self._looked_at = now
            self._renew()
        return self._context

    def _renew(self) -> None:
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return
            # Noted first: a broken file is told of once.
            self._stamp = stamp
            self._context = self._load()
        except (OSError, ValueError) as problem:
            # The text of an SSLError names the file's part that is wrong, never its content.
            logger.warning("TLS files can't be used, the last ones go on: %s", problem)

    def _look(self) -> _Stamp:
        status = [file.stat() for file in self._files]
        return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in status)

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._certificate is not None:
            # An empty password: an encrypted key must fail, and not ask at the terminal.
            context.load_cert_chain(self._certificate, self._private_key, password="")
        return context
