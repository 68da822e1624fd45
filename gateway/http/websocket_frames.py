"""Follows the WebSocket frames in one direction of a connection, and makes the close frames that a gateway sends of its
own (RFC 6455 §5, RFC 7692 §6). It does no input or output, and keeps no payload.

A relay does not read messages: it has to know where frames begin and end, and that what it passes on is legal. So the
bytes go through as they are, but for a header that is not whole yet, and for a close frame, which passes whole.
"""

from __future__ import annotations

import enum
from typing import Final

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
NO_STATUS: Final = 1005
"""Said of a close frame without a code; never on the wire (RFC 6455 §7.4.1)."""
INVALID_PAYLOAD: Final = 1007
POLICY_VIOLATION: Final = 1008
INTERNAL_ERROR: Final = 1011
TRY_AGAIN_LATER: Final = 1013

# RFC 6455 §7.4 and its registry: what is registered, for frameworks (3xxx) and for private use (4xxx).
_REGISTERED: Final = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})
_FREE: Final = range(3000, 5000)

_LARGEST_CONTROL: Final = 125
_CLOSE: Final = 0x8
_MASKED: Final = 0x80
_FIN: Final = 0x80
_RSV1: Final = 0x40


class _Kind(enum.IntEnum):
    ILLEGAL = 0
    CONTINUES = 1
    BEGINS = 2
    CONTROL = 3
    CLOSE = 4


def _kinds(*, compressed: bool) -> tuple[int, ...]:
    """What the first byte of a frame says, for each of its values (RFC 6455 §5.2)."""
    kinds = [_Kind.ILLEGAL] * 256
    for fin in (0, _FIN):
        kinds[fin | 0x0] = _Kind.CONTINUES
        for opcode in (0x1, 0x2):
            kinds[fin | opcode] = _Kind.BEGINS
            if compressed:
                # RFC 7692 §6.1: on the first frame of a message alone, and never on a control frame.
                kinds[fin | _RSV1 | opcode] = _Kind.BEGINS
    # RFC 6455 §5.5: control frames are never fragmented.
    kinds[_FIN | _CLOSE] = _Kind.CLOSE
    kinds[_FIN | 0x9] = kinds[_FIN | 0xA] = _Kind.CONTROL
    return tuple(map(int, kinds))


_PLAIN_KINDS: Final = _kinds(compressed=False)
_COMPRESSED_KINDS: Final = _kinds(compressed=True)
_ILLEGAL, _CONTINUES, _BEGINS, _CONTROL, _CLOSES = map(int, _Kind)


class FrameViolation(Exception):
    """Frames that RFC 6455 does not allow. `code` is what to close with: 1002, or 1007 for a reason that is no text."""

    def __init__(self, message: str, code: int = PROTOCOL_ERROR) -> None:
        super().__init__(message)
        self.code = code


