"""Bytes of an origin to the parts of a response, strictly (RFC 9112 §4-§7). It does no input or output.

llhttp (through httptools, in its strict mode) reads the grammar; what it lets pass and a gateway must not is refused
here. A response that two readers could take for different ones is never repaired: it is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from gateway.http.message import Field
from gateway.http.switching import SWITCHING_PROTOCOLS

HEAD_SIZE: Final = 64 * 1024
"""Bytes of a response head, its interim responses included, and of what stands between two pieces of a body."""
FIELD_COUNT: Final = 500
INTERIM_COUNT: Final = 20

Interim = Callable[[int, Sequence[Field]], None]

_REASON = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_KEEP_ALIVE_TIMEOUT = re.compile(rb"(?i)(?:^|[,;\s])timeout\s*=\s*\"?(\d{1,9})")
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"keep-alive"})
_KINDS: Final[dict[bytes, bytes]] = {}
_KNOWN_NAMES: Final = 1024
_VERSIONS: Final = {b"HTTP/1.1 ": "1.1", b"HTTP/1.0 ": "1.0"}
_H: Final = ord("H")
_LF: Final = ord("\n")


class ResponseInvalid(Exception):
    """The origin sent what is no HTTP/1.1 response, or none that was asked for."""


class ResponseParser:
    """Reads one response after the other from one connection. `expect` begins each, `feed` takes what arrives.

    `pieces` collects the decoded body: chunk extensions and trailers are dropped (RFC 9112 §7.1).
    """

    __slots__ = (
        "_has_body",
        "_head_size",
        "_interim",
        "_interim_count",
        "_llhttp",
        "_overhead",
        "_spent",
        "_until_close",
        "_version",
        "begun",
        "complete",
        "fields",
        "head_complete",
        "keep_alive",
        "length",
        "may_switch",
        "persistent",
        "pieces",
        "reason",
        "status",
    )

    status: int
    reason: bytes
    fields: list[Field]
    length: int | None
    """Content-Length, also where no body follows it (HEAD, 304)."""
    pieces: list[bytes]
    begun: bool
    """The first byte of the response that comes next has arrived; an interim response does not count."""
    head_complete: bool
    complete: bool
    persistent: bool
    """The connection may carry another request (RFC 9112 §9.3); only meaningful once `complete`."""
    keep_alive: int | None
    """Seconds the origin promises to keep an idle connection (`Keep-Alive: timeout`)."""

    def __init__(self) -> None:
        self._llhttp = HttpResponseParser(self)
        self._spent = False
        self.may_switch = False
        """Whether 101 was asked for; then `pieces` are what follows it, and nothing more can be fed."""
        self.expect("GET", None)

    def expect(self, method: str, interim: Interim | None) -> None:
        """Begin the response to a request with this method; 1xx responses go to `interim`."""
        if self._spent:
            self._llhttp = HttpResponseParser(self)
            self._spent = False
        self._has_body = method != "HEAD"
        self._interim = interim
        self._interim_count = 0
        self._head_size = 0
        self._overhead = 0
        self._until_close = False
        self._version = ""
        self.status = 0
        self.reason = b""
        self.fields = []
        self.length = None
        self.pieces = []
        self.begun = False
        self.head_complete = False
        self.complete = False
        self.persistent = False
        self.keep_alive = None

    def feed(self, data: memoryview) -> None:
        """Take the next bytes, at least one. Raises `ResponseInvalid`; the connection is of no more use then."""
        if self.head_complete:
            self._feed_body(data)
            return
        # llhttp skips empty lines before the status line and takes RTSP and ICE for HTTP.
        if not self.begun:
            if data[0] != _H:
                raise ResponseInvalid("the response does not begin with HTTP/")
            # Told here, in all but split status lines, it need not be made a text each time.
            self._version = _VERSIONS.get(bytes(data[:9]), "")
        room = HEAD_SIZE - self._head_size
        self._head_size += len(data)
        if len(data) <= room:
            self._parse(data)
            return
        if not self._parse(data[:room]):
            raise ResponseInvalid("the head is too large")
        if self.status == SWITCHING_PROTOCOLS:
            self.pieces.append(bytes(data[room:]))
        else:
            self._feed_body(data[room:])

    def end(self) -> bool:
        """The origin closed in an orderly way: whether that ends the response (RFC 9112 §8)."""
        if self._until_close and self.head_complete:
            self.complete = True
        return self.complete

    def _feed_body(self, data: memoryview) -> None:
        # Neither an extension nor a trailer is handed out, so without this bound they could go on for ever.
        pieces = len(self.pieces)
        self._parse(data)
        self._overhead = self._overhead + len(data) if len(self.pieces) == pieces else 0
        if self._overhead > HEAD_SIZE and not self.complete:
            raise ResponseInvalid("a chunk extension or the trailers are too large")

    def _parse(self, data: memoryview) -> bool:
        """Whether the head is complete now."""
        was_complete = self.complete
        try:
            self._llhttp.feed_data(data)
        except HttpParserUpgrade as switch:
            # It raises from what it calls first, so this 101 was asked for.
            self.pieces.append(bytes(data[switch.args[0] :]))
        except HttpParserError as error:
            if not self.complete:
                cause = error.__context__
                raise (cause if isinstance(cause, ResponseInvalid) else ResponseInvalid(str(error))) from None
            # What follows a complete response is no answer to anything: discarded, and the connection with it (§9.2).
            self.persistent = False
        if was_complete or (self._spent and data[-1] != _LF):
            self.persistent = False
        return self.head_complete

    def on_message_begin(self) -> None:
        """Called by httptools."""
        if self.complete:
            raise ResponseInvalid("bytes behind the response")
        self.begun = True

    def on_status(self, reason: bytes) -> None:
        """Called by httptools, once for each piece of the reason phrase."""
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools, for trailers too."""
        if not self.head_complete:
            self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        """Called by httptools: checks the head and finds the framing (RFC 9112 §6.3)."""
        status = self.status = self._llhttp.get_status_code()
        version = self._version or self._llhttp.get_http_version()
        self._check_head(version)
        if status < 200:
            if status == SWITCHING_PROTOCOLS and self.may_switch:
                self._switch(version)
            else:
                self._check_interim()
            return
        chunked = self._read_framing()
        if chunked and version == "1.0":
            raise ResponseInvalid("Transfer-Encoding in HTTP/1.0")
        self.persistent = self._llhttp.should_keep_alive()
        self.head_complete = True
        if status in (204, 304):
            return  # llhttp knows that these end here
        if not self._has_body:
            # llhttp can't be told that this one answers a HEAD, and now waits for a body: a new one is made for the
            # next response, and whatever it still reports is a byte too many.
            self.complete = self._spent = True
        elif not chunked and self.length is None:
            self._until_close = True

    def on_chunk_header(self) -> None:
        """Called by httptools when a chunk begins."""
        if self.complete:
            raise ResponseInvalid("a body in the response to HEAD")

    def on_body(self, piece: bytes) -> None:
        """Called by httptools."""
        if self.complete:
            raise ResponseInvalid("a body in the response to HEAD")
        self.pieces.append(piece)

    def on_message_complete(self) -> None:
        """Called by httptools, for interim responses too."""
        if self.head_complete:
            self.complete = True
            return
        if self._interim is not None:
            self._interim(self.status, self.fields)
        self.status = 0
        self.reason = b""
        self.fields = []
        self.begun = False

    def _check_interim(self) -> None:
        self._interim_count += 1
        if self.status == SWITCHING_PROTOCOLS:
            raise ResponseInvalid("101 without having been asked for")
        if self._interim_count > INTERIM_COUNT:
            raise ResponseInvalid("too many interim responses")

    def _switch(self, version: str) -> None:
        """The protocol is another one behind this head (RFC 9110 §15.2.2)."""
        if version != "1.1" or not self._llhttp.should_upgrade():
            raise ResponseInvalid("101 with HTTP/1.0, or without Upgrade and Connection: upgrade")
        if self._read_framing() or self.length is not None:
            raise ResponseInvalid("101 with a body")
        self.persistent = self.head_complete = True

    def _check_head(self, version: str) -> None:
        if version != "1.1" and version != "1.0":
            raise ResponseInvalid("the version is neither 1.0 nor 1.1")
        if not 100 <= self.status <= 599:
            raise ResponseInvalid("the status is not between 100 and 599")
        if not _REASON.fullmatch(self.reason):
            raise ResponseInvalid("control characters in the reason phrase")
        if len(self.fields) > FIELD_COUNT:
            raise ResponseInvalid("too many fields")

    def _read_framing(self) -> bool:
        """Whether the body is chunked. Repeated, decorated or contradicting lengths llhttp has refused before."""
        chunked = False
        for name, value in self.fields:
            # One look-up for each field: nearly all of them are spelled as they were the last time.
            kind = _KINDS.get(name)
            if kind is None:
                kind = _kind(name)
            if kind == b"":
                continue
            if kind == b"content-length":
                self.length = int(value)
            elif kind == b"transfer-encoding":
                if chunked or value.strip(b" \t").lower() != b"chunked":
                    raise ResponseInvalid("a transfer coding other than chunked")
                chunked = True
            elif match := _KEEP_ALIVE_TIMEOUT.search(value):
                self.keep_alive = int(match[1])
        return chunked


def _kind(name: bytes) -> bytes:
    """The name of a field of framing in lower case, empty for all others."""
    lower = name.lower()
    kind = lower if lower in _FRAMING else b""
    if len(_KINDS) < _KNOWN_NAMES:
        _KINDS[name] = kind
    return kind
