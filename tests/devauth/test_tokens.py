"""Tokens as they are issued and remembered."""

from __future__ import annotations

import pytest

from gateway.devauth.clients import Client, Lifetimes
from gateway.devauth.keys import SigningKeys
from gateway.devauth.tokens import REMEMBERED, Authorization, Tokens
from gateway.devauth.users import User
from tests.devauth.visitor import Clock

USER = User("alice", "pw", {"sub": "u1", "tenant": "t2", "name": "Alice", "email": "a@example.com"})
OPAQUE = Client(
    "app",
    "secret",
    frozenset({"read"}),
    "api",
    claims={"tenant": "t1", "kind": "app"},
    access_token="opaque",
    lifetimes=Lifetimes(access=60, refresh=600),
)


@pytest.fixture
def tokens(clock: Clock) -> Tokens:
    return Tokens("http://127.0.0.1:1", SigningKeys("ES256"), clock)


def test_a_users_claim_goes_before_the_clients_and_the_servers_before_both(tokens: Tokens) -> None:
    claims = tokens.access(Authorization(OPAQUE, "read", USER, 1_700_000_000), "read").claims
    assert (claims["sub"], claims["tenant"], claims["kind"]) == ("u1", "t2", "app")
    assert (claims["client_id"], claims["auth_time"]) == ("app", 1_700_000_000)
    assert {"name", "email"}.isdisjoint(claims)


def test_lifetimes_are_the_clients(tokens: Tokens, clock: Clock) -> None:
    authorization = Authorization(OPAQUE, "read", USER)
    access, refresh = tokens.access(authorization, "read"), tokens.refresh(authorization)
    assert (access.get_expires_in(), refresh.get_expires_in()) == (60, 600)
    clock.now += 60
    assert (access.is_expired(), refresh.is_expired()) == (True, False)


def test_what_ends_an_authorization_ends_all_of_it_and_nothing_else(tokens: Tokens) -> None:
    ended, other = Authorization(OPAQUE, "read", USER), Authorization(OPAQUE, "read", USER)
    issued = [tokens.access(ended, "read"), tokens.refresh(ended)]
    issued[1].revoke()
    assert all(token.is_revoked() for token in issued)
    assert not tokens.access(other, "read").is_revoked()


def test_a_withdrawn_access_token_ends_alone(tokens: Tokens) -> None:
    authorization = Authorization(OPAQUE, "read", USER)
    access, refresh = tokens.access(authorization, "read"), tokens.refresh(authorization)
    access.revoke()
    assert (access.is_revoked(), refresh.is_revoked()) == (True, False)


def test_each_kind_is_found_as_what_it_is(tokens: Tokens) -> None:
    authorization = Authorization(OPAQUE, "read", USER)
    access, refresh = tokens.access(authorization, "read"), tokens.refresh(authorization)
    assert tokens.find(access.value) is access
    assert tokens.find_refresh(refresh.value) is refresh
    assert tokens.find(refresh.value) is tokens.find_refresh(access.value) is None


def test_changes_replace_claims_for_who_wants_a_bad_token(tokens: Tokens) -> None:
    assert tokens.issue(OPAQUE, "read", exp=1, iss="x").claims["iss"] == "x"


def test_of_too_many_tokens_the_oldest_is_forgotten(tokens: Tokens) -> None:
    first = tokens.issue(OPAQUE, "read")
    for _ in range(REMEMBERED):
        last = tokens.issue(OPAQUE, "read")
    assert tokens.find(first.value) is None
    assert tokens.find(last.value) is last
