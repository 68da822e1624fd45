"""The checks of an access token, each violated alone (RFC 7519 §7.2, RFC 8725, RFC 9068)."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.oauth import jwt
from gateway.oauth.keys import ASYMMETRIC, EDWARDS, KeySet, from_jwks, from_secret
from gateway.oauth.tokens import Token
from tests.issuer import KINDS, encode, private_key, public_jwk, signed_by
from tests.world import ISSUER, public_jwks, signing_key

NOW = 1_700_000_000.0
CLAIMS = {"iss": ISSUER, "aud": "orders-api", "sub": "u1", "iat": NOW, "exp": NOW + 300}
HEADER = {"alg": "RS256", "kid": "k1", "typ": "at+jwt"}
KEYS = from_jwks(json.loads(public_jwks()))


def rules(**changes: Any) -> jwt.TokenRules:
    defaults: dict[str, Any] = {"audience": frozenset({"orders-api"}), "algorithms": frozenset(ASYMMETRIC)}
    return jwt.TokenRules(**{"name": "corp", "issuer": ISSUER, **defaults, **changes})


def signed(header: bytes | dict[str, Any], claims: bytes | dict[str, Any]) -> bytes:
    """A token with exactly this header and payload, signed by the issuer's key."""
    return signed_by("rsa", "RS256", header, claims)


def verify(token: bytes, *, now: float = NOW, keys: KeySet = KEYS, **changes: Any) -> Token:
    return jwt.verify(jwt.parse(token), rules(**changes), keys, now)


def reason(token: bytes, **options: Any) -> str | None:
    """The reason of the refusal; None when the token is good."""
    try:
        verify(token, **options)
    except GatewayError as error:
        # Anything else than a 401 is a fault of ours.
        return error.reason.name if error.reason.status == 401 else f"status {error.reason.status}"
    return None


def test_a_good_token_is_verified_with_its_scopes() -> None:
    token = verify(signed(HEADER, {**CLAIMS, "scope": "a b"}))
    assert (token.issuer, token.subject) == ("corp", "u1")
    assert token.scopes == {"a", "b"}
    assert (token.expires_at, token.key_id) == (NOW + 330, "k1")


@pytest.mark.parametrize(
    ("claim", "value", "expected"),
    [
        ("exp", NOW - 29, None),
        ("exp", NOW - 30, "token_expired"),
        ("exp", None, "claim_invalid"),
        ("nbf", NOW + 30, None),
        ("nbf", NOW + 31, "token_not_yet_valid"),
        ("iat", NOW + 30, None),
        ("iat", NOW + 31, "token_not_yet_valid"),
        ("iss", ISSUER + "/", "issuer_unknown"),
        ("iss", ISSUER.upper(), "issuer_unknown"),
        ("iss", "https://login", "issuer_unknown"),
        ("iss", [ISSUER], "issuer_unknown"),
        ("aud", ["other", 1, None, ["orders-api"], "orders-api"], None),
        ("aud", ["other", 1, None, ["orders-api"]], "audience_mismatch"),
        ("aud", "orders-api ", "audience_mismatch"),
        ("aud", "ORDERS-API", "audience_mismatch"),
        ("aud", "orders", "audience_mismatch"),
        ("aud", {"orders-api": 1}, "claim_invalid"),
        ("aud", [], "claim_invalid"),
        ("aud", "", "claim_invalid"),
        ("aud", None, "claim_invalid"),
        ("sub", None, "claim_invalid"),
        ("sub", "", "claim_invalid"),
        ("sub", 7, "claim_invalid"),
        ("at_hash", "x", "token_type_refused"),
        ("c_hash", "x", "token_type_refused"),
        ("events", {}, "token_type_refused"),
        ("typ", "ID", "token_type_refused"),
        ("typ", "Refresh", "token_type_refused"),
        ("typ", "Bearer", None),
        ("typ", "DPoP", None),
        ("nonce", "n", None),
    ],
)
def test_each_claim_is_checked(claim: str, value: Any, expected: str | None) -> None:
    claims = {**CLAIMS, claim: value}
    if value is None:
        del claims[claim]
    assert reason(signed(HEADER, claims)) == expected


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["1700000300", True, False, None, [], {}, "NaN"])
def test_a_date_that_is_no_number_is_refused(claim: str, value: Any) -> None:
    assert reason(signed(HEADER, {**CLAIMS, claim: value})) == "claim_invalid"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("NaN", "token_malformed"),
        ("Infinity", "token_malformed"),
        ("-Infinity", "token_malformed"),
        ("1e400", "claim_invalid"),
        ("9" * 5000, "claim_invalid"),
        ("-" + "9" * 400, "claim_invalid"),
        ("1e300", None),
        ("9" * 99, None),
        ("-1", "token_expired"),
        ("1700000299.5", None),
    ],
)
def test_a_date_is_a_finite_number(number: str, expected: str | None) -> None:
    claims = json.dumps(CLAIMS).replace(str(NOW + 300), number).encode()
    assert number.encode() in claims
    assert reason(signed(HEADER, claims)) == expected


