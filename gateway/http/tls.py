"""TLS contexts made from files: for connections to others, and for a listener (RFC 8446). Changed files are read again.

A connection keeps the context it was made with; only new ones see new files. Nothing here knows what is sent.
"""

from __future__ import annotations

import logging
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

logger = logging.getLogger(__name__)

_LOOK_EVERY: Final = 5.0
"""Seconds between looks at the files: a certificate that was renewed is used within ten."""

_PROTOCOLS: Final = ("http/1.1",)

CLIENT_CERTIFICATES: Final = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
"""Whether a listener asks its clients for a certificate; one that is not trusted is refused in any case."""

_Stamp = tuple[tuple[int, int, int] | None, ...]


class FileContext(ABC):
    """Gives the context for a new connection. A file that can't be used leaves the last good context in place.

    Raises OSError or ssl.SSLError when made with files that can't be used.
    """

    def __init__(self, *files: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._files = [Path(file) for file in files if file is not None]
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
        stamp = self._look()
        if stamp == self._stamp:
            return
        # Noted first: a broken file is told of once. Looked at before it is loaded: what changes in between, as the
        # second of two files that are replaced one after the other, is seen the next time.
        self._stamp = stamp
        names = ", ".join(map(str, self._files))
        try:
            self._context = self._load()
        except (OSError, ValueError) as problem:
            # The text of an SSLError names the file's part that is wrong, never its content.
            logger.warning("TLS files can't be used, the last ones go on: %s (%s)", problem, names)
        else:
            logger.info("TLS files have changed and are in use: %s", names)

    def _look(self) -> _Stamp:
        return tuple(map(_stamp, self._files))

    @abstractmethod
    def _load(self) -> ssl.SSLContext:
        """A context of the files. Raises OSError, ssl.SSLError or ValueError."""


class ClientContext(FileContext):
    """Who is trusted, and as whom we come. Without `verify` anybody is taken for the server."""

    def __init__(
        self,
        *,
        ca: str | None = None,
        certificate: str | None = None,
        private_key: str | None = None,
        verify: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ca = ca
        self._certificate = certificate
        self._private_key = private_key
        self._verify = verify
        super().__init__(ca, certificate, private_key, clock=clock)

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(_PROTOCOLS)
        if not self._verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self._certificate is not None:
            # An empty password: an encrypted key must fail, and not ask at the terminal.
            context.load_cert_chain(self._certificate, self._private_key, password="")
        return context


class _TellingWhy(ssl.SSLObject):
    """Lets the alert of a failed handshake reach the client (RFC 8446 §6.2).

    The event loops drop what OpenSSL has to say when a handshake fails, and whoever forgot a certificate would see a
    connection that is reset for no reason. So they are told first that more has to be read: then they send what there
    is. The client closes, or else the handshake's time runs out.
    """

    outgoing: ssl.MemoryBIO
    _failure: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        """Called by the event loop whenever the client has sent something."""
        if self._failure is not None:
            raise self._failure
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as failure:
            logger.debug("a TLS handshake failed: %s", failure)
            if not self.outgoing.pending:
                raise
            self._failure = failure
            raise ssl.SSLWantReadError from failure


class _ListenerContext(ssl.SSLContext):
    """Makes such objects, which know where their alert would be."""

    sslobject_class = _TellingWhy

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **rules: Any) -> ssl.SSLObject:
        """Called by the event loop for a new connection."""
        wrapped = super().wrap_bio(incoming, outgoing, *args, **rules)
        cast("_TellingWhy", wrapped).outgoing = outgoing
        return wrapped


class ServerContext(FileContext):
    """As whom a listener answers, and whom it lets in. `client_certificate` is a name of `CLIENT_CERTIFICATES`."""

    def __init__(
        self,
        certificate: str,
        private_key: str,
        *,
        client_ca: str | None = None,
        client_certificate: str = "none",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._certificate = certificate
        self._private_key = private_key
        self._client_ca = client_ca
        self._verify_mode = CLIENT_CERTIFICATES[client_certificate]
        super().__init__(certificate, private_key, client_ca, clock=clock)

    def _load(self) -> ssl.SSLContext:
        context = _ListenerContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.set_alpn_protocols(_PROTOCOLS)
        context.load_cert_chain(self._certificate, self._private_key, password="")
        if self._client_ca is not None:
            context.load_verify_locations(self._client_ca)
            context.verify_mode = self._verify_mode
            # A resumed session is not verified again: a CA that is no longer trusted would live on in tickets.
            context.options |= ssl.OP_NO_TICKET
            context.num_tickets = 0
        return context


def _stamp(file: Path) -> tuple[int, int, int] | None:
    # Of what a link leads to in the end: Kubernetes swaps the folder that `..data` names.
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
