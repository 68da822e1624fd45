"""Signing keys: what is published verifies what was signed, for as long as it is meant to."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError
from joserfc.jwk import KeySet

from gateway.devauth.keys import Algorithm, SigningKeys

PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


def claims_by(keys: SigningKeys, token: str, algorithm: Algorithm) -> dict[str, Any]:
    """The claims of a token, verified with the published keys."""
    return jwt.decode(token, KeySet.import_key_set(keys.public()), algorithms=[algorithm]).claims  # type: ignore[arg-type]


@pytest.mark.parametrize("algorithm", get_args(Algorithm))
def test_what_is_published_verifies_what_was_signed_and_is_public(algorithm: Algorithm) -> None:
    keys = SigningKeys(algorithm)
    assert claims_by(keys, keys.sign({"typ": "at+jwt"}, {"sub": "a"}), algorithm) == {"sub": "a"}
    (published,) = keys.public()["keys"]
    assert (published["alg"], published["use"]) == (algorithm, "sig")
    assert not PRIVATE & set(published)


def test_keys_are_for_rs256_unless_asked_otherwise() -> None:
    (published,) = SigningKeys().public()["keys"]
    assert (published["kty"], published["alg"]) == ("RSA", "RS256")


def test_a_key_is_published_for_one_rotation_more() -> None:
    keys = SigningKeys("ES256")
    token = keys.sign({}, {"sub": "a"})
    assert keys.rotate() == keys.public()["keys"][0]["kid"]
    assert claims_by(keys, token, "ES256") == {"sub": "a"}
    keys.rotate()
    with pytest.raises(InvalidKeyIdError):
        claims_by(keys, token, "ES256")
