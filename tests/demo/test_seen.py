"""Whether what came is what was told."""

from __future__ import annotations

import pytest

from gateway.demo.seen import Decoded, Exchange, Outcome, Unanswered
from gateway.demo.story import ASKS_API, Expected
from gateway.demo.wire import Message, Sent


def exchange(status: int, body: str, expected: Expected | None) -> Exchange:
    sent = Sent(Message("GET / HTTP/1.1", ()), Message("HTTP/1.1", (), body), status)
    return Exchange("a request", ASKS_API, sent, expected)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, "{}", Expected(200)),
        (401, '{"reason": "token_expired", "error": "invalid_token"}', Expected(401, "token_expired")),
        (400, '{"error": "invalid_grant"}', Expected(400, "invalid_grant")),
        (500, "", None),
    ],
)
def test_status_and_word_have_to_be_as_expected(status: int, body: str, expected: Expected | None) -> None:
    assert exchange(status, body, expected).failure == ""


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        (200, "{}", "expected 401 token_expired, got 200"),
        (401, '{"reason": "token_revoked"}', "expected 401 token_expired, got 401 token_revoked"),
        (403, '{"reason": "token_expired"}', "expected 401 token_expired, got 403 token_expired"),
        (401, "no JSON", "expected 401 token_expired, got 401"),
        (401, '{"reason": ["token_expired"]}', "expected 401 token_expired, got 401"),
    ],
)
def test_anything_else_is_a_failure_that_says_what_came(status: int, body: str, failure: str) -> None:
    assert exchange(status, body, Expected(401, "token_expired")).failure == failure


def test_a_step_fails_with_the_first_of_its_failures() -> None:
    good, bad = exchange(200, "{}", Expected(200)), exchange(500, "", Expected(200))
    assert Outcome((good,)).failure == ""
    assert Outcome((good, bad, Unanswered("b", "no answer"))).failure == "expected 200, got 500"


def test_a_token_without_parts_is_opaque_and_none_is_in_a_representation() -> None:
    assert Decoded("a", "CANARY", {}, {}).is_opaque
    decoded = Decoded("a", "CANARY", {"alg": "CANARY"}, {"sub": "CANARY"})
    assert not decoded.is_opaque
    assert "CANARY" not in repr(decoded)
