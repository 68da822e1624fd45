"""The opening handshake: what a client may ask for, what goes to the origin, and what an origin may agree to."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.http.body import RequestBody
from gateway.http.message import Field, Fields, Request
from gateway.http.websocket_handshake import (
    Agreement,
    HandshakeInvalid,
    accept,
    check_answer,
    is_asked_for,
    others,
    read,
)

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # both of RFC 6455 §1.3
GOOD: list[Field] = [
    (b"Host", b"a"),
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Key", KEY),
    (b"Sec-WebSocket-Version", b"13"),
]
ANSWER: list[Field] = [
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Accept", ACCEPT),
]


def changed(fields: list[Field], *changes: Field, without: bytes = b"") -> list[Field]:
    """The fields with these in place of those of the same name; `without` leaves one out."""
    names = {name.lower() for name, _ in changes} | {without.lower()}
    return [field for field in fields if field[0].lower() not in names] + list(changes)


def asked(*changes: Field, without: bytes = b"", method: str = "GET", version: tuple[int, int] = (1, 1)) -> Request:
    return Request(method, "/ws", Fields(changed(GOOD, *changes, without=without)), version=version)


def reason_of(request: Request) -> tuple[int, str]:
    with pytest.raises(GatewayError) as refusal:
        read(request)
    return refusal.value.reason.status, refusal.value.reason.name


# --- what a client asks for --------------------------------------------------------------------------------------


def test_a_handshake_is_read_and_written_anew() -> None:
    handshake = read(
        asked(
            (b"sec-websocket-PROTOCOL", b"chat, superchat"),
            (b"Sec-WebSocket-Protocol", b"soap"),
            (b"Sec-WebSocket-Extensions", b'permessage-deflate; client_max_window_bits="15" ; x, foo'),
        )
    )
    assert handshake.lines == (
        b"Connection: Upgrade\r\n"
        b"Upgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: chat, superchat\r\n"
        b"Sec-WebSocket-Protocol: soap\r\n"
        b'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits="15" ; x, foo\r\n'
    )


@pytest.mark.parametrize(
    ("values", "is_one"),
    [
        ((b"websocket",), True),
        ((b"WebSocket",), True),
        ((b"h2c, websocket",), True),
        ((b"h2c", b"websocket"), True),
        ((b"h2c",), False),
        ((b"websocket/13",), False),
        ((b"web socket",), False),
        ((), False),
    ],
)
def test_only_an_upgrade_to_websocket_is_one(values: tuple[bytes, ...], is_one: bool) -> None:
    assert is_asked_for(Fields([(b"Upgrade", value) for value in values])) is is_one


@pytest.mark.parametrize("value", [b"Upgrade", b"upgrade", b"keep-alive, UPGRADE", b"keep-alive ,\tupgrade"])
def test_connection_may_name_more_than_the_upgrade(value: bytes) -> None:
    assert read(asked((b"Connection", value))).key == KEY


@pytest.mark.parametrize(
    "request_",
    [
        asked(method="POST"),
        asked(method="HEAD"),
        asked(version=(1, 0)),
        asked(without=b"Connection"),
        asked((b"Connection", b"keep-alive")),
        asked((b"Connection", b"upgrade-insecure")),
        asked(without=b"Sec-WebSocket-Key"),
        asked((b"Sec-WebSocket-Key", KEY), (b"Sec-WebSocket-Key", KEY)),
        asked((b"Sec-WebSocket-Key", b"")),
        asked((b"Sec-WebSocket-Key", b"c2hvcnQ=")),
        asked((b"Sec-WebSocket-Key", KEY[:-2])),
        asked((b"Sec-WebSocket-Key", KEY + b"=")),
        asked((b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZ_==")),
        asked((b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQQ=")),
        asked((b"Sec-WebSocket-Key", KEY * 2)),
        asked((b"Sec-WebSocket-Version", b"13"), (b"Sec-WebSocket-Version", b"13")),
        asked((b"Sec-WebSocket-Version", b"8"), (b"Sec-WebSocket-Version", b"13")),
        asked((b"Sec-WebSocket-Protocol", b"chat, chat")),
        asked((b"Sec-WebSocket-Protocol", b"chat"), (b"Sec-WebSocket-Protocol", b"chat")),
        asked((b"Sec-WebSocket-Protocol", b"two words")),
        asked((b"Sec-WebSocket-Protocol", b"(comment)")),
        asked((b"Sec-WebSocket-Protocol", b"caf\xe9")),
        asked((b"Sec-WebSocket-Extensions", b"; x")),
        asked((b"Sec-WebSocket-Extensions", b"foo; x=")),
        asked((b"Sec-WebSocket-Extensions", b'foo; x="a,b"')),
        asked((b"Sec-WebSocket-Extensions", b'foo; x="open')),
        asked((b"Sec-WebSocket-Extensions", b"foo bar")),
    ],
)
def test_what_is_no_handshake_is_refused_with_400(request_: Request) -> None:
    assert reason_of(request_) == (400, "request_invalid")


def test_a_handshake_with_a_body_is_refused() -> None:
    class Nowhere:
        def read_on(self) -> None: ...

    request = asked()
    request.body = RequestBody(Nowhere(), 3)
    assert reason_of(request) == (400, "request_invalid")


@pytest.mark.parametrize("version", [b"12", b"8", b"0", b"14", b"013", b"13, 8", b"", b"thirteen"])
def test_another_version_is_refused_with_426(version: bytes) -> None:
    # A handshake of another version may look different in everything else.
    assert reason_of(asked((b"Sec-WebSocket-Version", version), without=b"Sec-WebSocket-Key")) == (
        426,
        "request_invalid",
    )


def test_no_version_is_another_version() -> None:
    assert reason_of(asked(without=b"Sec-WebSocket-Version")) == (426, "request_invalid")


def test_no_spelling_of_the_handshakes_fields_is_left_over() -> None:
    kept = [(b"Host", b"a"), (b"X-Sec-WebSocket-Key", b"mine"), (b"Cookie", b"a=1")]
    spellings = [b"Sec-WebSocket-Key", b"sec_websocket_key", b"Sec.WebSocket_Accept", b"SEC-WEBSOCKET-NEW"]
    assert others([*kept, *((name, b"x") for name in spellings)]) == kept


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"Sec-WebSocket-Extensions", b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Key"]),
            st.binary(max_size=60),
        ),
        max_size=5,
    )
)
def test_whatever_is_asked_is_a_handshake_or_refused(fields: list[Field]) -> None:
    with contextlib.suppress(GatewayError):
        handshake = read(asked(*fields))
        assert handshake.lines.count(b"\n") == 4 + len(handshake.protocols) + len(handshake.extensions)


# --- what an origin agrees to ------------------------------------------------------------------------------------


def agreement(*changes: Field, without: bytes = b"", offers: tuple[Field, ...] = ()) -> Agreement:
    return check_answer(read(asked(*offers)), changed(ANSWER, *changes, without=without))


def test_accept_is_that_of_the_rfc() -> None:
    assert accept(KEY) == ACCEPT


def test_an_answer_is_passed_on_with_what_was_agreed() -> None:
    offers = (
        (b"Sec-WebSocket-Protocol", b"soap"),
        (b"Sec-WebSocket-Protocol", b"chat, superchat"),
        (b"Sec-WebSocket-Extensions", b"permessage-deflate, foo"),
    )
    agreed = agreement(
        (b"upgrade", b"WebSocket"),
        (b"connection", b"keep-alive, upgrade"),
        (b"sec-websocket-protocol", b"superchat"),
        (b"sec-websocket-extensions", b"permessage-deflate; server_no_context_takeover"),
        offers=offers,
    )
    assert agreed.fields == (
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
        (b"Sec-WebSocket-Accept", ACCEPT),
        (b"Sec-WebSocket-Protocol", b"superchat"),
        (b"Sec-WebSocket-Extensions", b"permessage-deflate; server_no_context_takeover"),
    )
    assert agreed.compressed


def test_no_offer_has_to_be_taken() -> None:
    offers = ((b"Sec-WebSocket-Protocol", b"chat"), (b"Sec-WebSocket-Extensions", b"permessage-deflate, foo"))
    assert agreement(offers=offers) == Agreement(tuple(ANSWER), compressed=False)
    assert not agreement((b"Sec-WebSocket-Extensions", b"foo"), offers=offers).compressed


@pytest.mark.parametrize(
    ("changes", "without"),
    [
        ((), b"Upgrade"),
        (((b"Upgrade", b"h2c"),), b""),
        (((b"Upgrade", b"websocket, h2c"),), b""),
        ((), b"Connection"),
        (((b"Connection", b"close"),), b""),
        ((), b"Sec-WebSocket-Accept"),
        (((b"Sec-WebSocket-Accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOO="),), b""),
        (((b"Sec-WebSocket-Accept", ACCEPT.lower()),), b""),
        (((b"Sec-WebSocket-Accept", ACCEPT), (b"Sec-WebSocket-Accept", ACCEPT)), b""),
        (((b"Sec-WebSocket-Protocol", b"other"),), b""),
        (((b"Sec-WebSocket-Protocol", b"Chat"),), b""),
        (((b"Sec-WebSocket-Protocol", b"chat, soap"),), b""),
        (((b"Sec-WebSocket-Protocol", b"chat"), (b"Sec-WebSocket-Protocol", b"chat")), b""),
        (((b"Sec-WebSocket-Protocol", b""),), b""),
        (((b"Sec-WebSocket-Extensions", b"bar"),), b""),
        (((b"Sec-WebSocket-Extensions", b"permessage-deflate, permessage-deflate"),), b""),
        (((b"Sec-WebSocket-Extensions", b"permessage-deflate;;"),), b""),
    ],
)
def test_an_answer_to_something_else_is_none(changes: tuple[Field, ...], without: bytes) -> None:
    offers = ((b"Sec-WebSocket-Protocol", b"chat, soap"), (b"Sec-WebSocket-Extensions", b"permessage-deflate"))
    with pytest.raises(HandshakeInvalid):
        agreement(*changes, without=without, offers=offers)


@pytest.mark.parametrize(
    "extra", [(b"Sec-WebSocket-Protocol", b"chat"), (b"Sec-WebSocket-Extensions", b"permessage-deflate")]
)
def test_an_answer_that_takes_what_nobody_offered_is_none(extra: Field) -> None:
    with pytest.raises(HandshakeInvalid):
        agreement(extra)
