"""Users: who signs in, and what is told of them."""

from __future__ import annotations

import pytest

from gateway.devauth.users import User, Users

ALICE = User("alice", "pässword", {"name": "Alice", "email": "a@example.com", "phone_number": "1", "roles": ["admin"]})


@pytest.mark.parametrize(
    ("name", "password", "is_right"),
    [
        ("alice", "pässword", True),
        ("alice", "password", False),
        ("alice", "", False),
        ("alice", "\ud800", False),
        ("Alice", "pässword", False),
        ("nobody", "", False),
        ("", "", False),
    ],
)
def test_name_and_password_must_both_be_right(name: str, password: str, is_right: bool) -> None:
    assert (Users([ALICE]).authenticate(name, password) is ALICE) is is_right


def test_a_subject_may_be_another_than_the_name() -> None:
    assert (ALICE.subject, User("a", "b", {"sub": "u-1"}).subject) == ("alice", "u-1")


@pytest.mark.parametrize(
    ("scope", "told"),
    [
        ("openid", {"sub", "roles"}),
        ("openid profile", {"sub", "roles", "name"}),
        ("email phone", {"sub", "roles", "email", "phone_number"}),
    ],
)
def test_standard_claims_are_told_by_scope_and_the_others_always(scope: str, told: set[str]) -> None:
    assert ALICE.information(scope).keys() == told
    assert ALICE.own_claims == {"roles": ["admin"]}


def test_passwords_are_hinted_at_where_they_are_no_secret_alone() -> None:
    assert "alice, bob" in Users([User("alice", "alice"), User("bob", "bob")]).hint
    assert Users([User("alice", "alice"), User("bob", "secret")]).hint == ""
    assert Users([]).hint == ""


def test_nothing_that_is_shown_of_a_user_tells_password_or_claims() -> None:
    assert "pässword" not in repr(ALICE)
    assert "example.com" not in repr(ALICE)
