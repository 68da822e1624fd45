"""Which signed introspection answers count (RFC 9701 §5): each check violated alone."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.oauth.client import IssuerFailure
from gateway.oauth.jwt import TokenRules
from gateway.oauth.keys import ASYMMETRIC, KeySet, from_jwks, from_secret
from gateway.oauth.signed_introspection import introspection_claims
from tests.issuer import KINDS, encode, public_jwk, signed_by
from tests.world import ISSUER, public_jwks, signing_key

NOW = 1_700_000_000.0
ANSWER = {"active": True, "sub": "u1", "scope": "read"}
CLAIMS: dict[str, Any] = {"iss": ISSUER, "aud": "gateway", "iat": NOW, "token_introspection": ANSWER}
HEADER = {"alg": "RS256", "kid": "k1", "typ": "token-introspection+jwt"}
KEYS = from_jwks(json.loads(public_jwks()))
ABSENT = object()


def changed(members: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**members, **changes}.items() if value is not ABSENT}


def signed(claims: dict[str, Any], header: dict[str, Any] | None = None) -> bytes:
    """An answer of the issuer with these claims and header parameters instead of the good ones."""
    return signed_by("rsa", "RS256", changed(HEADER, header or {}), changed(CLAIMS, claims))


def read(answer: bytes, *, keys: KeySet = KEYS, **changes: Any) -> dict[str, Any]:
    # The lifetime and the audience of access tokens, which have no meaning for answers.
    rules: dict[str, Any] = {
        "audience": frozenset({"api"}),
        "audience_claims": ("client_id",),
        "algorithms": frozenset(ASYMMETRIC),
        "max_lifetime": 1.0,
    }
    return introspection_claims(
        answer, client_id="gateway", rules=TokenRules("corp", ISSUER, **{**rules, **changes}), keys=keys, now=NOW
    )


def failure(answer: bytes, **options: Any) -> str | None:
    """The kind of the failure; None when the answer is good."""
    try:
        read(answer, **options)
    except IssuerFailure as problem:
        return problem.kind if "u1" not in str(problem) else "quoted"
    return None


def test_a_good_answer_gives_what_it_says_of_the_token() -> None:
    assert read(signed({})) == ANSWER


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"iss": ISSUER + "/"}, "issuer"),
        ({"iss": [ISSUER]}, "issuer"),
        ({"iss": ABSENT}, "issuer"),
        ({"aud": "other"}, "audience"),
        ({"aud": "api"}, "audience"),
        ({"aud": ["other", "Gateway", ["gateway"]]}, "audience"),
        ({"aud": ["other", "gateway"]}, None),
        *(({"aud": value}, "claim") for value in (ABSENT, "", 7)),
        *(({"iat": value}, "claim") for value in (ABSENT, None, True, str(NOW))),
        ({"iat": NOW + 30}, None),
        ({"iat": NOW + 31}, "not_yet_valid"),
        ({"iat": NOW - 330}, None),
        ({"iat": NOW - 331}, "replayed"),
        ({"iat": NOW - 331, "exp": NOW + 86_400}, "replayed"),
        ({"nbf": NOW + 31}, "not_yet_valid"),
        ({"exp": NOW - 29}, None),
        ({"exp": NOW - 30}, "expired"),
        ({"exp": None}, "claim"),
        ({"exp": "soon"}, "claim"),
        ({"token_introspection": ABSENT}, "claim"),
        ({"token_introspection": ABSENT, "active": True, "sub": "u1"}, "claim"),
        *(({"token_introspection": value}, "claim") for value in (None, True, [ANSWER], json.dumps(ANSWER))),
    ],
)
def test_each_claim_of_an_answer_is_checked(claims: dict[str, Any], expected: str | None) -> None:
    assert failure(signed(claims)) == expected


@pytest.mark.parametrize("answer", [{}, {"active": False}, {"active": "true"}])
def test_active_beside_the_answer_counts_for_nothing(answer: dict[str, Any]) -> None:
    assert read(signed({"active": True, "token_introspection": answer})) == answer


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"typ": "application/Token-Introspection+JWT"}, None),
        *(({"typ": kind}, "type") for kind in (ABSENT, None, "", "JWT", "at+jwt", "logout+jwt", [HEADER["typ"]])),
        *(({"alg": name}, "algorithm") for name in (ABSENT, None, "none", "HS256", ["RS256"])),
        ({"alg": "ES256"}, "key_unknown"),
        ({"kid": "k2"}, "key_unknown"),
        ({"crit": ["exp"]}, "malformed"),
        ({"kid": 7}, "malformed"),
    ],
)
def test_each_header_parameter_is_checked(header: dict[str, Any], expected: str | None) -> None:
    assert failure(signed({}, header)) == expected


def test_an_access_token_of_the_same_issuer_is_no_answer() -> None:
    token = {"aud": "gateway", "sub": "u1", "scope": "read", "exp": NOW + 300, "active": True}
    assert failure(signed({**token, "token_introspection": ABSENT}, {"typ": "at+jwt"})) == "type"


def test_an_answer_signed_by_another_key_is_refused() -> None:
    for header in (HEADER, {**HEADER, "jwk": public_jwk("other rsa")}):
        assert failure(signed_by("other rsa", "RS256", header, CLAIMS)) == "signature"


@pytest.mark.parametrize("of", ["public key", "secret"])
def test_an_answer_is_never_signed_with_a_shared_secret(of: str) -> None:
    public = signing_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secret = public if of == "public key" else b"s" * 32
    signing_input = encode({**HEADER, "alg": "HS256"}) + b"." + encode(CLAIMS)
    answer = signing_input + b"." + encode(hmac.digest(secret, signing_input, hashlib.sha256))
    keys = KEYS if of == "public key" else from_secret(secret, ["HS256"])
    assert failure(answer, keys=keys, algorithms=frozenset({"HS256", "RS256"})) == "algorithm"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_key_verifies_answers(kind: str) -> None:
    algorithm = KINDS[kind][-1]
    answer = signed_by(kind, algorithm, {**HEADER, "alg": algorithm}, CLAIMS)
    assert failure(answer, keys=from_jwks({"keys": [public_jwk(kind, kid="k1")]})) is None


def test_an_algorithm_that_is_not_configured_is_refused() -> None:
    assert failure(signed({}), algorithms=frozenset({"PS256"})) == "algorithm"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda _: json.dumps({"active": True}).encode(), "malformed"),
        (lambda _: json.dumps(CLAIMS).encode(), "malformed"),
        (lambda _: b"", "malformed"),
        (lambda _: b"<html>\xff", "malformed"),
        (lambda answer: answer + b"\n", "malformed"),
        (lambda answer: answer + b".e.f", "encrypted"),
        (lambda answer: answer.rpartition(b".")[0] + b".", "signature"),
    ],
    ids=["plain JSON", "claims alone", "nothing", "page", "more", "encrypted", "unsigned"],
)
def test_what_is_no_signed_jwt_is_refused(damage: Callable[[bytes], bytes], expected: str) -> None:
    assert failure(damage(signed({}))) == expected


@pytest.mark.parametrize(
    ("once", "twice"),
    [
        ('"active": true', '"active": false, "active": true'),
        ('"aud": "gateway"', '"aud": "x", "aud": "gateway"'),
        ('"token_introspection":', '"token_introspection": {}, "token_introspection":'),
        (f'"iat": {NOW}', '"iat": 1e400'),
    ],
)
def test_an_answer_that_can_be_read_in_two_ways_is_refused(once: str, twice: str) -> None:
    payload = json.dumps(CLAIMS)
    assert once in payload
    answer = signed_by("rsa", "RS256", HEADER, payload.replace(once, twice).encode())
    assert failure(answer) == ("claim" if "1e400" in twice else "malformed")
