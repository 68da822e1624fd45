"""Which bytes are a response, which are none, and that it never matters how they are cut into pieces."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from gateway.http.message import Field
from gateway.http.response_parser import FIELD_COUNT, HEAD_SIZE, INTERIM_COUNT, ResponseInvalid, ResponseParser

OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def parse(raw: bytes, *cuts: int, method: str = "GET") -> ResponseParser:
    """Feed everything, cut at these places, the way a connection does: nothing once the response is complete."""
    parser = ResponseParser()
    parser.expect(method, None)
    edges = [0, *cuts, len(raw)]
    for start, end in itertools.pairwise(edges):
        if not parser.complete and start < end:
            parser.feed(memoryview(raw)[start:end])
    return parser


@pytest.mark.parametrize(
    ("raw", "method", "length", "body"),
    [
        (EMPTY, "GET", 0, b""),
        (OK + b"content-LENGTH:  5 \r\n\r\nhello", "GET", 5, b"hello"),
        (CHUNKED + b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "GET", None, b"hello"),
        (OK + b"Transfer-Encoding: CHUNKED \r\n\r\n0\r\n\r\n", "GET", None, b""),
        (CHUNKED + b'5;a=b;c="d"\r\nhello\r\n0;x\r\nX-Auth-Subject: root\r\n\r\n', "GET", None, b"hello"),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", "GET", 5, b"hello"),
        (OK + b"Content-Length: 5\r\n\r\n", "HEAD", 5, b""),
        (CHUNKED, "HEAD", None, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET", 5, b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "DELETE", None, b""),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "GET", 5, b""),
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "GET", 0, b""),
        (OK + b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nhi", "GET", 2, b"hi"),
    ],
)
def test_a_response_is_the_same_wherever_it_is_split(raw: bytes, method: str, length: int | None, body: bytes) -> None:
    whole = parse(raw, method=method)
    for cut in range(1, len(raw)):
        parser = parse(raw, cut, method=method)
        assert (parser.status, parser.reason, parser.fields) == (whole.status, whole.reason, whole.fields)
        assert (parser.length, b"".join(parser.pieces), parser.complete) == (length, body, True)
        assert parser.persistent
    assert b"".join(parse(raw, *range(len(raw)), method=method).pieces) == body


def test_fields_keep_their_order_their_spelling_and_bytes_above_ascii() -> None:
    raw = OK + b"set-cookie: a=1\r\nX-Name: caf\xe9\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\nX-Empty:\r\n\r\n"
    names: list[Field] = [
        (b"set-cookie", b"a=1"),
        (b"X-Name", b"caf\xe9"),
        (b"Set-Cookie", b"b=2"),
        (b"Content-Length", b"0"),
        (b"X-Empty", b""),
    ]
    assert parse(raw).fields == names


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/0.9 200 OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"RTSP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"<html>no HTTP at all</html>",
        b"\r\n" + EMPTY,
        b" " + EMPTY,
        b"HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 99 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 2OO OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1\t200 OK\r\n\r\n",
        b"HTTP/1.1 200 O\x01K\r\n\r\n",
        b"HTTP/1.1 200 O\x00K\r\n\r\n",
        b"HTTP/1.1 200 O\x7fK\r\n\r\n",
        b"HTTP/1.1 200 O\rK\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
)
def test_a_bad_status_line_is_refused(raw: bytes) -> None:
    with pytest.raises(ResponseInvalid):
        parse(raw)


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 2\r\nContent-Length: 2",
        b"Content-Length: 2\r\nContent-Length: 3",
        b"Content-Length: 2, 2",
        b"Content-Length: +2",
        b"Content-Length: -2",
        b"Content-Length: 0x2",
        b"Content-Length: 2_0",
        b"Content-Length: 2 0",
        b"Content-Length: \xb2",
        b"Content-Length:",
        b"Content-Length: 99999999999999999999",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 2",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding: ,chunked",
        b"Transfer-Encoding: chunked,",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: chunked;q=1",
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding:",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Content-Length : 2",
        b"Content-Length\t: 2",
        b"X: a\r\n folded",
        b"X: a\r\n\tfolded",
        b" X: a",
        b"X: a\nY: b",
        b"X: a\rY: b",
        b"X: a\x00b",
        b"X: a\x01b",
        b"X: a\x1bb",
        b"X: a\x7fb",
        b"X\x00Y: a",
        b"X(Y): a",
        b"\xe9: a",
        b": a",
        b"X",
    ],
)
def test_a_bad_field_is_refused(fields: bytes) -> None:
    raw = OK + fields + b"\r\n\r\n"
    with pytest.raises(ResponseInvalid):
        parse(raw)
    with pytest.raises(ResponseInvalid):
        parse(raw, *range(len(raw)))


def test_a_transfer_coding_in_http_1_0_is_refused() -> None:
    with pytest.raises(ResponseInvalid):
        parse(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    "body",
    [
        b"2\nok\r\n0\r\n\r\n",
        b"2\r\nok\n0\r\n\r\n",
        b"2\r\nokay\r\n",
        b"0x2\r\nok\r\n",
        b"2 \r\nok\r\n",
        b"+2\r\nok\r\n",
        b"-2\r\nok\r\n",
        b"\xb2\r\nok\r\n",
        b"2;a\nb\r\nok\r\n",
        b"\r\nok",
        b"fffffffffffffffff\r\n",
        b"2\r\nok\r\n0\r\nX: \x01\r\n\r\n",
        b"2\r\nok\r\n0\r\nX : y\r\n\r\n",
        b"2\r\nok\r\n0\r\nContent-Length: 3\r\n\r\n",
    ],
)
def test_a_bad_chunk_is_refused_wherever_it_is_split(body: bytes) -> None:
    raw = CHUNKED + body
    for cut in range(1, len(raw)):
        with pytest.raises(ResponseInvalid):
            parse(raw, cut)


def test_a_trailer_never_becomes_a_field() -> None:
    parser = parse(CHUNKED + b"0\r\nX-Auth-Subject: root\r\nSet-Cookie: a=b\r\n\r\n")
    assert parser.fields == [(b"Transfer-Encoding", b"chunked")]


@pytest.mark.parametrize(
    ("raw", "method"),
    [
        (EMPTY + b"x", "GET"),
        (EMPTY + EMPTY, "GET"),
        (OK + b"Content-Length: 2\r\n\r\nok" + EMPTY, "GET"),
        (CHUNKED + b"0\r\n\r\n" + EMPTY, "GET"),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", "GET"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok", "GET"),
        (OK + b"Content-Length: 2\r\n\r\nok", "HEAD"),
        (OK + b"Content-Length: 2\r\n\r\n\r\n", "HEAD"),
        (CHUNKED + b"0\r\n\r\n", "HEAD"),
        (CHUNKED + b"2", "HEAD"),
        (CHUNKED + b"\r\n", "HEAD"),
        (CHUNKED + EMPTY, "HEAD"),
        (EMPTY + b"x", "HEAD"),
        (OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n" + EMPTY, "GET"),
    ],
)
def test_bytes_behind_a_response_end_the_connection_and_nothing_else(raw: bytes, method: str) -> None:
    parser = parse(raw, method=method)
    assert parser.complete
    assert not parser.persistent
    assert (parser.status in (200, 204, 304), len(parser.fields) <= 2) == (True, True)
    assert b"HTTP/" not in b"".join(parser.pieces)


@pytest.mark.parametrize(
    ("raw", "persistent", "keep_alive"),
    [
        (EMPTY, True, None),
        (OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n", False, None),
        (OK + b"Connection: x, Close\r\nContent-Length: 0\r\n\r\n", False, None),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False, None),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n", True, None),
        (OK + b"Keep-Alive: timeout=5, max=100\r\nContent-Length: 0\r\n\r\n", True, 5),
        (OK + b"keep-alive: max=100,Timeout = 7\r\nContent-Length: 0\r\n\r\n", True, 7),
        (OK + b"Keep-Alive: notimeout=5\r\nContent-Length: 0\r\n\r\n", True, None),
    ],
)
def test_a_connection_persists_as_the_origin_says(raw: bytes, persistent: bool, keep_alive: int | None) -> None:
    parser = parse(raw)
    assert (parser.persistent, parser.keep_alive) == (persistent, keep_alive)


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    parser = parse(OK + b"\r\nhello")
    assert not parser.complete
    assert parser.end()
    assert (b"".join(parser.pieces), parser.persistent) == (b"hello", False)


@pytest.mark.parametrize("raw", [b"H", OK, OK + b"Content-Length: 5\r\n\r\nhell", CHUNKED + b"5\r\nhello\r\n0\r\n"])
def test_a_response_that_is_cut_short_does_not_end(raw: bytes) -> None:
    assert not parse(raw).end()


def test_interim_responses_are_handed_out_and_not_taken_for_the_final_one() -> None:
    seen: list[tuple[int, Sequence[Field]]] = []
    parser = ResponseParser()
    parser.expect("GET", lambda status, fields: seen.append((status, fields)))
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    parser.feed(memoryview(b"HTTP/1.1 100 Continue\r\n\r\n" + hints))
    assert (parser.head_complete, parser.begun) == (False, False)
    parser.feed(memoryview(hints + EMPTY))
    link = [(b"Link", b"</a.css>")]
    assert seen == [(100, []), (103, link), (103, link)]
    assert (parser.status, parser.reason, parser.fields) == (200, b"OK", [(b"Content-Length", b"0")])


def test_interim_responses_are_bounded_in_number() -> None:
    continues = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert parse(continues * INTERIM_COUNT + EMPTY).status == 200
    with pytest.raises(ResponseInvalid):
        parse(continues * (INTERIM_COUNT + 1) + EMPTY)


def head_of(size: int) -> bytes:
    start, end = OK + b"Content-Length: 0\r\nX: ", b"\r\n\r\n"
    return start + b"a" * (size - len(start) - len(end)) + end


@pytest.mark.parametrize("step", [1000, HEAD_SIZE - 1, 2 * HEAD_SIZE])
def test_the_size_of_a_head_is_bounded_to_the_byte(step: int) -> None:
    largest = head_of(HEAD_SIZE)
    assert parse(largest, *range(step, len(largest), step)).complete
    assert parse(largest + b"x" * 100, *range(step, len(largest), step)).complete
    too_large = head_of(HEAD_SIZE + 1)
    with pytest.raises(ResponseInvalid):
        parse(too_large, *range(step, len(too_large), step))


def test_the_number_of_fields_is_bounded() -> None:
    with pytest.raises(ResponseInvalid):
        parse(OK + b"a:\r\n" * (FIELD_COUNT + 1) + b"\r\n")


@pytest.mark.parametrize("start", [b"5;a=", b"0\r\nX: "])
def test_a_chunk_extension_or_a_trailer_without_end_is_refused(start: bytes) -> None:
    parser = parse(CHUNKED + start)
    for _ in range((HEAD_SIZE - 100) // 1000):
        parser.feed(memoryview(b"a" * 1000))
    with pytest.raises(ResponseInvalid):
        parser.feed(memoryview(b"a" * 1000))


def test_an_endless_stream_of_small_chunks_is_no_overhead() -> None:
    parser = parse(CHUNKED)
    for _ in range(HEAD_SIZE // 100):
        parser.feed(memoryview(b"1;" + b"e" * 100 + b"\r\na\r\n"))
        parser.pieces.clear()
    parser.feed(memoryview(b"0\r\n\r\n"))
    assert parser.complete


def test_a_response_after_one_to_head_is_read_from_its_first_byte() -> None:
    parser = ResponseParser()
    for method, body in [("HEAD", b""), ("GET", b"ok"), ("HEAD", b""), ("GET", b"ok")]:
        parser.expect(method, None)
        parser.feed(memoryview(OK + b"Content-Length: 2\r\n\r\n" + body))
        assert (parser.complete, parser.persistent, b"".join(parser.pieces)) == (True, True, body)


# A switch of protocols that was asked for


SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX: y\r\n\r\n"


def asking() -> ResponseParser:
    parser = ResponseParser()
    parser.may_switch = True
    parser.expect("GET", None)
    return parser


def test_what_follows_a_101_that_was_asked_for_is_left_as_it_is() -> None:
    hints, behind = b"HTTP/1.1 103 Early Hints\r\n\r\n", b"\x81\x05hello HTTP/1.1 200 OK\r\n\r\n"
    whole = hints + SWITCH + behind
    for cut in range(len(hints + SWITCH)):
        parser = asking()
        if cut:
            parser.feed(memoryview(whole[:cut]))
        parser.feed(memoryview(whole[cut:]))
        assert (parser.status, parser.complete, parser.persistent) == (101, True, True)
        assert b"".join(parser.pieces) == behind
        assert parser.fields[-1] == (b"X", b"y")


def test_what_follows_a_101_may_be_more_than_a_head() -> None:
    parser, behind = asking(), b"\x82" * HEAD_SIZE
    parser.feed(memoryview(SWITCH[:50]))
    parser.feed(memoryview(SWITCH[50:] + behind))
    assert b"".join(parser.pieces) == behind
    assert parser.persistent


@pytest.mark.parametrize(
    "raw",
    [
        SWITCH.replace(b"HTTP/1.1", b"HTTP/1.0"),
        SWITCH.replace(b"X: y", b"Content-Length: 0"),
        SWITCH.replace(b"X: y", b"Content-Length: 5"),
        SWITCH.replace(b"X: y", b"Transfer-Encoding: chunked"),
        SWITCH.replace(b"Upgrade: websocket\r\n", b"") + b"\x81\x05hello",
    ],
)
def test_a_101_that_can_be_read_in_two_ways_is_refused_also_where_one_was_asked_for(raw: bytes) -> None:
    with pytest.raises(ResponseInvalid):
        asking().feed(memoryview(raw))


def test_another_answer_than_101_is_an_ordinary_response() -> None:
    parser = asking()
    parser.feed(memoryview(b"HTTP/1.1 403 Forbidden\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nno"))
    assert (parser.status, b"".join(parser.pieces), parser.complete) == (403, b"no", True)
