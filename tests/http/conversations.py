"""Conversations of one client with a gateway, as data: what is sent, and what has to come back.

`tests/http/test_differential.py` holds each of them with both servers; `ROUTES` and `LIMITS` are the gateway's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

HOST_NAME = "api.example.com"
LIMITS = {"request_head": "2KiB", "request_target": "200B", "headers": 16, "request_body": "100B"}
ROUTES: Sequence[dict[str, Any]] = (
    {"name": "open", "path": "/open/**", "public": True, "host": HOST_NAME},
    {"name": "read", "path": "/read/**", "public": True, "host": HOST_NAME, "methods": ["GET"]},
    {"name": "own", "path": "/own/**", "host": HOST_NAME, "require": {"scopes": ["s"]}},
    {"name": "small", "path": "/small/**", "public": True, "host": HOST_NAME, "max_body": 5},
    {
        "name": "fixed",
        "path": "/fixed",
        "public": True,
        "host": HOST_NAME,
        "respond": {"status": 200, "body": "fixed"},
    },
)
TOKEN = b"{token}"
"""Stands for a good token."""

Answer = tuple[int, str]
"""Status and reason; the reason of what is no refusal is empty."""

OK: Answer = (200, "")
BAD: Answer = (400, "request_invalid")
HOST: Answer = (400, "host_invalid")
PATH: Answer = (400, "path_ambiguous")
NO_TOKEN: Answer = (401, "token_missing")


@dataclass(frozen=True)
class Conversation:
    """`answers` are the final ones; `closes` says that the gateway ends the connection then. `is_cut`: a request may
    reach the upstream, but never whole.
    """

    name: str
    sent: bytes
    answers: tuple[Answer, ...]
    closes: bool = False
    is_cut: bool = False


def get(target: bytes = b"/open/x", *lines: bytes, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    """A good request, with further field lines."""
    head = [method + b" " + target + b" HTTP/" + version, b"Host: api.example.com", *lines]
    return b"\r\n".join([*head, b"", b""])


def post(framing: bytes, body: bytes, target: bytes = b"/open/x", *lines: bytes) -> bytes:
    """A request with a body."""
    return get(target, *lines, framing, method=b"POST") + body


def head(*lines: bytes) -> bytes:
    """A head of these lines and nothing else."""
    return b"\r\n".join([*lines, b"", b""])


CHUNKED, LENGTH = b"Transfer-Encoding: chunked", b"Content-Length: "
BEARER = b"Authorization: Bearer " + TOKEN

GOOD = (
    Conversation("a plain request", get(), (OK,)),
    Conversation("a token", get(b"/own/x", BEARER), (OK,)),
    Conversation("no token", get(b"/own/x"), (NO_TOKEN,)),
    Conversation("a scheme in another case", get(b"/own/x", BEARER.replace(b"Bearer", b"bEARER")), (OK,)),
    Conversation("a route that answers by itself", get(b"/fixed"), (OK,)),
    Conversation("no route", get(b"/nowhere"), ((404, "route_not_found"),)),
    Conversation("another method", get(b"/read/x", method=b"DELETE"), ((405, "method_not_allowed"),)),
    Conversation("HEAD", get(method=b"HEAD") + get(), (OK, OK)),
    Conversation("HEAD without a token", get(b"/own/x", method=b"HEAD") + get(), (NO_TOKEN, OK)),
    Conversation("OPTIONS", get(method=b"OPTIONS"), (OK,)),
    Conversation("OPTIONS *", get(b"*", method=b"OPTIONS"), ((404, "route_not_found"),)),
    Conversation("Max-Forwards: 0", get(b"/open/x", b"Max-Forwards: 0", method=b"OPTIONS"), ((204, ""),)),
    Conversation("an empty line before", b"\r\n" + get(), (OK,)),
    Conversation("two empty lines before", b"\r\n\r\n" + get(), (OK,)),
    Conversation("blanks around a value", get(b"/open/x", b"X:   \t a b \t "), (OK,)),
    Conversation("a value without any", get(b"/open/x", b"X:", b"Y: "), (OK,)),
    Conversation("bytes above ASCII", get(b"/open/x", b"X: caf\xe9 \xff"), (OK,)),
    Conversation("many cookies", get(b"/open/x", b"Cookie: a=1", b"Cookie: b=2"), (OK,)),
    Conversation("two trailing dots less", head(b"GET /open/x HTTP/1.1", b"Host: API.example.COM.:8080"), (OK,)),
    Conversation("absolute-form", get(b"http://api.example.com/open/x?y"), (OK,)),
    Conversation("absolute-form of another case", get(b"HTTP://API.example.com:80/open/x"), (OK,)),
    Conversation("a query", get(b"/open/x?a=%2F&b=c+d&%zz=//.."), (OK,)),
    Conversation("nominations", get(b"/open/x", b"Connection: close, X-Mine", b"X-Mine: 1"), (OK,), closes=True),
    Conversation(
        "an upgrade that is not taken", get(b"/open/x", b"Connection: Upgrade", b"Upgrade: h2c") * 2, (OK, OK)
    ),
)
VERSIONS = (
    Conversation("HTTP/1.0", get(version=b"1.0"), (OK,), closes=True),
    Conversation("HTTP/1.0 that stays", get(b"/open/x", b"Connection: keep-alive", version=b"1.0") * 2, (OK, OK)),
    Conversation(
        "HTTP/1.0 with a body",
        get(b"/open/x", LENGTH + b"3", method=b"POST", version=b"1.0") + b"abc",
        (OK,),
        closes=True,
    ),
    Conversation("HTTP/1.0 with an expectation", get(b"/open/x", b"Expect: x", version=b"1.0"), (OK,), closes=True),
    Conversation("HTTP/1.0 without Host", head(b"GET /open/x HTTP/1.0"), (HOST,), closes=True),
    Conversation("HTTP/0.9", b"GET /open/x\r\n\r\n", ((505, "version_unsupported"),), closes=True),
    Conversation("HTTP/2.0", get(version=b"2.0"), ((505, "version_unsupported"),), closes=True),
    Conversation("HTTP/1.2", get(version=b"1.2"), ((505, "version_unsupported"),), closes=True),
    Conversation("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (BAD,), closes=True),
    Conversation("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (BAD,), closes=True),
)
LINES = (
    Conversation("two blanks", get().replace(b" /", b"  /", 1), (BAD,), closes=True),
    Conversation("a tab", get().replace(b" /", b"\t/", 1), (BAD,), closes=True),
    Conversation("a blank before the method", b" " + get(), (BAD,), closes=True),
    Conversation("a blank behind the version", get().replace(b"1.1\r", b"1.1 \r", 1), (BAD,), closes=True),
    Conversation("a method in lower case", get(method=b"get"), (BAD,), closes=True),
    Conversation("an unknown method", get(method=b"FOO"), (BAD,), closes=True),
    Conversation("CONNECT", get(b"a:80", method=b"CONNECT"), ((501, "not_implemented"),), closes=True),
    Conversation("TRACE", get(method=b"TRACE"), ((501, "not_implemented"),), closes=True),
    Conversation("bare line feeds", get().replace(b"\r\n", b"\n"), (BAD,), closes=True),
    Conversation("bare returns", get().replace(b"\r\n", b"\r") + b"\r\n\r\n", (BAD,), closes=True),
    Conversation("a byte above ASCII in the target", get(b"/open/\xff"), (BAD,), closes=True),
    Conversation("a null in the target", get(b"/open/\x00"), (BAD,), closes=True),
    Conversation("a fragment", get(b"/open/x#y"), (PATH,)),
    Conversation("dots", get(b"/open/../own/x"), (PATH,)),
    Conversation("encoded dots", get(b"/open/%2e%2E/own/x"), (PATH,)),
    Conversation("an encoded slash", get(b"/open/a%2fb"), (PATH,)),
    Conversation("an empty segment", get(b"//open/x"), (PATH,)),
    Conversation("asterisk-form of another method", get(b"*"), (BAD,), closes=True),
    Conversation("authority-form", get(b"api.example.com:80"), (BAD,), closes=True),
    Conversation("absolute-form of a host not served", get(b"http://evil.example/open/x"), (HOST,), closes=True),
    Conversation("absolute-form with user information", get(b"http://u@api.example.com/open/x"), (HOST,), closes=True),
)
FIELDS = (
    Conversation("no Host", head(b"GET /open/x HTTP/1.1"), (HOST,), closes=True),
    Conversation("two Hosts", get(b"/open/x", b"Host: b"), (HOST,), closes=True),
    Conversation("an empty Host", head(b"GET /open/x HTTP/1.1", b"Host:"), (HOST,), closes=True),
    Conversation("a list of Hosts", head(b"GET /open/x HTTP/1.1", b"Host: a, b"), (HOST,), closes=True),
    Conversation("a Host with a path", head(b"GET /open/x HTTP/1.1", b"Host: a/b"), (HOST,), closes=True),
    Conversation("a Host with user information", head(b"GET /open/x HTTP/1.1", b"Host: u@a"), (HOST,), closes=True),
    Conversation("another host", head(b"GET /open/x HTTP/1.1", b"Host: other.example"), ((404, "route_not_found"),)),
    Conversation("a blank before a colon", get(b"/open/x", b"X : y"), (BAD,), closes=True),
    Conversation("a folded field", get(b"/open/x", b"X: y", b" z"), (BAD,), closes=True),
    Conversation("a field that begins with a blank", head(b"GET /open/x HTTP/1.1", b" Host: a"), (BAD,), closes=True),
    Conversation("a nameless field", get(b"/open/x", b": y"), (BAD,), closes=True),
    Conversation("a field without a colon", get(b"/open/x", b"X"), (BAD,), closes=True),
    Conversation("a control character", get(b"/open/x", b"X: \x01"), (BAD,), closes=True),
    Conversation("a null", get(b"/open/x", b"X: \x00"), (BAD,), closes=True),
    Conversation("a bare return in a value", get(b"/open/x", b"X: a\rb"), (BAD,), closes=True),
    Conversation("a bare line feed in a value", get(b"/open/x", b"X: a\nb"), (BAD,), closes=True),
    Conversation("a name with a blank", get(b"/open/x", b"X Y: z"), (BAD,), closes=True),
    Conversation("two Authorization fields", get(b"/own/x", BEARER, BEARER), ((400, "credentials_multiple"),)),
    Conversation("an empty token", get(b"/own/x", b"Authorization: Bearer"), (BAD,)),
    Conversation("another expectation", get(b"/open/x", b"Expect: magic"), ((417, "expectation_failed"),), closes=True),
)
SIZES = (
    Conversation("a target at the limit", get(b"/open/" + b"a" * 194), (OK,)),
    Conversation("a target above it", get(b"/open/" + b"a" * 195), ((414, "target_too_long"),), closes=True),
    Conversation("a target far above it", get(b"/open/" + b"a" * 3000), ((414, "target_too_long"),), closes=True),
    Conversation("a large head", get(b"/open/x", b"X: " + b"a" * 1900), (OK,)),
    Conversation("a head too large", get(b"/open/x", b"X: " + b"a" * 2100), ((431, "head_too_large"),), closes=True),
    Conversation(
        "a head far too large", get(b"/open/x", b"X: " + b"a" * 19000), ((431, "head_too_large"),), closes=True
    ),
    Conversation(
        "a head of many fields too large",
        get(b"/open/x", *[b"X: " + b"a" * 200] * 12),
        ((431, "head_too_large"),),
        closes=True,
    ),
    Conversation("as many fields as allowed", get(b"/open/x", *[b"X: y"] * 15), (OK,)),
    Conversation("one field too many", get(b"/open/x", *[b"X: y"] * 16), ((431, "head_too_large"),), closes=True),
    Conversation("a body at the limit", post(LENGTH + b"100", b"x" * 100), (OK,)),
    Conversation("a body above it", post(LENGTH + b"101", b"x" * 101), ((413, "body_too_large"),), closes=True),
    Conversation(
        "the route's own limit", post(LENGTH + b"6", b"x" * 6, b"/small/x"), ((413, "body_too_large"),), closes=True
    ),
    Conversation("a chunked body at the route's limit", post(CHUNKED, b"5\r\nabcde\r\n0\r\n\r\n", b"/small/x"), (OK,)),
    Conversation(
        "a chunked body above it",
        post(CHUNKED, b"6\r\nabcdef\r\n0\r\n\r\n", b"/small/x"),
        ((413, "body_too_large"),),
        closes=True,
        is_cut=True,
    ),
)
BODIES = (
    Conversation("an empty body", post(LENGTH + b"0", b""), (OK,)),
    Conversation("one byte", post(LENGTH + b"1", b"x"), (OK,)),
    Conversation("a request within a body", post(LENGTH + b"%d" % len(get()), get()) + get(b"/own/x"), (OK, NO_TOKEN)),
    Conversation("a chunked body", post(CHUNKED, b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n") + get(), (OK, OK)),
    Conversation("an empty chunked body", post(CHUNKED, b"0\r\n\r\n") + get(), (OK, OK)),
    Conversation(
        "trailers", post(CHUNKED, b"1\r\na\r\n0\r\nX-Auth-Subject: evil\r\nHost: evil\r\n\r\n") + get(), (OK, OK)
    ),
    Conversation("line ends within a chunk", post(CHUNKED, b"8\r\n\r\n\r\n0\r\n\r\r\n0\r\n\r\n") + get(), (OK, OK)),
    Conversation(
        "a coding in another case", post(b"transfer-ENCODING:cHUNKED", b"1\r\na\r\n0\r\n\r\n") + get(), (OK, OK)
    ),
    Conversation(
        "a refused body is no request", post(LENGTH + b"%d" % len(get()), get(), b"/own/x") + get(), (NO_TOKEN, OK)
    ),
    Conversation(
        "a refused chunked body is no request",
        post(CHUNKED, b"3\r\nabc\r\n0\r\n\r\n", b"/own/x") + get(),
        (NO_TOKEN, OK),
    ),
    Conversation("a length and a coding", post(CHUNKED, b"0\r\n\r\n", b"/open/x", LENGTH + b"5"), (BAD,), closes=True),
    Conversation("two lengths", post(LENGTH + b"1", b"x", b"/open/x", LENGTH + b"2"), (BAD,), closes=True),
    Conversation("the same length twice", post(LENGTH + b"1", b"x", b"/open/x", LENGTH + b"1"), (BAD,), closes=True),
    Conversation("a list of lengths", post(LENGTH + b"1, 1", b"x"), (BAD,), closes=True),
    Conversation("a signed length", post(LENGTH + b"+1", b"x"), (BAD,), closes=True),
    Conversation("a length in hexadecimal", post(LENGTH + b"0x1", b"x"), (BAD,), closes=True),
    Conversation("a length beyond reason", post(LENGTH + b"9" * 30, b"x"), (BAD,), closes=True),
    Conversation("an empty length", post(b"Content-Length:", b"x"), (BAD,), closes=True),
    Conversation(
        "an unknown coding",
        post(b"Transfer-Encoding: xchunked", b"0\r\n\r\n"),
        ((501, "not_implemented"),),
        closes=True,
    ),
    Conversation(
        "a coding before chunked",
        post(b"Transfer-Encoding: gzip, chunked", b"0\r\n\r\n"),
        ((501, "not_implemented"),),
        closes=True,
    ),
    Conversation(
        "a coding behind chunked",
        post(b"Transfer-Encoding: chunked, gzip", b"0\r\n\r\n"),
        ((501, "not_implemented"),),
        closes=True,
    ),
    Conversation(
        "an empty coding before chunked",
        post(b"Transfer-Encoding: ,chunked", b"0\r\n\r\n"),
        ((501, "not_implemented"),),
        closes=True,
    ),
    Conversation(
        "chunked in HTTP/1.0",
        get(b"/open/x", CHUNKED, method=b"POST", version=b"1.0") + b"0\r\n\r\n",
        (BAD,),
        closes=True,
    ),
    Conversation("a bad chunk size", post(CHUNKED, b"zz\r\n"), (BAD,), closes=True, is_cut=True),
    Conversation("a signed chunk size", post(CHUNKED, b"-1\r\n"), (BAD,), closes=True, is_cut=True),
    Conversation("a chunk that is too long", post(CHUNKED, b"1\r\nab\r\n0\r\n\r\n"), (BAD,), closes=True, is_cut=True),
    Conversation("a chunk with bare line feeds", post(CHUNKED, b"1\na\n0\n\n"), (BAD,), closes=True, is_cut=True),
    Conversation("a malformed trailer", post(CHUNKED, b"0\r\nX : y\r\n\r\n"), (BAD,), closes=True, is_cut=True),
    Conversation("an expectation", post(LENGTH + b"3", b"abc", b"/open/x", b"Expect: 100-continue"), (OK,)),
    Conversation(
        "an expectation that is refused",
        get(b"/own/x", b"Expect: 100-continue", LENGTH + b"3", method=b"POST"),
        (NO_TOKEN,),
        closes=True,
    ),
)
PIPELINES = (
    Conversation("ten requests", get() * 10, (OK,) * 10),
    Conversation(
        "each by its own fields",
        get(b"/own/1", BEARER)
        + get(b"/own/2")
        + post(LENGTH + b"1", b"x", b"/own/3", BEARER)
        + get(b"/fixed")
        + get(b"/own/4"),
        (OK, NO_TOKEN, OK, OK, NO_TOKEN),
    ),
    Conversation(
        "one that asks to close", get() + get(b"/open/x", b"Connection: close") + get(), (OK, OK), closes=True
    ),
    Conversation("one that is malformed", get() + get().replace(b"Host:", b"Host :") + get(), (OK, BAD), closes=True),
    Conversation(
        "one that is too long", get() + get(b"/open/" + b"a" * 300) + get(), (OK, (414, "target_too_long")), closes=True
    ),
    Conversation("one in HTTP/1.0", get() + get(version=b"1.0") + get(), (OK, OK), closes=True),
)
ALL = (*GOOD, *VERSIONS, *LINES, *FIELDS, *SIZES, *BODIES, *PIPELINES)
