"""Which JWTs end a session: each check of OpenID Connect Back-Channel Logout 1.0 §2.6 violated alone."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.oauth import jwt, logout_token
from gateway.oauth.keys import ASYMMETRIC, KeySet, from_jwks, from_secret
from gateway.oauth.logout_token import EVENT, LogoutToken
from tests.issuer import encode, public_jwk, signed_by
from tests.world import ISSUER, public_jwks, signing_key

NOW = 1_700_000_000.0
DAY = 86_400
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "gateway",
    "iat": NOW,
    "exp": NOW + 120,
    "jti": "j1",
    "events": {EVENT: {}},
    "sub": "u1",
    "sid": "s1",
}
HEADER = {"alg": "RS256", "kid": "k1", "typ": "logout+jwt"}
KEYS = from_jwks(json.loads(public_jwks()))
AUDIENCE = frozenset({"orders-api", "gateway"})
ABSENT = object()


def with_claims(changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**CLAIMS, **changes}.items() if value is not ABSENT}


def signed(changes: dict[str, Any], header: dict[str, Any] | None = None) -> bytes:
    """A logout token of the issuer with these claims instead of the good ones."""
    return signed_by("rsa", "RS256", header or HEADER, with_claims(changes))


def verify(
    token: bytes, *, audience: frozenset[str] | None = AUDIENCE, keys: KeySet = KEYS, now: float = NOW, **changes: Any
) -> LogoutToken:
    rules = jwt.TokenRules(
        **{"name": "corp", "issuer": ISSUER, "audience": None, "algorithms": frozenset(ASYMMETRIC), **changes}
    )
    return logout_token.verify(token, rules, audience, keys, now)


def reason(token: bytes, **options: Any) -> str | None:
    """The reason of the refusal; None when the token is good."""
    try:
        verify(token, **options)
    except GatewayError as error:
        # Anything else than a 401 is a fault of ours.
        return error.reason.name if error.reason.status == 401 else f"status {error.reason.status}"
    return None


def test_a_good_token_says_what_ends() -> None:
    assert verify(signed({})) == LogoutToken("corp", "u1", "s1", "j1", NOW, NOW + 120)


def test_a_token_shows_nobody_in_a_log() -> None:
    shown = repr(verify(signed({"sub": "alice", "sid": "session", "jti": "number"})))
    assert not any(value in shown for value in ("alice", "session'", "number"))


@pytest.mark.parametrize(
    ("changes", "subject", "session"),
    [({"sid": ABSENT}, "u1", None), ({"sub": ABSENT}, None, "s1"), ({}, "u1", "s1")],
)
def test_a_subject_or_a_session_suffices(changes: dict[str, Any], subject: str | None, session: str | None) -> None:
    token = verify(signed(changes))
    assert (token.subject, token.session_id) == (subject, session)


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": ABSENT, "sid": ABSENT},
        *({name: value} for name in ("sub", "sid", "jti") for value in ("", 7, None, ["u1"], {"u1": 1}, True)),
        {"jti": ABSENT},
        *({"nonce": value} for value in ("n", "", None)),
        *({"events": events} for events in (ABSENT, None, {}, [], EVENT, [EVENT])),
        {"events": {EVENT: None}},
        {"events": {EVENT: []}},
        {"events": {EVENT: "{}"}},
        *({"events": {name: {}}} for name in (EVENT + "/", EVENT.upper(), EVENT.replace("back", "front"))),
        *({"aud": value} for value in (ABSENT, "", [], 7)),
        *({name: value} for name in ("iat", "exp") for value in (ABSENT, None, True, str(NOW))),
        {"nbf": "now"},
    ],
)
def test_a_claim_that_is_missing_or_of_another_form_is_refused(changes: dict[str, Any]) -> None:
    assert reason(signed(changes)) == "claim_invalid"


def test_its_audience_is_aud_whatever_claim_access_tokens_have_instead() -> None:
    assert reason(signed({"client_id": "other"}), audience_claims=("client_id",)) is None
    token = signed({"aud": "other", "client_id": "gateway"})
    assert reason(token, audience_claims=("client_id",)) == "audience_mismatch"


@pytest.mark.parametrize(
    "changes",
    [
        {"events": {EVENT: {"reason": "password changed"}, "https://example.com/other": {}}},
        {"typ": "Logout"},
        {"trace_id": "t", "toe": NOW},
    ],
)
def test_what_the_specification_does_not_forbid_is_accepted(changes: dict[str, Any]) -> None:
    assert reason(signed(changes)) is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"iss": ISSUER + "/"}, "issuer_unknown"),
        ({"iss": "https://other.example.com"}, "issuer_unknown"),
        ({"iss": [ISSUER]}, "issuer_unknown"),
        ({"iss": ABSENT}, "issuer_unknown"),
        ({"aud": "other"}, "audience_mismatch"),
        ({"aud": ["other", "GATEWAY", ["gateway"]]}, "audience_mismatch"),
        ({"aud": ["other", "gateway"]}, None),
        ({"aud": "orders-api"}, None),
    ],
)
def test_a_token_of_another_issuer_or_for_another_audience_is_refused(
    changes: dict[str, Any], expected: str | None
) -> None:
    assert reason(signed(changes)) == expected


def test_where_any_audience_is_accepted_it_has_to_be_there() -> None:
    assert reason(signed({"aud": "other"}), audience=None) is None
    assert [reason(signed({"aud": aud}), audience=None) for aud in (ABSENT, "", [], 7)] == ["claim_invalid"] * 4


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"iat": NOW - 149, "exp": NOW - 29}, None),
        ({"iat": NOW - 150, "exp": NOW - 30}, "token_expired"),
        ({"iat": NOW + 30}, None),
        ({"iat": NOW + 31}, "token_not_yet_valid"),
        ({"nbf": NOW + 31}, "token_not_yet_valid"),
        ({"iat": NOW - 600, "exp": NOW - 480}, "token_expired"),
        ({"exp": NOW + DAY}, None),
        ({"exp": NOW + DAY + 1}, "claim_invalid"),
        ({"exp": 1e300}, "claim_invalid"),
        ({"iat": NOW - 3 * 365 * DAY}, "claim_invalid"),
        ({"iat": 0}, "claim_invalid"),
    ],
)
def test_a_token_counts_in_its_time_alone(changes: dict[str, Any], expected: str | None) -> None:
    assert reason(signed(changes)) == expected


def test_what_is_configured_for_access_tokens_does_not_keep_a_session_open() -> None:
    assert reason(signed({}), max_lifetime=60.0, required_claims=("tenant",), token_type="at+jwt") is None


@pytest.mark.parametrize("kind", ["logout+jwt", "Application/Logout+JWT", "JWT", "jwt", ABSENT])
def test_the_types_of_a_logout_token(kind: Any) -> None:
    header = {name: value for name, value in {**HEADER, "typ": kind}.items() if value is not ABSENT}
    assert reason(signed({}, header)) is None


@pytest.mark.parametrize(
    "kind",
    [
        *("at+jwt", "application/at+jwt", "dpop+jwt", "token-introspection+jwt", "client-authentication+jwt"),
        *("secevent+jwt", "logout+jwt ", "application/application/logout+jwt", "", None, ["logout+jwt"]),
    ],
)
def test_another_kind_of_token_is_refused_by_its_type(kind: Any) -> None:
    assert reason(signed({}, {**HEADER, "typ": kind})) == "token_type_refused"


@pytest.mark.parametrize(
    "claims",
    [
        {"events": ABSENT, "scope": "read", "client_id": "app"},
        {"events": ABSENT, "typ": "Bearer"},
        {"events": ABSENT, "nonce": "n", "at_hash": "h"},
        {"events": ABSENT, "at_hash": "h", "auth_time": NOW},
    ],
    ids=["access token", "access token of Keycloak", "ID token", "ID token without nonce"],
)
@pytest.mark.parametrize("header", [HEADER, {**HEADER, "typ": "JWT"}])
def test_no_other_token_of_the_issuer_is_a_logout_token(claims: dict[str, Any], header: dict[str, Any]) -> None:
    assert reason(signed(claims, header)) == "claim_invalid"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"alg": "none"}, "algorithm_refused"),
        ({"alg": "None"}, "algorithm_refused"),
        ({"alg": ["RS256"]}, "algorithm_refused"),
        ({"alg": None}, "algorithm_refused"),
        ({"alg": "HS256"}, "algorithm_refused"),
        ({"alg": "ES256"}, "key_unknown"),
        ({"kid": "k2"}, "key_unknown"),
        ({"crit": ["exp"]}, "token_malformed"),
    ],
)
def test_only_the_issuers_algorithms_and_keys_count(changes: dict[str, Any], expected: str) -> None:
    assert reason(signed({}, {**HEADER, **changes})) == expected


def test_a_signature_by_another_key_is_refused() -> None:
    for header in (HEADER, {**HEADER, "jwk": public_jwk("other rsa")}):
        assert reason(signed_by("other rsa", "RS256", header, CLAIMS)) == "signature_invalid"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda token: token.rpartition(b".")[0] + b".", "signature_invalid"),
        (lambda token: token + b".", "token_malformed"),
        (lambda token: b" " + token, "token_malformed"),
        (lambda _: b"a.b.c.d.e", "token_malformed"),
        (lambda _: json.dumps(CLAIMS).encode(), "token_malformed"),
        (lambda _: b"", "token_malformed"),
    ],
    ids=["unsigned", "one part more", "blank", "encrypted", "plain JSON", "nothing"],
)
def test_what_is_no_whole_token_is_refused(damage: Callable[[bytes], bytes], expected: str) -> None:
    assert reason(damage(signed({}))) == expected


def test_the_public_key_is_no_shared_secret() -> None:
    secret = signing_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signing_input = encode({**HEADER, "alg": "HS256"}) + b"." + encode(CLAIMS)
    token = signing_input + b"." + encode(hmac.digest(secret, signing_input, hashlib.sha256))
    assert reason(token) == "algorithm_refused"
    assert reason(token, algorithms=frozenset({"RS256", "HS256"})) == "key_unknown"


def test_an_issuer_with_a_shared_secret_can_end_sessions() -> None:
    signing_input = encode({"alg": "HS256"}) + b"." + encode(CLAIMS)
    token = signing_input + b"." + encode(hmac.digest(b"s" * 32, signing_input, hashlib.sha256))
    keys = from_secret(b"s" * 32, ["HS256"])
    assert reason(token, keys=keys, algorithms=frozenset({"HS256"})) is None


@pytest.mark.parametrize(
    ("once", "twice"),
    [
        ('"sub": "u1"', '"sub": "u2", "sub": "u1"'),
        (f'"iss": "{ISSUER}"', f'"iss": "x", "iss": "{ISSUER}"'),
        (f'"{EVENT}": {{}}', f'"{EVENT}": [], "{EVENT}": {{}}'),
    ],
)
def test_duplicate_names_are_refused(once: str, twice: str) -> None:
    payload = json.dumps(CLAIMS)
    assert once in payload
    assert reason(signed_by("rsa", "RS256", HEADER, payload.replace(once, twice).encode())) == "token_malformed"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(CLAIMS)), _JSON, min_size=1))
def test_a_token_with_any_values_is_good_or_refused(changes: dict[str, Any]) -> None:
    token = signed_by("Ed25519", "EdDSA", {"alg": "EdDSA"}, json.dumps({**CLAIMS, **changes}).encode())
    reason(token, keys=from_jwks({"keys": [public_jwk("Ed25519")]}))
