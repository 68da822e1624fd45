"""Bytes of a client to request heads, strictly (RFC 9112 §2-§6). It does no input or output.

llhttp (through httptools, in its strict mode) reads the grammar; what it lets pass and a gateway must not is refused
here. A head that two readers could take for different ones is never repaired.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from gateway import errors
from gateway.errors import GatewayError
from gateway.http.framing import HeadLimits
from gateway.http.headers import nominated
from gateway.http.message import Field, Fields

_END: Final = b"\r\n\r\n"
# RFC 9112 §3: one blank each. llhttp takes several, and RTSP and ICE for HTTP.
_LINE: Final = re.compile(rb"[A-Z\-]+ [^ ]+ HTTP/[0-9]\.[0-9]")
# RFC 9112 §2.2: a robust server ignores an empty line before the request line. More than two are no accident.
_EMPTY_LINES: Final = (b"", b"\r\n", b"\r\n\r\n")
# Request lines of heads that may be known: the methods are those without a meaning for framing.
_PLAIN_LINE: Final = re.compile(rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/[!-~]*) HTTP/1\.1")
_METHODS: Final = {name.encode("ascii"): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}
# What says more about the message than its fields: a head with one of these is read anew each time.
_TELLING: Final = (b"content-length", b"transfer-encoding", b"upgrade", b"expect")
_AROUND_TARGET: Final = 64
"""More bytes than a request line has besides its target, with the empty lines before it."""
_VERSIONS: Final = {"1.1": (1, 1), "1.0": (1, 0)}

_KNOWN_LARGEST: Final = 4096


class KnownFields:
    """Header sections that the strict parser has read before, by their bytes: most clients send the same ones again and
    again, with the same token, and only the request line differs.

    A section is kept once its request was allowed (`keep`), so that strangers can't push others out at no cost. What
    depends on the fields alone may be kept with them. Bounded; the least recently used ones go first.
    """

    __slots__ = ("_bytes", "_kept", "_size")

    def __init__(self, size: int = 64 * 2**20) -> None:
        self._bytes = self._size = size
        self._kept: OrderedDict[bytes, Fields] = OrderedDict()

    def get(self, section: bytes) -> Fields | None:
        """The fields of a section that is kept."""
        fields = self._kept.get(section)
        if fields is not None:
            self._kept.move_to_end(section)
        return fields

    def keep(self, fields: Fields) -> None:
        """Keep these fields, if a parser gave them a section to be kept by."""
        section, fields.section = fields.section, None
        if section is None or section in self._kept:
            return
        self._kept[section] = fields
        self._bytes -= _weight(section)
        while self._bytes < 0:
            self._bytes += _weight(self._kept.popitem(last=False)[0])

    def forget(self) -> None:
        """Keep nothing of what was kept so far."""
        self._kept.clear()
        self._bytes = self._size


def _weight(section: bytes) -> int:
    """Bytes of memory, roughly: the section, its parts, and what is kept with them."""
    return 2048 + 2 * len(section)


class RequestParser:
    """Reads the heads of one connection, one after the other: `feed` until `is_complete`, then `begin` for the next.

    What the parts of a head mean to each other, and its sizes once it is complete, is for `framing.check_head`.
    """

    __slots__ = (
        "_known",
        "_last",
        "_last_section",
        "_last_size",
        "_limits",
        "_llhttp",
        "_raw",
        "_read",
        "_url",
        "fields",
        "has_begun",
        "is_complete",
        "keep_alive",
        "method",
        "target",
        "version",
    )

    method: str
    target: str
    """The request target as sent, as latin-1 text."""
    version: tuple[int, int]
    fields: Fields
    keep_alive: bool
    """Whether the client lets the connection go on (RFC 9112 §9.3)."""

    def __init__(self, limits: HeadLimits, known: KnownFields) -> None:
        self._limits = limits
        self._known = known
        self._last: Fields | None = None
        self._last_section = b""
        self._last_size = 0
        self._llhttp: HttpRequestParser | None = None
        self._raw = bytearray()
        self._url = b""
        self._read: list[Field] = []
        self.has_begun = False
        self.is_complete = False

    @property
    def is_under_way(self) -> bool:
        """Whether a request has begun: the empty lines that some clients send behind a body are none."""
        return self.has_begun and not self._raw.isspace()

    def renew(self, limits: HeadLimits) -> None:
        """Other limits from now on; the fields that came last are not taken for known ones."""
        self._limits = limits
        self._last, self._last_section, self._last_size = None, b"", 0

    def begin(self) -> None:
        """Make ready for the next head."""
        self.has_begun = self.is_complete = False

    def feed(self, data: bytes) -> int:
        """Take bytes up to the end of the head, and say how many. Raises `GatewayError` for what is no head."""
        if not self.has_begun:
            end = data.find(_END)
            if end > 0 and self._recall(data, end):
                return end + 4
            self.has_begun = True
            self._raw.clear()
            self._url = b""
            self._read = []
        taken = 0
        while taken < len(data) and not self.is_complete:
            taken += self._take(data[taken:] if taken else data)
        return taken

    def _recall(self, data: bytes, end: int) -> bool:
        """The whole head at once, if its fields are known."""
        line_end = data.find(b"\r\n")
        # The same as the last time on this connection: that is told without a copy and a hash of all its bytes.
        if self._last_size == end - line_end and data.startswith(self._last_section, line_end):
            fields = self._last
        else:
            section = data[line_end:end]
            fields = self._known.get(section)
            if fields is not None:
                self._last, self._last_section, self._last_size = fields, section, end - line_end
        if fields is None:
            return False
        line = _PLAIN_LINE.fullmatch(data, 0, line_end)
        if line is None:
            return False
        method, target = line.groups()
        self.method = _METHODS[method]
        self.target = target.decode("ascii")
        self.version = (1, 1)
        self.fields = fields
        self.keep_alive = True
        self.is_complete = True
        return True

    def _take(self, data: bytes) -> int:
        """Feed up to the next empty line: never beyond the end of the head, which is one. Nor beyond a size at which
        something is too long: which complaint a head gets must not depend on how its bytes arrive.
        """
        raw = self._raw
        before = len(raw)
        limits = self._limits
        bound = limits.target + _AROUND_TARGET
        if before >= bound:
            bound = limits.head + limits.target
        raw += data if len(data) <= bound - before else data[: bound - before]
        at = raw.find(_END, max(0, before - 3))
        if at >= 0:
            del raw[at + 4 :]
        self._parse(bytes(raw[before:]))
        if len(raw) >= bound and not self.is_complete:
            self._check_size()
        return len(raw) - before

    def _check_size(self) -> None:
        """A bound for what is being collected: `check_head` measures what is complete."""
        limits, raw = self._limits, self._raw
        if raw.find(b"\r\n", 4, limits.target + _AROUND_TARGET) < 0:
            raise GatewayError(errors.TARGET_TOO_LONG, f"more than {limits.target} bytes")
        if len(raw) >= limits.head + limits.target:
            raise GatewayError(errors.HEAD_TOO_LARGE, f"more than {limits.head} bytes")

    def _parse(self, data: bytes) -> None:
        if self._llhttp is None:
            self._llhttp = HttpRequestParser(self)
        defect: GatewayError | None = None
        try:
            self._llhttp.feed_data(data)
        except HttpParserUpgrade:
            # It takes what follows for another protocol, and is of no more use. For us nothing has been upgraded yet.
            self._llhttp = None
        except HttpParserError as error:
            self._llhttp = None
            defect = _defect(error)
        if defect is not None:
            # Out here the parser's complaint, which may quote what the client sent, does not come along.
            raise defect
        if self.is_complete:
            self._check_line()

    def _check_line(self) -> None:
        head = bytes(self._raw)
        start = len(head) - len(head.lstrip(b"\r\n"))
        line_end = head.find(b"\r\n", start)
        if head[:start] not in _EMPTY_LINES:
            raise GatewayError(errors.FRAMING_INVALID, "what stands before the request line is no empty line")
        if self.version in _VERSIONS.values() and not _LINE.fullmatch(head, start, line_end):
            raise GatewayError(errors.FRAMING_INVALID, "the request line has more than one blank somewhere")
        fields = self.fields
        if any(name in fields for name in _TELLING):
            self._llhttp = None  # it waits for a body, which is not for it
        elif self.keep_alive and self.version == (1, 1) and len(head) <= _KNOWN_LARGEST:
            fields.section = head[line_end:-4]

    # --- what httptools calls ----------------------------------------------------------------------------------

    def on_url(self, piece: bytes) -> None:
        """Called by httptools, once for each piece of the target."""
        self._url += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools. It keeps the blanks behind a value, which are none of it (RFC 9112 §5)."""
        self._read.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Called by httptools at the end of a head."""
        llhttp = self._llhttp
        assert llhttp is not None
        major, _, minor = llhttp.get_http_version().partition(".")
        self.method = llhttp.get_method().decode("ascii")
        self.target = self._url.decode("latin-1")
        self.version = (int(major), int(minor))
        self.fields = Fields(self._read)
        self.keep_alive = llhttp.should_keep_alive()
        if self.keep_alive and self.version == (1, 0):
            # RFC 9112 §9.3: `close` counts before `keep-alive`; of HTTP/1.0 llhttp asks only for the latter.
            self.keep_alive = b"close" not in nominated(self.fields.values(b"connection"))
        self.is_complete = True


def _defect(error: HttpParserError) -> GatewayError:
    """What the parser's complaint means to the client. Only its own words are looked at: they quote nothing."""
    if "Transfer-Encoding" in str(error) and "Content-Length" not in str(error):
        return GatewayError(errors.NOT_IMPLEMENTED, "a transfer coding other than exactly `chunked`")
    if str(error) == "Invalid HTTP version":
        return GatewayError(errors.VERSION_UNSUPPORTED, "not HTTP/1.0 or HTTP/1.1")
    return GatewayError(errors.FRAMING_INVALID, "the head can't be read")
