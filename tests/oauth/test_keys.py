"""Which keys of a published set count: one bad key is skipped and the others work."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from gateway.oauth.jose import Malformed
from gateway.oauth.keys import from_jwks, from_secret
from tests.world import public_jwks

GOOD = json.loads(public_jwks())["keys"][0]
EC = json.loads(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()))


@functools.cache
def _other() -> str:
    return json.dumps(RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048).public_key(), as_dict=True))


def other_rsa_jwk() -> dict[str, Any]:
    jwk: dict[str, Any] = json.loads(_other())
    return jwk


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


def test_both_edwards_curves_go_with_eddsa() -> None:
    jwk = json.loads(OKPAlgorithm.to_jwk(ed448.Ed448PrivateKey.generate().public_key()))
    assert from_jwks({"keys": [jwk]}).candidates(None, "EdDSA")


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


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(Malformed):
        from_secret(b"x" * 31, ["HS256"])


def test_no_key_shows_its_material() -> None:
    assert "secret" not in repr(from_secret(b"secret" * 6, ["HS256"]))
