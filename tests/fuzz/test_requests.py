"""Whatever a client sends: what must hold of every conversation.

Bounded and the same each time here; `scripts/fuzz` looks for longer, and elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.http.request_parser import KnownFields
from tests.fuzz import grammar
from tests.fuzz.conversation import TOKEN, House, Outcome

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""How many conversations to hold with chance; 0: a few, always the same ones."""

bounded = settings(
    max_examples=EXAMPLES or 100,
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

STREAMS = grammar.streams(TOKEN)
GOOD = b"GET /own/1 HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer " + TOKEN + b"\r\n\r\n"
POST = b"POST /open/x HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nCANAR\r\n0\r\n\r\n"


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with House() as house:
        yield house


def hold_to_promises(outcome: Outcome, stream: bytes) -> None:
    """What must be so of every conversation, whatever was sent."""
    assert 500 not in outcome.statuses
    assert all(status in (200, 204) or 400 <= status < 500 or status in (501, 505) for status in outcome.statuses)
    # Nothing comes back, and at most one request goes upstream for each that is answered.
    assert b"CANARY" not in outcome.raw
    assert TOKEN not in outcome.raw
    answered = [body for status, body in zip(outcome.statuses, outcome.bodies, strict=True) if status == 200]
    forwarded = [body for body in answered if body != b"fixed"]
    numbers = [int(body) for body in forwarded if body]
    assert numbers == sorted(set(numbers))
    assert len(outcome.upstream) <= len(forwarded) or outcome.is_closed
    for head, _ in outcome.upstream:
        if b" /own/" in head:
            assert TOKEN in stream
            assert b"\r\nX-Auth-Subject: u1\r\n" in head
        assert head.count(b"X-Auth-Subject: ") <= 1
        assert b"x_auth.subject" not in head
    # After a refusal of syntax or framing nothing more is read.
    for number, status in enumerate(outcome.statuses):
        if status in (408, 413, 414, 417, 431, 501, 505):
            assert number == len(outcome.statuses) - 1
            assert outcome.is_closed


@given(STREAMS)
@example(GOOD * 3)
@example(POST + GOOD)
@example(GOOD + b"GET /own/2 HTTP/1.1\r\nHost: a\r\n\r\n" + GOOD)
@bounded
def test_every_conversation_keeps_the_promises(house: House, stream: bytes) -> None:
    hold_to_promises(house.hold([stream]), stream)


@given(STREAMS, st.data())
@bounded
def test_how_the_bytes_arrive_changes_nothing(house: House, stream: bytes, data: st.DataObject) -> None:
    places = data.draw(grammar.splits(len(stream)))
    expected = house.hold([stream])
    for parts in (grammar.parts(stream, places), [stream[at : at + 1] for at in range(len(stream))]):
        outcome = house.hold(parts)
        hold_to_promises(outcome, stream)
        assert (outcome.statuses, outcome.reasons, outcome.is_closed) == (
            expected.statuses,
            expected.reasons,
            expected.is_closed,
        )
        assert outcome.upstream == expected.upstream


@given(STREAMS, STREAMS)
@bounded
def test_neither_what_is_known_of_header_sections_nor_the_short_way_changes_anything(
    house: House, stream: bytes, other: bytes
) -> None:
    known = KnownFields()
    expected = [house.hold([one], begins=False) for one in (stream, other)]
    for one, wanted in zip((stream, other, stream, other), expected * 2, strict=True):
        outcome = house.hold([one], known)
        assert (outcome.statuses, outcome.reasons, outcome.upstream, outcome.is_closed) == (
            wanted.statuses,
            wanted.reasons,
            wanted.upstream,
            wanted.is_closed,
        )


@given(st.binary(max_size=300))
@bounded
def test_any_bytes_at_all_are_answered_or_waited_for(house: House, stream: bytes) -> None:
    hold_to_promises(house.hold([stream]), stream)
