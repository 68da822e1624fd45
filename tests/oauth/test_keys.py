"""Which keys of a published set count: one bad key is skipped and the others work."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from gateway.oauth.jose import Malformed
from gateway.oauth.keys import from_jwks, from_secret
from tests.issuer import private_key, public_jwk
from tests.world import public_jwks

GOOD = json.loads(public_jwks())["keys"][0]
EC = public_jwk("P-256")
ED448 = public_jwk("Ed448")


def other_rsa_jwk() -> dict[str, Any]:
    return public_jwk("other rsa")


def small_rsa() -> dict[str, Any]:
    return dict(RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True))


@pytest.mark.parametrize(
    "bad",
    [
        {**GOOD, "d": "AQAB"},
        {"kty": "oct", "k": "c2VjcmV0"},
        {**GOOD, "use": "enc"},
        {**GOOD, "use": ["sig"]},
        {**GOOD, "key_ops": ["encrypt"]},
        {**GOOD, "key_ops": "verify"},
        {**GOOD, "kid": 7},
        {**GOOD, "alg": "ES256"},
        {**GOOD, "alg": "RSA-OAEP"},
        {**GOOD, "alg": ["RS256"]},
        {**GOOD, "n": "%%%"},
        {**GOOD, "n": 5},
        {**GOOD, "e": "AA"},
        {**GOOD, "e": "Ag"},
        {**GOOD, "e": "Aw"},
        {**GOOD, "e": "AQAC"},
        {**GOOD, "use": None},
        {**GOOD, "key_ops": []},
        {**GOOD, "key_ops": ["sign"]},
        {**GOOD, "alg": "HS256"},
        {**GOOD, "alg": "none"},
        {**GOOD, "alg": "EdDSA"},
        {**GOOD, "kty": "EC"},
        {**GOOD, "kty": "oct"},
        {**ED448, "crv": "Ed25519"},
        {**ED448, "alg": "Ed25519"},
        {**ED448, "d": "AA"},
        OKPAlgorithm.to_jwk(private_key("Ed25519"), as_dict=True),
        ECAlgorithm.to_jwk(private_key("P-256"), as_dict=True),
        RSAAlgorithm.to_jwk(private_key("other rsa"), as_dict=True),
        {**GOOD, "k": "AA"},
        {**EC, "alg": "ES384"},
        {**EC, "x": EC["x"][:-3]},
        {**EC, "y": None},
        {"kty": "RSA"},
        {"kty": "EC", "crv": "P-256", "x": EC["x"]},
        {**EC, "x": EC["y"]},
        {**EC, "crv": "P-384"},
        {**EC, "crv": "secp256k1"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": GOOD["n"][:43]},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
        {"kty": ["RSA"]},
        {},
        7,
        None,
        "key",
    ],
)
def test_a_bad_key_is_skipped_and_the_good_one_works(bad: Any) -> None:
    keys = from_jwks({"keys": [bad, GOOD]})
    assert [key.kid for key in keys.keys] == ["k1"]
    assert len(keys.skipped) == 1
    assert keys.skipped[0].startswith("keys[0]: ")


def test_an_rsa_key_below_2048_bits_is_skipped() -> None:
    assert from_jwks({"keys": [small_rsa()]}).keys == ()


@pytest.mark.parametrize("curve", ["Ed25519", "Ed448"])
@pytest.mark.parametrize("alg", [None, "EdDSA", "own"])
def test_an_edwards_key_goes_with_eddsa_and_the_name_of_its_curve(curve: str, alg: str | None) -> None:
    members = {} if alg is None else {"alg": curve if alg == "own" else alg}
    (key,) = from_jwks({"keys": [public_jwk(curve, **members)]}).keys
    assert key.algorithms == {"EdDSA", curve}


@pytest.mark.parametrize("document", [{}, {"keys": {}}, {"keys": None}, {"keys": "x"}])
def test_what_is_no_key_set_is_malformed(document: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        from_jwks(document)


def test_unknown_members_are_ignored() -> None:
    assert len(from_jwks({"keys": [{**GOOD, "x5t": "x", "new": [1]}], "more": True}).keys) == 1


def test_a_key_is_chosen_by_kid_and_algorithm() -> None:
    keys = from_jwks({"keys": [GOOD, {**EC, "kid": "e"}, {**other_rsa_jwk(), "kid": "o"}]})
    assert [key.kid for key in keys.candidates("k1", "RS256")] == ["k1"]
    assert keys.candidates("k1", "PS256") == ()  # its alg says RS256
    assert [key.kid for key in keys.candidates(None, "RS256")] == ["k1", "o"]
    assert keys.candidates("absent", "RS256") == ()
    assert keys.candidates("e", "RS256") == ()


def test_the_same_keys_have_the_same_fingerprint_whatever_the_order_of_members() -> None:
    first = from_jwks({"keys": [GOOD]})
    assert first.fingerprint == from_jwks({"keys": [dict(reversed(GOOD.items()))], "x": 1}).fingerprint
    assert first.fingerprint != from_jwks({"keys": [other_rsa_jwk()]}).fingerprint


def test_a_key_without_a_name_comes_after_those_that_bear_it_and_all_are_bounded() -> None:
    keys = from_jwks({"keys": [public_jwk("rsa")] * 9 + [GOOD]})
    assert [key.kid for key in keys.candidates("k1", "RS256")] == ["k1"] + [None] * 7
    assert len(keys.candidates(None, "RS256")) == 8
    assert (keys.has("k1"), keys.has("k2"), keys.has(None)) == (True, False, False)


def test_a_set_nested_beyond_measure_is_malformed() -> None:
    deep: Any = GOOD
    for _ in range(100_000):
        deep = {"x": deep}
    with pytest.raises(Malformed):
        from_jwks({"keys": [deep]})


@pytest.mark.parametrize(
    "secret",
    [
        b"",
        b"x" * 31,
        b"ssh-rsa " + b"A" * 64,
        b"-----BEGIN PUBLIC KEY-----\n" + b"A" * 64 + b"\n-----END PUBLIC KEY-----",
    ],
)
def test_what_is_no_shared_secret_is_refused(secret: bytes) -> None:
    with pytest.raises(Malformed):
        from_secret(secret, ["HS256"])


def test_a_shared_secret_goes_with_no_other_algorithm() -> None:
    (key,) = from_secret(b"x" * 32, ["HS256", "RS256", "none"]).keys
    assert key.algorithms == {"HS256"}


def test_no_key_shows_its_material() -> None:
    assert "secret" not in repr(from_secret(b"secret" * 6, ["HS256"]))