class FrameReader:
    """The frames of one sender: `feed` takes what arrives and gives back what may be passed on.

    `masked` says whether this sender has to mask (a client must, a server must not: RFC 6455 §5.1), `compressed`
    whether permessage-deflate was negotiated. After a violation or a close frame nothing passes any more.
    """

    __slots__ = ("_held", "_is_fragmented", "_kinds", "_mask", "close_code", "left", "violation")

    def __init__(self, *, masked: bool, compressed: bool) -> None:
        self._mask = _MASKED if masked else 0
        self._kinds = _COMPRESSED_KINDS if compressed else _PLAIN_KINDS
        self._is_fragmented = False
        self._held = b""
        self.left = 0
        """Bytes that are missing to the end of the last frame that was passed on; at 0 another one may stand there."""
        self.close_code: int | None = None
        """The code of the close frame that ended this direction, `NO_STATUS` when it had none."""
        self.violation: FrameViolation | None = None
        """Why this direction ended before a close frame."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will pass."""
        return self.close_code is not None or self.violation is not None

    def feed(self, data: bytes) -> bytes:
        """The bytes that may be passed on now; nothing of a frame that is not legal."""
        if self.has_ended:
            return b""
        if self._held:
            data, self._held = self._held + data, b""
        position, size = 0, len(data)
        try:
            while True:
                if self.left:
                    step = min(self.left, size - position)
                    self.left -= step
                    position += step
                if position == size:
                    return data
                begun = position
                position = self._begin_frame(data, begun)
                if position < 0:
                    self._held = data[begun:]
                    return data[:begun]
                if self.close_code is not None:
                    return data[:position]
        except FrameViolation as violation:
            self.violation = violation
            return data[:begun]

    def _begin_frame(self, data: bytes, start: int) -> int:
        """Read the header that begins at `start`: where its payload begins, or -1 when it is not whole yet.

        A close frame is read up to its end. Raises `FrameViolation`.
        """
        if len(data) - start < 2:
            return -1
        first, second = data[start], data[start + 1]
        kind = self._kinds[first]
        length = second & 0x7F
        self._check(kind, second, length)
        payload = start + 2 + (4 if self._mask else 0)
        if length > _LARGEST_CONTROL:
            payload += 2 if length == 126 else 8
        if len(data) < payload:
            return -1
        if length > _LARGEST_CONTROL:
            length = _extended(data, start + 2, 2 if length == 126 else 8)
        if kind == _CLOSES:
            return self._close(data, payload, length)
        if kind != _CONTROL:
            self._is_fragmented = not first & _FIN
        self.left = length
        return payload

    def _check(self, kind: int, second: int, length: int) -> None:
        """What can be said of the first two bytes alone."""
        if kind == _ILLEGAL:
            raise FrameViolation("reserved bits or opcode, or a fragmented control frame")
        if second & _MASKED != self._mask:
            raise FrameViolation("not masked" if self._mask else "masked")
        if kind >= _CONTROL:
            if length > _LARGEST_CONTROL:
                raise FrameViolation("a control frame of more than 125 bytes")
        elif (kind == _CONTINUES) != self._is_fragmented:
            raise FrameViolation("a continuation of nothing, or a new message inside another one")

    def _close(self, data: bytes, payload: int, length: int) -> int:
        end = payload + length
        if len(data) < end:
            return -1
        body = data[payload:end]
        self.close_code = _close_code(_mask(body, data[payload - 4 : payload]) if self._mask else body)
        return end

    def __repr__(self) -> str:
        return f"<FrameReader {'ended' if self.has_ended else f'{self.left} bytes left of a frame'}>"


def _extended(data: bytes, start: int, size: int) -> int:
    """A payload length of two or eight bytes (RFC 6455 §5.2): minimal, and of 63 bits."""
    length = int.from_bytes(data[start : start + size], "big")
    if length < (126 if size == 2 else 2**16):
        raise FrameViolation("a length in more bytes than it needs")
    if length >= 2**63:
        raise FrameViolation("a length of 64 bits")
    return length


def _close_code(body: bytes) -> int:
    """The code in a close frame's payload (RFC 6455 §5.5.1, §7.4)."""
    if not body:
        return NO_STATUS
    code = int.from_bytes(body[:2], "big")
    if len(body) < 2 or (code not in _REGISTERED and code not in _FREE):
        raise FrameViolation("a close code that must not be sent")
    try:
        body[2:].decode("utf-8")
    except UnicodeDecodeError:
        raise FrameViolation("the reason of a close frame is not UTF-8", INVALID_PAYLOAD) from None
    return code


def close_frame(code: int, reason: str = "", *, mask: bytes | None = None) -> bytes:
    """A close frame (RFC 6455 §5.5.1). `mask` are the four random bytes that a client needs."""
    body = code.to_bytes(2, "big") + reason.encode("utf-8")
    if mask is None:
        return bytes((_FIN | _CLOSE, len(body))) + body
    return bytes((_FIN | _CLOSE, _MASKED | len(body))) + mask + _mask(body, mask)


def _mask(body: bytes, mask: bytes) -> bytes:
    """Mask, or unmask: it is the same (RFC 6455 §5.3)."""
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(body))