def test_a_number_beyond_all_measure_in_the_header_is_malformed() -> None:
    assert reason(signed(b'{"alg":"RS256","x":1e400}', CLAIMS)) == "token_malformed"


@pytest.mark.parametrize(
    ("required", "claims", "expected"),
    [
        (("tenant",), {}, "claim_invalid"),
        (("tenant",), {"tenant": None}, "claim_invalid"),
        (("tenant",), {"tenant": ""}, "claim_invalid"),
        (("tenant",), {"tenant": []}, "claim_invalid"),
        (("tenant",), {"tenant": {}}, "claim_invalid"),
        (("tenant",), {"tenant": 0}, None),
        (("tenant",), {"tenant": False}, None),
        (("realm.roles",), {"realm": {"roles": ["a"]}}, None),
        (("realm.roles",), {"realm": {"roles": []}}, "claim_invalid"),
        (("https://x.example/a.b",), {"https://x.example/a.b": "c"}, None),
        ((), {"sub": None}, None),
        ((), {"sub": 7}, "claim_invalid"),
    ],
)
def test_a_required_claim_is_there_and_not_empty(
    required: tuple[str, ...], claims: dict[str, Any], expected: str | None
) -> None:
    assert reason(signed(HEADER, {**CLAIMS, **claims}), required_claims=required) == expected


@pytest.mark.parametrize(
    ("claims", "expected"), [({}, None), ({"aud": None}, "claim_invalid"), ({"aud": [7]}, "claim_invalid")]
)
def test_where_any_audience_will_do_there_has_to_be_one(claims: dict[str, Any], expected: str | None) -> None:
    assert reason(signed(HEADER, {**CLAIMS, "aud": "other", **claims}), audience=None) == expected


@pytest.mark.parametrize(
    ("claims", "audience_claims", "expected"),
    [
        ({"aud": None, "client_id": "orders-api"}, ("client_id",), None),
        ({"aud": None, "client_id": "other"}, ("client_id",), "audience_mismatch"),
        ({"client_id": "other"}, ("client_id",), "audience_mismatch"),
        ({"aud": None}, ("client_id",), "claim_invalid"),
        ({"client_id": "other"}, ("aud", "client_id"), None),
        ({"aud": "other", "client_id": "orders-api"}, ("aud", "client_id"), "audience_mismatch"),
        ({"aud": None, "client_id": "orders-api"}, ("aud", "client_id"), None),
        ({"aud": None, "cid": {"api": ["orders-api"]}}, ("cid.api",), None),
    ],
)
def test_the_first_audience_claim_that_is_present_counts(
    claims: dict[str, Any], audience_claims: tuple[str, ...], expected: str | None
) -> None:
    assert reason(signed(HEADER, {**CLAIMS, **claims}), audience_claims=audience_claims) == expected


def test_a_token_knows_whom_it_is_for() -> None:
    assert verify(signed(HEADER, {**CLAIMS, "aud": ["orders-api", 7]})).audience == {"orders-api"}
    token = signed(HEADER, {**CLAIMS, "client_id": "orders-api"})
    assert verify(token, audience_claims=("client_id",)).audience == {"orders-api"}


