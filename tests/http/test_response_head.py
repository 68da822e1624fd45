"""The heads of responses, byte for byte."""

from __future__ import annotations

import email.utils
import re
import time

import pytest

from gateway.http.message import Field, Response
from gateway.http.response_head import interim_head, response_head

DATE = (b"Date", b"Thu, 26 Nov 2026 01:00:00 GMT")


class Empty:
    """A body that is still arriving, of unknown length."""

    async def read(self) -> bytes:
        return b""

    def close(self) -> None:
        """Nothing behind it."""


def head(
    status: int, *fields: Field, http10: bool = False, close: bool = False, bodiless: bool = False, **of: object
) -> list[bytes]:
    response = Response(status, fields, **of)  # type: ignore[arg-type]
    lines = response_head(response, http10=http10, close=close, bodiless=bodiless).split(b"\r\n")
    assert lines[-2:] == [b"", b""]
    return lines[:-2]


def test_fields_go_out_in_order_and_as_they_are_spelled() -> None:
    repeated = [(b"set-cookie", b"a=1"), DATE, (b"SET-COOKIE", b"b=\xe9"), (b"X-Empty", b"")]
    assert head(200, *repeated, body=b"hello") == [
        b"HTTP/1.1 200 OK",
        b"set-cookie: a=1",
        b"Date: Thu, 26 Nov 2026 01:00:00 GMT",
        b"SET-COOKIE: b=\xe9",
        b"X-Empty: ",
        b"Content-Length: 5",
    ]


@pytest.mark.parametrize(
    ("status", "reason", "line"),
    [
        (200, None, b"HTTP/1.1 200 OK"),
        (404, b"Nope", b"HTTP/1.1 404 Nope"),
        (404, b"", b"HTTP/1.1 404 "),
        (599, None, b"HTTP/1.1 599 "),
    ],
)
def test_the_reason_is_the_upstreams_where_there_is_one(status: int, reason: bytes | None, line: bytes) -> None:
    assert head(status, DATE, reason=reason)[0] == line


@pytest.mark.parametrize(
    ("of", "http10", "bodiless", "status", "framing"),
    [
        ({"body": b"abc"}, False, False, 200, b"Content-Length: 3"),
        ({}, False, False, 200, b"Content-Length: 0"),
        ({"stream": Empty()}, False, False, 200, b"Transfer-Encoding: chunked"),
        ({"stream": Empty()}, True, False, 200, None),
        ({"stream": Empty(), "length": 7}, True, False, 200, b"Content-Length: 7"),
        # HEAD and 304 say what a GET would have got, if that is known; 204 has no length at all.
        ({"stream": Empty(), "length": 7}, False, True, 200, b"Content-Length: 7"),
        ({"stream": Empty()}, False, True, 200, None),
        ({"stream": Empty(), "length": 7}, False, True, 304, b"Content-Length: 7"),
        ({"stream": Empty()}, False, True, 304, None),
        ({}, False, True, 204, None),
        ({"length": 7}, False, True, 204, None),
    ],
)
def test_the_framing_is_the_gateways_own(
    of: dict[str, object], http10: bool, bodiless: bool, status: int, framing: bytes | None
) -> None:
    lines = head(status, DATE, http10=http10, bodiless=bodiless, **of)
    found = [line for line in lines if line.startswith((b"Content-Length", b"Transfer-Encoding"))]
    assert found == ([framing] if framing is not None else [])


@pytest.mark.parametrize(
    ("http10", "close", "line"),
    [
        (False, False, None),
        (False, True, b"Connection: close"),
        (True, True, b"Connection: close"),
        (True, False, b"Connection: keep-alive"),
    ],
)
def test_the_client_is_told_whether_the_connection_goes_on(http10: bool, close: bool, line: bytes | None) -> None:
    found = [part for part in head(200, DATE, http10=http10, close=close) if part.startswith(b"Connection")]
    assert found == ([line] if line is not None else [])


def test_there_is_one_date_the_upstreams_or_ours() -> None:
    assert [line for line in head(200, (b"dAtE", b"x")) if line.lower().startswith(b"date")] == [b"dAtE: x"]
    ours = [line for line in head(200) if line.startswith(b"Date: ")]
    assert len(ours) == 1
    told = email.utils.parsedate_to_datetime(ours[0][6:].decode()).timestamp()
    assert abs(told - time.time()) < 5
    assert re.fullmatch(rb"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", ours[0])


def test_an_interim_response_has_its_fields_and_no_framing() -> None:
    assert interim_head(103, [(b"Link", b"</a>")]) == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    assert interim_head(199, []) == b"HTTP/1.1 199 \r\n\r\n"
