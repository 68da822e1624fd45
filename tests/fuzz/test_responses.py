"""Whatever an upstream answers: the client gets a response or a refusal, and the next answer is to the next request."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.http.request_parser import KnownFields
from tests.fuzz.conversation import TOKEN, House
from tests.fuzz.grammar import damaged, mostly
from tests.fuzz.test_requests import bounded

LINES = [
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 404 Not Found",
    b"HTTP/1.1 204 No Content",
    b"HTTP/1.0 200 OK",
    b"HTTP/1.1 304 X",
]
ODD_LINES = [
    b"HTTP/1.1 103 Early Hints",
    b"HTTP/1.1 101 Switching Protocols",
    b"HTTP/1.1 999 What",
    b"HTTP/1.1 200",
    b"HTTP/2.0 200 OK",
    b"HTTP/1.1 2000 OK",
    b"HTTP/1.1  200 OK",
    b"ICY 200 OK",
    b"",
]
FIELDS = [
    b"X: y",
    b"Set-Cookie: a=b",
    b"Connection: keep-alive",
    b"Connection: close",
    b"Date: x",
    b"Keep-Alive: timeout=9",
]
ODD_FIELDS = [
    b"Content-Length : 2",
    b"Content-Length: 2\r\nContent-Length: 2",
    b"Transfer-Encoding: gzip, chunked",
    b"X: a\x00",
    b"X: a\rb",
    b" folded",
    b"Upgrade: websocket\r\nConnection: upgrade",
    b"nothing",
]
BODIES = [
    b"Content-Length: 2\r\n\r\nok",
    b"Content-Length: 0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\nSet-Cookie: evil\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"\r\nto the end",
]


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """One answer, more or less, and perhaps another one behind it."""
    parts = []
    for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
        lines = [draw(mostly(LINES, ODD_LINES)), *draw(st.lists(mostly(FIELDS, ODD_FIELDS), max_size=3))]
        parts.append(b"\r\n".join([*lines, draw(st.sampled_from(BODIES))]))
    return draw(damaged(b"".join(parts)))


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with House() as house:
        yield house


def ask(method: bytes, number: int) -> bytes:
    fields = b"Host: api.example.com\r\nAuthorization: Bearer " + TOKEN
    return b"%b /own/%d HTTP/1.1\r\n%b\r\n\r\n" % (method, number, fields)


@given(answers(), st.sampled_from([b"GET", b"HEAD"]))
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"GET")
@bounded
def test_an_answer_is_passed_on_or_a_bad_gateway_and_never_answers_what_comes_later(
    house: House, answer: bytes, method: bytes
) -> None:
    known = KnownFields()
    house.hold([ask(b"GET", 0)], known)
    # The second one finds all that is needed for the short way, unless the first one's answer has cost a connection.
    outcome = house.hold([ask(method, 1) + ask(b"GET", 2)], known, answer)
    assert len(outcome.statuses) <= 2
    assert all(status == 502 or 200 <= status < 500 for status in outcome.statuses)
    assert 101 not in outcome.statuses
    asked = [head.split(b" ", 2)[1] for head, _ in outcome.upstream]
    # Each goes out once; a GET may go out once more, on a new connection, before any byte of an answer.
    assert asked.count(b"/own/1") <= 2
    assert asked.count(b"/own/2") <= 2
    if b"\r\n0\r\nSet-Cookie: evil" in answer:  # where it is a trailer, and not made a field by the damage
        assert not any(b"Set-Cookie: evil" in head for head in outcome.heads)
    if len(outcome.statuses) == 2 and method == b"GET":
        # The same bytes answered both, so the same was made of them: nothing of the first was left for the second.
        first, second = outcome.statuses
        assert second == first
