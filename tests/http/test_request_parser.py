"""Heads of requests: read in one way or not at all, wherever the bytes are split, and the same for a known section."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway import errors
from gateway.errors import GatewayError
from gateway.http.framing import HeadLimits, check_head
from gateway.http.message import Request
from gateway.http.request_parser import KnownFields, RequestParser
from tests.fuzz import grammar, reference

LIMITS = HeadLimits(target=200, head=1000, fields=20)
WIDE = HeadLimits(target=10_000, head=100_000, fields=1000)

USUAL = {method.decode() for method in grammar.METHODS}

Result = tuple[object, ...]


def read(parts: Sequence[bytes], known: KnownFields | None = None, limits: HeadLimits = LIMITS) -> list[Result]:
    """What becomes of each head in a stream of heads without bodies; the last may be a refusal, or how far it is."""
    parser = RequestParser(limits, known if known is not None else KnownFields())
    results: list[Result] = []
    taken = begun_at = 0
    try:
        for part in parts:
            rest = part
            while rest:
                size = parser.feed(rest)
                rest = rest[size:]
                taken += size
                if not parser.is_complete:
                    break
                check_head(Request(parser.method, parser.target, parser.fields, version=parser.version), limits)
                results.append(head_of(parser, taken - begun_at))
                if known is not None:
                    known.keep(parser.fields)
                begun_at = taken
                if not parser.keep_alive:
                    return results
                parser.begin()
    except GatewayError as error:
        return [*results, (error.reason.name, error.reason.status)]
    return [*results, (taken - begun_at,)] if taken > begun_at else results


def head_of(parser: RequestParser, size: int) -> Result:
    return (size, parser.method, parser.target, parser.version, parser.fields.raw, parser.keep_alive)


def refusal(*parts: bytes, limits: HeadLimits = LIMITS) -> tuple[object, ...]:
    return read(parts, limits=limits)[-1]


HEAD = b"GET /orders?x=%7e HTTP/1.1\r\nHost: a\r\nX-Own:  caf\xe9 \t\r\nx-empty:\r\n\r\n"
FIELDS = ((b"Host", b"a"), (b"X-Own", b"caf\xe9"), (b"x-empty", b""))


def test_a_head_is_read_as_it_was_sent_at_every_split() -> None:
    expected = [(len(HEAD), "GET", "/orders?x=%7e", (1, 1), FIELDS, True)]
    assert read([HEAD]) == expected
    for at in range(1, len(HEAD)):
        assert read([HEAD[:at], HEAD[at:]]) == expected
    assert read([HEAD[at : at + 1] for at in range(len(HEAD))]) == expected


def test_nothing_behind_a_head_is_taken() -> None:
    parser = RequestParser(LIMITS, KnownFields())
    assert parser.feed(HEAD + HEAD) == len(HEAD)
    parser.begin()
    assert parser.feed(HEAD[:20]) == 20
    assert not parser.is_complete
    assert parser.feed(HEAD[20:] + b"body") == len(HEAD) - 20


@pytest.mark.parametrize("lines", [b"", b"\r\n", b"\r\n\r\n"])
def test_up_to_two_empty_lines_before_a_request_do_not_count(lines: bytes) -> None:
    assert read([lines + HEAD])[0][1:] == ("GET", "/orders?x=%7e", (1, 1), FIELDS, True)
    assert refusal(b"\r\n" * 3 + HEAD) == ("request_invalid", 400)
    assert refusal(b"\n" + HEAD) == ("request_invalid", 400)


def test_a_request_is_under_way_with_its_first_letter() -> None:
    parser = RequestParser(LIMITS, KnownFields())
    assert not parser.is_under_way
    parser.feed(b"\r\n")
    assert not parser.is_under_way
    parser.feed(b"G")
    assert parser.is_under_way


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET  / HTTP/1.1", 400),
        (b"GET /  HTTP/1.1", 400),
        (b"GET\t/ HTTP/1.1", 400),
        (b"GET /\tHTTP/1.1", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b" GET / HTTP/1.1", 400),
        (b"get / HTTP/1.1", 400),
        (b"Get / HTTP/1.1", 400),
        (b"FOO / HTTP/1.1", 400),
        (b"GET / http/1.1", 400),
        (b"GET / RTSP/1.0", 400),
        (b"SOURCE / ICE/1.0", 400),
        (b"GET / HTTP/1.1\x00", 400),
        (b"GET /\x00 HTTP/1.1", 400),
        (b"GET /\xc3\xa9 HTTP/1.1", 400),
        (b"GET  HTTP/1.1", 400),
        (b"GET / HTTP/1.10", 400),
        (b"PRI * HTTP/2.0", 400),
        (b"GET /", 505),
        (b"GET / HTTP/0.9", 505),
        (b"GET / HTTP/2.0", 505),
        (b"GET / HTTP/1.2", 505),
        (b"TRACE / HTTP/1.1", 501),
        (b"CONNECT a:80 HTTP/1.1", 501),
    ],
)
def test_a_request_line_that_is_not_to_the_letter_is_refused(line: bytes, status: int) -> None:
    data = line + b"\r\nHost: a\r\n\r\n"
    assert refusal(data)[1] == status
    assert refusal(*(data[at : at + 1] for at in range(len(data))))[1] == status


@pytest.mark.parametrize(
    "line",
    [
        b"X : y",
        b"X\t: y",
        b" X: y",
        b"\tX: y",
        b": y",
        b"X",
        b"X(: y",
        b"X\xe9: y",
        b"X: a\x00",
        b"X: a\x01",
        b"X: a\x7f",
        b"X: a\rb",
        b"X: a\nb: c",
        b"X: a\r\n b",
        b"X: a\n",
    ],
)
def test_a_field_line_that_is_not_to_the_letter_is_refused(line: bytes) -> None:
    for data in (
        b"GET / HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + line + b"\r\nHost: a\r\n\r\n",
    ):
        assert refusal(data) == ("request_invalid", 400), data


@pytest.mark.parametrize(
    ("field", "keeps"),
    [
        (b"", True),
        (b"Connection: keep-alive\r\n", True),
        (b"Connection: close\r\n", False),
        (b"Connection: Keep-Alive, Close\r\n", False),
        (b"Connection: x\r\nconnection: close\r\n", False),
        (b"Connection: closed\r\n", True),
    ],
)
def test_the_client_says_whether_the_connection_goes_on(field: bytes, keeps: bool) -> None:
    assert read([b"GET / HTTP/1.1\r\nHost: a\r\n" + field + b"\r\n"])[0][-1] is keeps
    ten = b"GET / HTTP/1.0\r\nHost: a\r\n" + field + b"\r\n"
    assert read([ten])[0][-1] is (b"keep-alive" in field.lower() and b"lose" not in field)


# --- sizes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [LIMITS.target - 1, LIMITS.target, LIMITS.target + 1, 250, 400, 5000])
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_target_up_to_the_limit_is_read_and_above_it_414(size: int, step: int) -> None:
    data = b"GET /" + b"a" * (size - 1) + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    results = read([data[at : at + step] for at in range(0, len(data), step)])
    if size <= LIMITS.target:
        assert len(results) == 1
        assert results[0][0] == len(data)
    else:
        assert results[-1] == ("target_too_long", 414)


@pytest.mark.parametrize("step", [1, 7, 10_000])
@pytest.mark.parametrize("over", [-1, 0, 1, 300, 5000])
def test_a_head_up_to_the_limit_is_read_and_above_it_431(over: int, step: int) -> None:
    # The target and the field lines count; see `message.Fields.size`.
    fixed = len(b"/") + len(b"Host: a\r\n") + len(b"X: \r\n")
    data = b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * (LIMITS.head - fixed + over) + b"\r\n\r\n"
    results = read([data[at : at + step] for at in range(0, len(data), step)])
    if over <= 0:
        assert [result[0] for result in results] == [len(data)]
    else:
        assert results[-1] == ("head_too_large", 431)


@pytest.mark.parametrize("count", [LIMITS.fields - 1, LIMITS.fields, LIMITS.fields + 1, 60])
def test_so_many_fields_are_read_and_one_more_is_431(count: int) -> None:
    results = read([b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * (count - 1) + b"\r\n"])
    assert results[-1] == ("head_too_large", 431) if count > LIMITS.fields else len(results) == 1


def test_a_head_that_never_ends_is_given_up_within_its_limits() -> None:
    for endless, reason in ((b"a", "target_too_long"), (b"x: y\r\n", "head_too_large"), (b"\r\n", "head_too_large")):
        parser = RequestParser(LIMITS, KnownFields())
        parser.feed({b"a": b"GET /", b"x: y\r\n": b"GET / HTTP/1.1\r\n", b"\r\n": b"\r\n"}[endless])
        allowed = (LIMITS.head + LIMITS.target + 64) // len(endless) + 1
        refused = ""
        for _ in range(allowed):
            try:
                parser.feed(endless)
            except GatewayError as error:
                refused = error.reason.name
                break
        assert refused == reason


# --- sections that are known -------------------------------------------------------------------------------------


def section(*lines: bytes) -> bytes:
    return b"".join(b"\r\n" + line for line in (b"Host: a", *lines))


def test_a_known_section_gives_the_same_fields_object_for_another_request_line() -> None:
    known = KnownFields()
    first, second = (RequestParser(WIDE, known) for _ in range(2))
    first.feed(b"GET /1 HTTP/1.1" + section() + b"\r\n\r\n")
    known.keep(first.fields)
    second.feed(b"POST /2?x HTTP/1.1" + section() + b"\r\n\r\n")
    assert second.fields is first.fields
    assert (second.method, second.target, second.keep_alive) == ("POST", "/2?x", True)


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: 0",
        b"Content-Length: 3",
        b"Transfer-Encoding: chunked",
        b"Expect: 100-continue",
        b"Upgrade: h2c",
        b"Connection: close",
        b"X: " + b"a" * 5000,
    ],
)
def test_a_section_that_says_something_about_the_message_or_is_large_is_read_anew(line: bytes) -> None:
    parser = RequestParser(WIDE, KnownFields())
    parser.feed(b"GET / HTTP/1.1" + section(line) + b"\r\n\r\n")
    assert parser.fields.section is None


def test_sections_are_forgotten_when_they_are_too_many_the_least_used_first() -> None:
    known = KnownFields(100_000)
    kept = [section(b"N: %d" % number) for number in range(200)]
    for one in kept:
        parser = RequestParser(WIDE, known)
        parser.feed(b"GET / HTTP/1.1" + one + b"\r\n\r\n")
        known.keep(parser.fields)
        assert known.get(kept[0]) is not None
    assert known.get(kept[-1]) is not None
    assert known.get(kept[1]) is None
    assert 30 < sum(known.get(one) is not None for one in kept) < 60


def test_nothing_is_known_any_more_and_other_limits_hold_after_a_renewal() -> None:
    known, head = KnownFields(100_000), b"GET / HTTP/1.1" + section() + b"\r\n\r\n"
    parser = RequestParser(WIDE, known)
    for _ in range(2):
        parser.feed(head)
        known.keep(parser.fields)
        first = parser.fields
        parser.begin()
    known.forget()
    assert known.get(section()) is None
    parser.renew(HeadLimits(target=10, head=2000, fields=20))
    parser.feed(head)
    assert parser.fields is not first
    assert parser.fields.raw == first.raw
    # What was forgotten has its room back.
    for number in range(200):
        other = RequestParser(WIDE, known)
        other.feed(b"GET / HTTP/1.1" + section(b"N: %d" % number) + b"\r\n\r\n")
        known.keep(other.fields)
    assert 30 < sum(known.get(section(b"N: %d" % number)) is not None for number in range(200)) < 60
    parser.begin()
    with pytest.raises(GatewayError, match="target_too_long"):
        parser.feed(b"GET /" + b"a" * 3000)


@given(grammar.streams(), st.data())
@settings(max_examples=150, deadline=None, derandomize=True)
@example(b"GET /" + b"a" * 300 + b"\x01 HTTP/1.1\r\n\r\n", None)
def test_splits_and_known_sections_change_nothing(stream: bytes, data: st.DataObject | None) -> None:
    places = data.draw(grammar.splits(len(stream))) if data is not None else [7]
    expected = read([stream])
    assert read(grammar.parts(stream, places)) == expected
    assert read([stream[at : at + 1] for at in range(len(stream))]) == expected
    warm = KnownFields()
    for _ in range(2):
        assert read([stream], warm) == expected
    # The same sections with other lines: what is known of them must not make up for what the line lacks.
    for line in (b"GET / HTTP/1.0", b"GET  / HTTP/1.1", b"TRACE / HTTP/1.1", b"GET /%ff# HTTP/1.1", b"GET * HTTP/1.1"):
        start, end = stream.find(b"\r\n"), stream.find(b"\r\n\r\n")
        again = line + stream[start : end + 4]
        assert read([again], warm) == read([again])


@given(grammar.streams())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_what_is_read_is_what_a_plain_reader_reads(stream: bytes) -> None:
    rest = stream
    for result in read([stream], limits=WIDE):
        try:
            head = reference.read_head(rest)
        except reference.NoHead:
            head = None
        if len(result) == 6:
            assert head is not None, (result, rest)
            assert result[:5] == (head.size, head.method, head.target, head.version, head.fields)
            rest = rest[head.size :]
        elif len(result) == 2:
            assert result[1] in (400, 501, 505, 417, 414, 431)
            if result[1] == 400 and head is not None and head.method in USUAL and head.target.startswith("/"):
                # Refused although it can be read: then two readers could differ about its framing or its host.
                names = [name.lower() for name, _ in head.fields]
                assert {b"content-length", b"transfer-encoding"} & set(names) or names.count(b"host") != 1, rest


def test_refusals_tell_what_is_wrong_and_quote_nothing() -> None:
    for data in (b"GET /CANARY\x01 HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nCANARY : x\r\n\r\n", b"CANARY\r\n\r\n"):
        parser = RequestParser(LIMITS, KnownFields())
        with pytest.raises(GatewayError) as refused:
            parser.feed(data)
        assert refused.value.reason is errors.FRAMING_INVALID
        assert "CANARY" not in repr(refused.value)
        assert refused.value.__cause__ is None
        assert refused.value.__context__ is None
