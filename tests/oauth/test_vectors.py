"""The examples of RFC 7515 and RFC 7520, as data: each signature verifies, and no changed one does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import errors
from gateway.errors import GatewayError
from gateway.oauth import jwt
from gateway.oauth.jose import b64url_decode
from gateway.oauth.keys import ASYMMETRIC, EDWARDS, SYMMETRIC, Key, from_jwks, from_secret

VECTORS = Path(__file__).parent.parent / "vectors"
RFC7515 = json.loads((VECTORS / "rfc7515.json").read_text())
RFC7520 = json.loads((VECTORS / "rfc7520.json").read_text())
EXAMPLES = [pytest.param(example, id=example["name"]) for example in RFC7515["examples"] + RFC7520["examples"]]


def key_of(example: dict[str, Any]) -> Key:
    jwk = example["jwk"]
    if jwk["kty"] == "oct":
        return from_secret(b64url_decode(jwk["k"].encode()), SYMMETRIC).keys[0]
    return from_jwks({"keys": [jwk]}).keys[0]


def each_byte_changed(data: bytes) -> Iterator[bytes]:
    for position, byte in enumerate(data):
        yield data[:position] + bytes([byte ^ 1]) + data[position + 1 :]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_signature_of_an_example_verifies(example: dict[str, Any]) -> None:
    signing_input, _, signature = example["compact"].encode().rpartition(b".")
    assert key_of(example).verifies(example["algorithm"], signing_input, b64url_decode(signature))


@pytest.mark.parametrize("example", EXAMPLES)
def test_no_changed_signature_or_content_verifies(example: dict[str, Any]) -> None:
    key = key_of(example)
    signing_input, _, encoded = example["compact"].encode().rpartition(b".")
    signature = b64url_decode(encoded)
    for changed in each_byte_changed(signature):
        assert not key.verifies(example["algorithm"], signing_input, changed)
    for changed in each_byte_changed(signing_input):
        assert not key.verifies(example["algorithm"], changed, signature)
    assert not key.verifies(example["algorithm"], signing_input + b"x", signature)
    assert not key.verifies(example["algorithm"], signing_input, signature[:-1])
    assert not key.verifies(example["algorithm"], signing_input, signature + b"\0")
    assert not key.verifies(example["algorithm"], signing_input, b"")


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_key_is_used_with_no_algorithm_but_its_own(example: dict[str, Any]) -> None:
    key = key_of(example)
    signing_input, _, signature = example["compact"].encode().rpartition(b".")
    others = {*ASYMMETRIC, *SYMMETRIC, *EDWARDS, "none", "ES256K"}
    for algorithm in others - ({"EdDSA", "Ed25519"} if example["jwk"]["kty"] == "OKP" else {example["algorithm"]}):
        assert not key.verifies(algorithm, signing_input, b64url_decode(signature))


def test_the_unsecured_example_is_refused() -> None:
    unsecured = jwt.parse(RFC7515["unsecured"].encode())
    rules = jwt.TokenRules("joe", "joe", None, frozenset(ASYMMETRIC))
    with pytest.raises(GatewayError) as refused:
        jwt.verify(unsecured, rules, from_jwks({"keys": [RFC7515["examples"][1]["jwk"]]}), 0)
    assert refused.value.reason is errors.ALGORITHM_REFUSED


def test_the_content_of_the_examples_reads_as_published() -> None:
    for example in RFC7515["examples"][:3]:
        token = jwt.parse(example["compact"].encode())
        assert token.claims == {"iss": "joe", "exp": 1300819380, "http://example.com/is_root": True}
        assert token.header["alg"] == example["algorithm"]
