"""Frames in one direction: what passes unchanged, what is held until it is whole, and what never passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.websocket_frames import NO_STATUS, FrameReader, close_frame
from tests.http.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MASK,
    PING,
    PONG,
    TEXT,
    close,
    frame,
    frames_in,
)

GOOD: dict[str, list[bytes]] = {
    "an empty text": [frame(TEXT)],
    "125, 126 and 127 bytes": [frame(BINARY, b"a" * 125), frame(BINARY, b"b" * 126), frame(TEXT, b"c" * 127)],
    "65535 and 65536 bytes": [frame(BINARY, b"a" * 65535), frame(BINARY, b"b" * 65536)],
    "a message in fragments, with control frames in between": [
        frame(TEXT, b"one", fin=False),
        frame(PING, b"are you there"),
        frame(CONTINUATION, b"", fin=False),
        frame(PONG),
        frame(CONTINUATION, b"three"),
        frame(TEXT, b"next"),
    ],
    "the largest control frames": [frame(PING, b"p" * 125), frame(PONG, b"q" * 125)],
    "a close frame without a code": [frame(TEXT, b"bye"), close()],
    "a close frame with the longest reason": [close(4000, b"r" * 123)],
    "a close frame inside a message": [frame(TEXT, b"one", fin=False), close(1001)],
    "a reason that is not ASCII": [close(1000, "grüße".encode())],
}
COMPRESSED = [
    frame(TEXT, b"packed", rsv=4),
    frame(BINARY, b"in", rsv=4, fin=False),
    frame(CONTINUATION, b"fragments"),
    frame(TEXT, b"plain"),
]
BAD: dict[str, tuple[bytes, int]] = {
    "RSV1 without an extension": (frame(TEXT, b"a", rsv=4), 1002),
    "RSV2": (frame(TEXT, b"a", rsv=2), 1002),
    "RSV3": (frame(BINARY, rsv=1), 1002),
    "RSV1 on a control frame": (frame(PING, rsv=4), 1002),
    "RSV1 on a close frame": (frame(CLOSE, b"\x03\xe8", rsv=4), 1002),
    **{f"opcode {opcode}": (frame(opcode, b"a"), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "a ping of 126 bytes": (frame(PING, b"a" * 126), 1002),
    "a pong of 70000 bytes": (frame(PONG, b"a" * 70000), 1002),
    "a close frame of 126 bytes": (close(1000, b"a" * 124), 1002),
    "a fragmented ping": (frame(PING, fin=False), 1002),
    "a fragmented close": (frame(CLOSE, fin=False), 1002),
    "a continuation of nothing": (frame(CONTINUATION, b"a"), 1002),
    "5 bytes with a length in two": (frame(TEXT, b"hello", length_bytes=2), 1002),
    "125 bytes with a length in eight": (frame(TEXT, b"a" * 125, length_bytes=8), 1002),
    "65535 bytes with a length in eight": (frame(TEXT, b"a" * 65535, length_bytes=8), 1002),
    "a length of 64 bits": (b"\x82\x7f\x80" + b"\0" * 7 + b"a", 1002),
    "a close frame of one byte": (frame(CLOSE, b"\x03"), 1002),
    **{
        f"close code {code}": (close(code), 1002)
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
    "a close reason that is not UTF-8": (close(1000, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80"), 1007),
}


def reader(*, masked: bool = False, compressed: bool = False) -> FrameReader:
    return FrameReader(masked=masked, compressed=compressed)


def as_client(unmasked: bytes) -> bytes:
    """The same frames, masked as a client has to."""
    return b"".join(
        frame(each.opcode, each.payload, fin=each.fin, rsv=each.rsv, mask=MASK) for each in frames_in(unmasked)
    )


def fed(to: FrameReader, data: bytes, size: int) -> bytes:
    """What passes of data that arrives in pieces of that size."""
    return b"".join(to.feed(data[start : start + size]) for start in range(0, len(data), size))


@pytest.mark.parametrize("frames", GOOD.values(), ids=GOOD)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000, 10**6])
@pytest.mark.parametrize("masked", [False, True], ids=["server", "client"])
def test_legal_frames_pass_unchanged_in_pieces_of_any_size(frames: list[bytes], size: int, masked: bool) -> None:
    data = b"".join(frames)
    data = as_client(data) if masked else data
    to = reader(masked=masked)
    assert fed(to, data, size) == data
    assert to.violation is None
    assert to.left == 0


def test_legal_frames_pass_wherever_they_are_cut_in_two() -> None:
    data = b"".join((frame(TEXT, b"a" * 130, fin=False), frame(PING, b"b"), frame(CONTINUATION, b"c"), close(3000)))
    for cut in range(len(data) + 1):
        to = reader()
        assert to.feed(data[:cut]) + to.feed(data[cut:]) == data
        assert to.close_code == 3000


@pytest.mark.parametrize("size", [1, 5, 10**6])
def test_the_first_reserved_bit_is_for_the_first_frame_of_a_compressed_message(size: int) -> None:
    data = b"".join(COMPRESSED)
    assert fed(reader(compressed=True), data, size) == data
    for bad in (
        frame(TEXT, fin=False) + frame(CONTINUATION, rsv=4),
        frame(PING, rsv=4),
        frame(TEXT, rsv=6),
        frame(CLOSE, rsv=4),
    ):
        to = reader(compressed=True)
        fed(to, bad, size)
        assert to.violation is not None


@pytest.mark.parametrize(("bad", "code"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("size", [1, 3, 10**6])
def test_nothing_passes_of_a_frame_that_is_not_legal_and_nothing_behind_it(bad: bytes, code: int, size: int) -> None:
    good = frame(TEXT, b"fine") + frame(BINARY, b"x" * 300)
    to = reader()
    assert fed(to, good + bad + frame(TEXT, b"too late"), size) == good
    assert to.violation is not None
    assert to.violation.code == code
    assert (to.has_ended, to.close_code, to.left) == (True, None, 0)
    assert to.feed(frame(TEXT, b"still too late")) == b""


@pytest.mark.parametrize("opcode", [TEXT, CONTINUATION, PING, CLOSE])
@pytest.mark.parametrize("masked", [False, True])
def test_a_client_must_mask_and_a_server_must_not(opcode: int, masked: bool) -> None:
    to = reader(masked=masked)
    assert to.feed(frame(opcode, b"", mask=None if masked else MASK)) == b""
    assert to.violation is not None
    assert to.violation.code == 1002


def test_a_new_message_inside_a_fragmented_one_does_not_pass() -> None:
    to, first = reader(), frame(TEXT, b"a", fin=False)
    assert to.feed(first + frame(PING) + frame(BINARY, b"b")) == first + frame(PING)
    assert to.violation is not None


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999])
@pytest.mark.parametrize("masked", [False, True])
def test_a_legal_close_code_is_known_and_nothing_follows_it(code: int, masked: bool) -> None:
    said = close(code, b"reason", mask=MASK if masked else None)
    to = reader(masked=masked)
    assert to.feed(said + frame(TEXT, b"too late", mask=MASK if masked else None)) == said
    assert to.close_code == code
    assert to.feed(b"anything") == b""
    assert to.violation is None


def test_a_close_frame_without_a_code_has_none() -> None:
    to = reader()
    to.feed(close())
    assert to.close_code == NO_STATUS


def test_a_close_frame_passes_whole_or_not_at_all() -> None:
    said, to = close(1000, b"reason"), reader()
    assert to.feed(said[:-1]) == b""
    assert to.feed(said[-1:]) == said


def test_it_knows_where_a_frame_of_our_own_may_stand() -> None:
    to = reader()
    to.feed(frame(BINARY, b"a" * 1000)[:500])
    assert to.left == 504
    to.feed(b"a" * 504 + b"\x82")
    assert to.left == 0


def test_a_frame_of_63_bits_is_followed_without_being_kept() -> None:
    to = reader()
    head = b"\x82\x7f\x7f" + b"\xff" * 7
    assert to.feed(head) == head
    piece = b"x" * 2**20
    assert to.feed(piece) is piece
    assert to.left == 2**63 - 1 - 2**20


@pytest.mark.parametrize("mask", [None, b"\0\0\0\0", b"\xde\xad\xbe\xef"])
def test_a_close_frame_of_our_own_is_legal(mask: bytes | None) -> None:
    said = close_frame(1008, "token_expired", mask=mask)
    to = reader(masked=mask is not None)
    assert to.feed(said) == said
    assert to.close_code == 1008
    assert frames_in(said)[0].payload == b"\x03\xf0token_expired"


# --- whatever comes ----------------------------------------------------------------------------------------------

MESSAGE = st.lists(st.binary(max_size=200), min_size=1, max_size=4)
CONTROL = st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125))
CUTS = st.lists(st.integers(1, 400), max_size=60)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """The masked frames of a well-behaved client."""
    parts = []
    for fragments in draw(st.lists(MESSAGE, max_size=4)):
        for number, payload in enumerate(fragments):
            opcode = draw(st.sampled_from([TEXT, BINARY])) if number == 0 else CONTINUATION
            parts.append(
                frame(opcode, payload, fin=number == len(fragments) - 1, mask=draw(st.binary(min_size=4, max_size=4)))
            )
            if draw(st.booleans()):
                parts.append(frame(*draw(CONTROL), mask=MASK))
    return b"".join(parts)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


@given(data=streams(), sizes=CUTS)
def test_what_a_well_behaved_client_sends_passes_however_it_arrives(data: bytes, sizes: list[int]) -> None:
    to = reader(masked=True)
    assert b"".join(map(to.feed, cut(data, sizes))) == data
    assert not to.has_ended


@given(good=streams(), junk=st.binary(max_size=600), sizes=CUTS, compressed=st.booleans())
def test_whatever_passes_begins_what_came_and_does_not_depend_on_how_it_arrived(
    good: bytes, junk: bytes, sizes: list[int], compressed: bool
) -> None:
    data = good + junk
    at_once, piecewise = reader(masked=True, compressed=compressed), reader(masked=True, compressed=compressed)
    passed = at_once.feed(data)
    assert data.startswith(passed)
    assert passed.startswith(good)
    assert b"".join(map(piecewise.feed, cut(data, sizes))) == passed
    assert (piecewise.left, piecewise.close_code) == (at_once.left, at_once.close_code)
    assert str(piecewise.violation) == str(at_once.violation)


@given(junk=st.binary(max_size=300))
def test_whole_frames_that_pass_are_legal_one_by_one(junk: bytes) -> None:
    to = reader()
    passed = to.feed(junk)
    if to.left:
        return
    for each in frames_in(passed):
        assert not each.is_masked
        assert each.rsv == 0
        assert each.opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG)
        assert each.opcode < CLOSE or (each.fin and len(each.payload) <= 125)
