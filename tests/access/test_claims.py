"""Conditions on claims: by JSON type, with every operator, and with a path parameter in place of a value."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.access import claims
from gateway.access.claims import Check, ClaimRule, Parameter
from gateway.oauth.tokens import find_claim

CLAIMS: dict[str, Any] = {
    "tenant": "t1",
    "number": 42,
    "half": 4.5,
    "verified": True,
    "nothing": None,
    "groups": ["sales", "it", 7],
    "words": "read write",
    "empty": [],
    "https://example.com/roles": ["admin"],
    "realm_access": {"roles": ["user", "admin"], "deep": {"er": 1}},
    "a.b": "full name",
    "a": {"b": "path"},
}
TENANT = Parameter("tenant")


def holds(claim: str, check: Check, **parameters: str) -> bool:
    return ClaimRule(claim, (check,)).holds(CLAIMS, parameters)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tenant", "t1"),
        ("realm_access.roles", ["user", "admin"]),
        ("realm_access.deep.er", 1),
        ("https://example.com/roles", ["admin"]),
        ("a.b", "full name"),
        ("realm_access.roles.0", None),
        ("tenant.x", None),
        ("nothing", None),
        ("absent", None),
        ("", None),
    ],
)
def test_a_claim_is_found_by_its_full_name_and_then_by_a_dotted_path(name: str, value: Any) -> None:
    assert find_claim(CLAIMS, name) == value


@pytest.mark.parametrize(
    ("claim", "wanted", "expected"),
    [
        ("tenant", "t1", True),
        ("tenant", "t2", False),
        ("tenant", "T1", False),
        ("number", 42, True),
        ("number", 42.0, True),
        ("number", "42", False),
        ("verified", True, True),
        ("verified", 1, False),
        ("verified", "true", False),
        ("number", True, False),
        ("groups", "it", True),
        ("groups", 7, True),
        ("groups", "7", False),
        ("empty", "it", False),
        ("absent", "it", False),
        ("words", "read", False),
    ],
)
def test_equality_goes_by_json_type_and_reaches_into_lists(claim: str, wanted: Any, expected: bool) -> None:
    assert holds(claim, claims.equals(wanted)) is expected


@pytest.mark.parametrize(
    ("claim", "tenant", "expected"),
    [
        ("tenant", "t1", True),
        ("tenant", "t2", False),
        ("number", "42", True),
        ("number", "42.0", False),
        ("number", "042", False),
        ("half", "4.5", True),
        ("verified", "true", False),
        ("groups", "it", True),
        ("groups", "7", True),
        ("absent", "", False),
    ],
)
def test_a_path_parameter_equals_a_text_or_a_number_written_that_way(claim: str, tenant: str, expected: bool) -> None:
    assert holds(claim, claims.equals(TENANT), tenant=tenant) is expected


@pytest.mark.parametrize(
    ("check", "claim", "expected"),
    [
        (claims.one_of(["t0", "t1"]), "tenant", True),
        (claims.one_of(["t0"]), "tenant", False),
        (claims.one_of(["x", "sales"]), "groups", True),
        (claims.contains_all(["sales", "it"]), "groups", True),
        (claims.contains_all(["sales", "x"]), "groups", False),
        (claims.contains_all(["read"]), "words", True),
        (claims.contains_all(["rea"]), "words", False),
        (claims.contains_all(["write", "read"]), "words", True),
        (claims.contains_any(["x", "it"]), "groups", True),
        (claims.contains_any(["x", "y"]), "groups", False),
        (claims.contains_any([42]), "number", False),
        (claims.contains_any(["a"]), "absent", False),
        (claims.matches("t[0-9]"), "tenant", True),
        (claims.matches("t"), "tenant", False),
        (claims.matches("s.*"), "groups", True),
        (claims.matches("4."), "number", False),
        (claims.matches(".*"), "absent", False),
        (claims.exists(True), "tenant", True),
        (claims.exists(True), "nothing", False),
        (claims.exists(False), "nothing", True),
        (claims.exists(False), "absent", True),
        (claims.exists(False), "tenant", False),
        (claims.negation([claims.equals("t1")]), "tenant", False),
        (claims.negation([claims.equals("t2")]), "tenant", True),
        (claims.negation([claims.equals("t1"), claims.matches("x")]), "tenant", True),
        (claims.negation([claims.equals("x")]), "absent", True),
    ],
)
def test_every_operator(check: Check, claim: str, expected: bool) -> None:
    assert holds(claim, check) is expected


@pytest.mark.parametrize("separator", ["\t", "\u00a0", "\u2003", "\x1c", "\u0085", ","])
def test_words_are_separated_by_blanks_alone(separator: str) -> None:
    check = claims.contains_any(["admin"])
    assert not ClaimRule("words", (check,)).holds({"words": f"read{separator}admin"}, {})


def test_all_checks_of_a_rule_have_to_hold() -> None:
    rule = ClaimRule("groups", (claims.contains_any(["it"]), claims.contains_any(["hr"])))
    assert not rule.holds(CLAIMS, {})