@pytest.mark.parametrize(
    ("typ", "token_type", "expected"),
    [
        ("at+jwt", "access", None),
        ("AT+JWT", "access", None),
        ("application/at+jwt", "at+jwt", None),
        ("JWT", "access", None),
        ("JWT", "at+jwt", "token_type_refused"),
        (None, "access", None),
        (None, "at+jwt", "token_type_refused"),
        ("at+jwt;x=y", "access", "token_type_refused"),
        ("logout+jwt", "access", "token_type_refused"),
        ("dpop+jwt", "access", "token_type_refused"),
        ("token-introspection+jwt", "access", "token_type_refused"),
        (7, "access", "token_type_refused"),
        ("logout+jwt", "any", None),
        (7, "any", None),
    ],
)
def test_only_an_access_token_is_one(typ: Any, token_type: str, expected: str | None) -> None:
    header = {"alg": "RS256", "kid": "k1", **({} if typ is None else {"typ": typ})}
    assert reason(signed(header, CLAIMS), token_type=token_type) == expected


def test_a_nonce_marks_an_id_token_unless_something_says_access_token() -> None:
    plain = {"alg": "RS256", "kid": "k1", "typ": "JWT"}
    assert reason(signed(plain, {**CLAIMS, "nonce": "n"})) == "token_type_refused"
    assert reason(signed(plain, {**CLAIMS, "nonce": "n", "typ": "Bearer"})) is None


@pytest.mark.parametrize(
    ("lifetime", "changes", "expected"),
    [(300, {}, None), (299, {}, "claim_invalid"), (300, {"iat": None}, "claim_invalid"), (0, {"iat": None}, None)],
)
def test_a_lifetime_may_be_bounded(lifetime: float, changes: dict[str, Any], expected: str | None) -> None:
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}
    assert reason(signed(HEADER, claims), max_lifetime=lifetime) == expected


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "RS256", "crit": []},
        {"alg": "RS256", "crit": ["exp"], "exp": 1},
        {"alg": "RS256", "b64": False},
        {"alg": "RS256", "b64": True},
        {"alg": "RS256", "zip": "DEF"},
        {"alg": "RS256", "kid": 7},
        {"alg": "RS256", "kid": None},
        b'{"alg":"RS256","alg":"RS256"}',
        b'{"alg":"none","alg":"RS256"}',
        b"[]",
        b"null",
        b"",
        b'\xef\xbb\xbf{"alg":"RS256"}',
        '{"alg":"RS256"}'.encode("utf-16"),
        b'{"alg":"RS256","x":"\xff"}',
        b'{"alg":"RS256","x":"\\ud800"}',
        b'{"alg":"RS256","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"alg":"RS256"} x',
    ],
)
def test_a_header_that_is_not_plain_is_malformed(header: bytes | dict[str, Any]) -> None:
    assert reason(signed(header, CLAIMS)) == "token_malformed"


@pytest.mark.parametrize(
    "token",
    [b"", b".", b"..", b"...", b"a.b", b"a.b.c.d", b"a.b.c.d.e", b"." * 1_000_000, b'{"payload":"x"}', b"a b.c.d"],
)
def test_what_has_not_three_parts_is_malformed(token: bytes) -> None:
    assert reason(token) == "token_malformed"


@pytest.mark.parametrize("change", [b"=", b"\n", b" ", b"+", b"/", b"!"])
def test_no_foreign_character_may_stand_in_a_token(change: bytes) -> None:
    good = signed(HEADER, CLAIMS)
    for position in (0, 5, good.index(b".") + 3, len(good)):
        assert reason(good[:position] + change + good[position:]) == "token_malformed"


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "RS1", "", "rs256", None, 7, ["RS256"]])
def test_an_algorithm_that_is_not_allowed_is_refused(algorithm: Any) -> None:
    assert reason(signed({**HEADER, "alg": algorithm}, CLAIMS)) == "algorithm_refused"


