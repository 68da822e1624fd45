"""WebSocket frames as a test writes and reads them: also those that nobody may send (RFC 6455 §5.2)."""

from __future__ import annotations

from dataclasses import dataclass

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MASK = b"\x11\x22\x33\x44"


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = None,
    length_bytes: int | None = None,
) -> bytes:
    """A frame; `length_bytes` is how many bytes follow the seven bits of length, by default as few as possible."""
    size = len(payload)
    if length_bytes is None:
        length_bytes = 0 if size < 126 else 2 if size < 2**16 else 8
    short = size if length_bytes == 0 else 126 if length_bytes == 2 else 127
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    extended = size.to_bytes(length_bytes, "big") if length_bytes else b""
    head = bytes((first, (0x80 if mask is not None else 0) | short)) + extended
    return head + payload if mask is None else head + mask + masked(payload, mask)


def masked(payload: bytes, mask: bytes = MASK) -> bytes:
    """The payload with a mask laid over it, or taken off."""
    repeated = mask * (len(payload) // 4 + 1)
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated[: len(payload)], "big")).to_bytes(
        len(payload), "big"
    )


def close(code: int | None = None, reason: bytes = b"", *, mask: bytes | None = None) -> bytes:
    """A close frame, without a payload when there is no code."""
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason, mask=mask)


@dataclass(frozen=True)
class Frame:
    """A frame that was read, its mask taken off."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0
    is_masked: bool = False

    @property
    def code(self) -> int | None:
        """The code of a close frame."""
        return int.from_bytes(self.payload[:2], "big") if len(self.payload) >= 2 else None


def frames_in(data: bytes) -> list[Frame]:
    """The frames of a byte stream; it has to end with one."""
    found, position = [], 0
    while position < len(data):
        first, second = data[position], data[position + 1]
        position += 2
        size = second & 0x7F
        if size > 125:
            width = 2 if size == 126 else 8
            size = int.from_bytes(data[position : position + width], "big")
            position += width
        mask = b""
        if second & 0x80:
            mask = data[position : position + 4]
            position += 4
        payload = data[position : position + size]
        assert len(payload) == size, "the stream ends inside a frame"
        position += size
        payload = masked(payload, mask) if mask else payload
        found.append(Frame(first & 0xF, payload, bool(first & 0x80), first >> 4 & 0x7, bool(mask)))
    return found
