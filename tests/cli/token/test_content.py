"""What is told of a token's content, whatever is in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.cli.token.content import Content, lines, oddities, read
from tests.issuer import encode

NOW = 1_800_000_000.0


def token(header: Any = None, claims: Any = None, signature: bytes = b"signature") -> str:
    header = {"alg": "RS256", "typ": "at+jwt"} if header is None else header
    return b".".join((encode(header), encode(claims if claims is not None else good()), encode(signature))).decode()


def good(**changes: Any) -> dict[str, Any]:
    claims = {"iss": "https://as.example", "aud": "orders", "sub": "u1", "iat": NOW - 60, "exp": NOW + 600, **changes}
    return {name: value for name, value in claims.items() if value is not None}


def shown(text: str) -> str:
    return "\n".join(lines(read(text), NOW))


def odd(text: str) -> str:
    return "\n".join(oddities(read(text), NOW))


def test_header_and_claims_are_shown_with_what_they_mean_and_times_in_words() -> None:
    text = shown(token(claims=good(scope="a b", email="ä@example.com")))
    for line in (
        "a JSON Web Token (RFC 7519)",
        '  alg  "RS256"  (how it is signed)',
        '  iss    "https://as.example"  (who issued it)',
        '  scope  "a b"  (what it allows)',
        '  email  "ä@example.com"',
        "  iat    1799999940.0  (2027-01-15 07:59:00 UTC, 60 s ago)",
        "  exp    1800000600.0  (2027-01-15 08:10:00 UTC, in 10 min)",
    ):
        assert line in text.splitlines(), text
    assert odd(token()) == ""


@pytest.mark.parametrize("text", ["abc", "a.b.c", "..", "a.b.c.d.e", ".", "x" * 10_000, "." * 100_000, "é.é.é"])
def test_what_can_not_be_read_is_opaque(text: str) -> None:
    assert read(text) == Content("opaque")
    assert "an opaque token" in shown(text)
    assert odd(text) == ""


def test_an_encrypted_token_shows_its_header_alone() -> None:
    text = f"{encode({'alg': 'RSA-OAEP', 'enc': 'A256GCM'}).decode()}.a.b.c.d"
    assert read(text).kind == "jwe"
    assert "encrypted" in shown(text)
    assert '"A256GCM"' in shown(text)


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ({"alg": "RS256", "crit": ["x"]}, "crit"),
        ({"alg": "RS256", "b64": False}, "b64"),
        ({"alg": "x", "kid": 7}, "kid"),
    ],
)
def test_a_jwt_that_no_gateway_takes_is_shown_with_the_reason(header: dict[str, Any], problem: str) -> None:
    assert problem in read(token(header)).problem
    assert "no gateway takes" in shown(token(header))
    assert '"https://as.example"' in shown(token(header))


def test_claims_that_are_none_are_left_out() -> None:
    for claims in (b"not JSON", b"[]", b'{"a": 1, "a": 2}', b"\xff"):
        found = read(token(claims=claims))
        assert (found.kind, found.claims) == ("jwt", {})
        assert found.problem


@pytest.mark.parametrize("value", ["soon", None, True, -1, 10**20, 1e15, [1], {"a": 1}])
def test_a_time_that_is_none_does_no_harm(value: Any) -> None:
    claims = {**good(), "exp": value, "auth_time": value}
    assert "no date" in shown(token(claims=claims))
    assert "exp is missing or no number" in odd(token(claims=claims)) or isinstance(value, int | float)


def test_nothing_that_a_terminal_obeys_gets_through() -> None:
    evil = "\x1b[2J\u202e\x07"
    text = shown(token({"alg": "RS256", evil: evil}, good(**{evil: evil, "sub": evil, "list": [evil, {evil: 1}]})))
    assert all(character.isprintable() or character == "\n" for character in text)
    assert r"\u001b[2J" in text
    assert "\x1b" not in odd(token({"alg": f"HS{evil}"}))


@pytest.mark.parametrize(
    ("header", "claims", "words"),
    [
        ({"alg": "none"}, {}, "anybody can make such a token"),
        ({"alg": "nOnE"}, {}, "anybody can make such a token"),
        ({"alg": "HS256"}, {}, "a shared secret"),
        ({"alg": "RS256"}, {"exp": None}, "never ends"),
        ({"alg": "RS256"}, {"exp": NOW - 120}, "it expired 2 min ago"),
        ({"alg": "RS256"}, {"exp": NOW + 10 * 86_400}, "it lives 10 d"),
        ({"alg": "RS256"}, {"nbf": NOW + 30}, "not valid yet: nbf is in 30 s"),
        ({"alg": "RS256"}, {"iat": NOW + 30}, "in the future by 30 s"),
        ({"alg": "RS256"}, {"aud": None}, "aud is missing"),
        ({"alg": "RS256"}, {"nonce": "n"}, "ID token"),
        ({"alg": "RS256"}, {"at_hash": "x"}, "ID token"),
    ],
)
def test_what_is_odd_is_told(header: dict[str, Any], claims: dict[str, Any], words: str) -> None:
    assert words in odd(token(header, good(**claims)))


def test_a_nonce_in_a_marked_access_token_is_not_odd() -> None:
    assert odd(token({"alg": "RS256", "typ": "application/AT+JWT"}, good(nonce="n"))) == ""


def test_a_claim_about_a_key_is_explained() -> None:
    assert "bound to this key" in shown(token(claims=good(cnf={"jkt": "x"})))
    assert json.dumps({"jkt": "x"}) in shown(token(claims=good(cnf={"jkt": "x"})))
