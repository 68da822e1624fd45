"""Bytes that are nearly HTTP: requests put together from good and odd parts, then damaged."""

from __future__ import annotations

import itertools

from hypothesis import strategies as st

METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"]
ODD_METHODS = [
    b"get",
    b"TRACE",
    b"CONNECT",
    b"PROPFIND",
    b"M-SEARCH",
    b"PRI",
    b"SOURCE",
    b"G T",
    b"",
    b"GETGET",
    b"\xc9",
]
TARGETS = [
    b"/open/x",
    b"/open/x?q=CANARY",
    b"/own/1",
    b"/small/x",
    b"/fixed",
    b"/nowhere",
    b"http://api.example.com/open/y",
]
ODD_TARGETS = [
    b"*",
    b"/",
    b"//",
    b"/open/../own",
    b"/open/%2e%2e/own",
    b"/open/#",
    b"/open/a%2fb",
    b"/open/;",
    b"/open/\xff",
    b'/open/"<>^`{|}\\',
    b"/open/%",
    b"/open/?#a#?",
    b"http://evil.example/open/x",
    b"http:///open",
    b"api.example.com:80",
    b"/open/" + b"a" * 250,
    b"",
]
VERSIONS = [b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"]
ODD_VERSIONS = [
    b"HTTP/0.9",
    b"HTTP/2.0",
    b"HTTP/1.2",
    b"HTTP/11",
    b"http/1.1",
    b"RTSP/1.0",
    b"HTTP/1.1 ",
    b"HTTP/1.1\t",
    b"",
]
HOSTS = [b"Host: api.example.com", b"host:API.example.com:80"]
FIELDS = [
    b"Accept: */*",
    b"X-Empty:",
    b"X-Blank:  \t ",
    b"X-Obs: caf\xe9\xff",
    b"X-Colon: a: b",
    b"Cookie: CANARY=1",
    b"Cookie: b=2",
    b"User-Agent: CANARY/1.0 (x)",
    b"Connection: keep-alive",
    b"Accept-Encoding: gzip",
]
ODD_FIELDS = [
    b"Host: evil.example",
    b"Host:",
    b"Host: a, b",
    b"Host: u@api.example.com",
    b"Content-Length: 3",
    b"Content-Length: 0",
    b"Content-Length: +3",
    b"Content-Length: 3, 3",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: 0x3",
    b"Content-Length:",
    b"Content_Length: 3",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: Chunked ",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: ,chunked",
    b"Transfer-Encoding:\x0bchunked",
    b"Transfer_Encoding: chunked",
    b"Expect: 100-continue",
    b"Expect: CANARY",
    b"Connection: close",
    b"Connection: close, CANARY",
    b"Connection: keep-alive, X-Obs, authorization, x-auth-subject",
    b"Connection: upgrade",
    b"Upgrade: h2c",
    b"Proxy-Connection: close",
    b"Keep-Alive: timeout=5",
    b"TE: trailers",
    b"Trailer: Host",
    b"X-Auth-Subject: CANARY",
    b"x_auth.subject: CANARY",
    b"Authorization: Bearer CANARY",
    b"Authorization: Bearer",
    b"Authorization: Basic Q0FOQVJZ",
    b"X-Request-Id: CANARY",
    b"Via: 1.1 CANARY",
    b"Max-Forwards: 0",
    b"X-Null: a\x00b",
    b"X-Control: a\x01b",
    b"X-Delete: a\x7fb",
    b"X-Return: a\rb",
    b"X-Feed: a\nb",
    b"X-Space : a",
    b" X-Folded: a",
    b"\tX-Folded: a",
    b": nameless",
    b"X(Y): a",
    b"no colon",
    b"X-\xe9: a",
    b"X-Long: " + b"a" * 1500,
]
BODIES = [
    (b"Content-Length: 5", b"CANAR"),
    (b"Content-Length: 1", b"x"),
    (b"Content-Length: 20", b"GET /own/1 HTTP/1.1\r"),
    (b"Transfer-Encoding: chunked", b"5\r\nCANAR\r\n0\r\n\r\n"),
    (b"Transfer-Encoding: chunked", b"1;x=y\r\na\r\n4\r\n\r\n\r\n\r\n0\r\nHost: evil\r\n\r\n"),
    (b"Transfer-Encoding: chunked", b"0\r\n\r\n"),
    (b"Transfer-Encoding: chunked", b"A\r\n0123456789\r\n5\r\n01234\r\n0\r\n\r\n"),
    (b"transfer-encoding:chunked", b"zz\r\n\r\n"),
    (b"Transfer-Encoding: chunked", b"3\r\nabcX\r\n0\r\n\r\n"),
    (b"Transfer-Encoding: chunked", b"1\r\na\r\n0\r\nbad trailer\r\n\r\n"),
]
PIECES = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\x00",
    b" ",
    b"\t",
    b":",
    b"%2e",
    b"#",
    b"0\r\n\r\n",
    b"\r\n\r\n",
    b"Content-Length: 1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: x\r\n",
    b"\xff",
    b"GET /own/1 HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
]


def mostly(good: list[bytes], odd: list[bytes]) -> st.SearchStrategy[bytes]:
    """One of the good ones, or now and then an odd one."""
    return st.one_of(st.sampled_from(good), st.sampled_from(good), st.sampled_from(good), st.sampled_from(odd))


@st.composite
def requests(draw: st.DrawFn, token: bytes) -> bytes:
    """One request, more or less."""
    blank = draw(st.sampled_from([b" ", b" ", b" ", b" ", b"  ", b"\t"]))
    line = draw(mostly(METHODS, ODD_METHODS)) + blank + draw(mostly(TARGETS, ODD_TARGETS))
    lines = [line + b" " + draw(mostly(VERSIONS, ODD_VERSIONS))]
    if draw(st.integers(0, 9)):
        lines.append(draw(st.sampled_from(HOSTS)))
    lines += draw(st.lists(st.sampled_from(FIELDS), max_size=4))
    lines += draw(st.lists(st.sampled_from(ODD_FIELDS), max_size=1)) if draw(st.booleans()) else []
    if draw(st.booleans()):
        lines.append(b"Authorization: Bearer " + token)
    body = b""
    if draw(st.booleans()):
        framing, body = draw(st.sampled_from(BODIES))
        lines.append(framing)
    end = draw(st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"]))
    return draw(st.sampled_from([b"", b"", b"", b"\r\n", b"\r\n\r\n", b"\n"])) + end.join([*lines, b"", b""]) + body


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """These bytes, with damage in a few places or none."""
    data = bytearray(good)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2, 4]))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 3)):
            case 0:
                data[at:at] = draw(st.sampled_from(PIECES))
            case 1:
                del data[at : at + draw(st.integers(1, 8))]
            case 2:
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case _:
                del data[at:]
    return bytes(data)


@st.composite
def streams(draw: st.DrawFn, token: bytes = b"x.y.z") -> bytes:
    """What one client sends: a few requests behind one another, damaged or not."""
    return draw(damaged(b"".join(draw(st.lists(requests(token), min_size=1, max_size=3)))))


def splits(size: int) -> st.SearchStrategy[list[int]]:
    """Places at which a stream of this size arrives in parts."""
    return st.lists(st.integers(1, max(1, size)), max_size=6).map(sorted)


def parts(data: bytes, places: list[int]) -> list[bytes]:
    """The stream cut at these places."""
    edges = [0, *places, len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges) if data[start:end]]