def test_a_public_key_is_never_an_hmac_secret() -> None:
    pem = (
        signing_key()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    signing_input = encode({**HEADER, "alg": "HS256"}) + b"." + encode(CLAIMS)
    forged = signing_input + b"." + encode(hmac.digest(pem, signing_input, hashlib.sha256))
    assert reason(forged) == "algorithm_refused"
    assert reason(forged, algorithms=frozenset({"HS256", "RS256"})) == "key_unknown"


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c"])
def test_a_key_that_the_token_brings_along_is_never_used(name: str) -> None:
    value = public_jwk("P-256") if name == "jwk" else "https://x"
    token = signed_by("P-256", "ES256", {"alg": "ES256", "kid": "k1", name: value}, CLAIMS)
    assert reason(token) == "key_unknown"


def keys_of_all_kinds() -> KeySet:
    return from_jwks({"keys": [public_jwk(kind, kid=kind) for kind in KINDS]})


@pytest.mark.parametrize("algorithm", sorted({*ASYMMETRIC, *EDWARDS}))
@pytest.mark.parametrize("named", [*KINDS, None])
def test_an_algorithm_goes_with_its_own_kind_of_key_alone(algorithm: str, named: str | None) -> None:
    header = {"alg": algorithm} if named is None else {"alg": algorithm, "kid": named}
    for kind in (kind for kind, algorithms in KINDS.items() if algorithm in algorithms):
        expected = None
        if named is not None and algorithm not in KINDS[named]:
            expected = "key_unknown"
        elif named is not None and named != kind:
            expected = "signature_invalid"  # EdDSA on the other curve
        assert reason(signed_by(kind, algorithm, header, CLAIMS), keys=keys_of_all_kinds()) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_header_says_of_the_algorithm_has_to_be_true(kind: str) -> None:
    for algorithm in sorted({*ASYMMETRIC, *EDWARDS} - set(KINDS[kind])):
        token = signed_by(kind, KINDS[kind][0], {"alg": algorithm}, CLAIMS)
        assert reason(token, keys=keys_of_all_kinds()) == "signature_invalid"


@pytest.mark.parametrize("algorithm", sorted({*ASYMMETRIC, *EDWARDS}))
def test_an_algorithm_that_the_issuer_does_not_use_is_refused(algorithm: str) -> None:
    own = {"EdDSA"} if algorithm in EDWARDS else {algorithm}
    kind = next(kind for kind, algorithms in KINDS.items() if algorithm in algorithms)
    token = signed_by(kind, algorithm, {"alg": algorithm}, CLAIMS)
    assert reason(token, keys=keys_of_all_kinds(), algorithms=frozenset(ASYMMETRIC) - own) == "algorithm_refused"
    assert reason(token, keys=keys_of_all_kinds(), algorithms=frozenset(own)) is None


@pytest.mark.parametrize(
    "signature", [b"", bytes(64), bytes(63), bytes(65), b"\xff" * 64, bytes(63) + b"\1", b"0\6\2\1\1\2\1\1"]
)
def test_a_signature_that_no_key_made_is_invalid(signature: bytes) -> None:
    for kind, algorithm in (("P-256", "ES256"), ("Ed25519", "EdDSA"), ("rsa", "RS256"), ("rsa", "PS256")):
        token = encode({"alg": algorithm, "kid": kind}) + b"." + encode(CLAIMS) + b"." + encode(signature)
        assert reason(token, keys=keys_of_all_kinds()) == "signature_invalid"


def test_an_ecdsa_signature_in_der_is_invalid() -> None:
    signing_input = encode({"alg": "ES256", "kid": "P-256"}) + b"." + encode(CLAIMS)
    der = private_key("P-256").sign(signing_input, ec.ECDSA(hashes.SHA256()))
    assert reason(signing_input + b"." + encode(der), keys=keys_of_all_kinds()) == "signature_invalid"


@pytest.mark.parametrize(("salt", "expected"), [(32, None), (0, "signature_invalid"), (64, "signature_invalid")])
def test_a_pss_salt_is_as_long_as_the_hash(salt: int, expected: str | None) -> None:
    signing_input = encode({"alg": "PS256", "kid": "rsa"}) + b"." + encode(CLAIMS)
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
    signature = private_key("rsa").sign(signing_input, scheme, hashes.SHA256())
    assert reason(signing_input + b"." + encode(signature), keys=keys_of_all_kinds()) == expected


def test_a_key_without_a_name_is_tried_whatever_name_the_token_gives() -> None:
    unnamed = from_jwks({"keys": [public_jwk("rsa")]})
    assert reason(signed(HEADER, CLAIMS), keys=unnamed) is None
    other = from_jwks({"keys": [public_jwk("other rsa")]})
    assert reason(signed(HEADER, CLAIMS), keys=other) == "signature_invalid"


def test_keys_of_one_issuer_verify_nothing_of_another() -> None:
    other = from_jwks({"keys": [public_jwk("P-256", kid="k1")]})
    assert reason(signed(HEADER, CLAIMS), keys=other) == "key_unknown"


def test_several_keys_with_one_kid_are_all_tried_but_not_more_than_eight() -> None:
    good = json.loads(public_jwks())["keys"][0]
    wrong = public_jwk("other rsa", kid="k1")
    assert reason(signed(HEADER, CLAIMS), keys=from_jwks({"keys": [wrong] * 7 + [good]})) is None
    assert reason(signed(HEADER, CLAIMS), keys=from_jwks({"keys": [wrong] * 8 + [good]})) == "signature_invalid"


def test_a_shared_secret_verifies_hmac_and_nothing_else() -> None:
    secret = "s" * 32
    allowed = frozenset({"HS256"})
    keys = from_secret(secret.encode(), allowed)
    assert reason(pyjwt.encode(CLAIMS, secret, "HS256").encode(), keys=keys, algorithms=allowed) is None
    assert (
        reason(pyjwt.encode(CLAIMS, "t" * 32, "HS256").encode(), keys=keys, algorithms=allowed) == "signature_invalid"
    )
    named = pyjwt.encode(CLAIMS, secret, "HS256", headers={"kid": "any"})
    assert reason(named.encode(), keys=keys, algorithms=allowed) is None
    assert reason(signed(HEADER, CLAIMS), keys=keys, algorithms=allowed) == "algorithm_refused"


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"scope": "a b"}, {"a", "b"}),
        ({"scp": ["a", "b c", 7, ""]}, {"a"}),
        ({"scope": "", "scp": "x"}, set()),
        ({"scope": None, "scp": "x"}, {"x"}),
        ({"scope": 7, "scp": "x"}, set()),
        ({"scope": "a\tb\u2003c"}, {"a\tb\u2003c"}),
        ({"realm": {"roles": ["r"]}}, {"r"}),
    ],
)
def test_scopes_come_from_the_first_claim_that_is_there(claims: dict[str, Any], expected: set[str]) -> None:
    token = verify(signed(HEADER, {**CLAIMS, **claims}), scope_claims=("scope", "scp", "realm.roles"))
    assert token.scopes == expected


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=200) | st.lists(st.binary(max_size=60).map(lambda part: encode(part)), max_size=5).map(b".".join)
)
def test_any_bytes_are_refused_and_never_break_anything(token: bytes) -> None:
    assert reason(token) is not None


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_change_of_a_good_token_is_accepted(data: st.DataObject) -> None:
    good = GOOD
    position = data.draw(st.integers(0, len(good) - 1))
    changed = good[:position] + bytes([data.draw(st.integers(0, 255))]) + good[position + 1 :]
    assert (reason(changed) is None) is (changed == good)


GOOD = signed(HEADER, CLAIMS)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "scope", "typ", "nonce", "client_id"]), json_values
    ),
    st.dictionaries(st.sampled_from(["typ", "kid", "cty", "alg"]), json_values, max_size=2),
)
def test_a_well_signed_token_with_odd_content_is_good_or_refused(
    claims: dict[str, Any], header: dict[str, Any]
) -> None:
    assert not str(reason(signed({**HEADER, **header}, {**CLAIMS, **claims}))).startswith("status")
