"""The tokens of the benchmark are what the scenarios say of them."""

from __future__ import annotations

import json

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from benchmarks.issuer import AUDIENCE, ISSUER, Algorithm, Issuer


def verify(issuer: Issuer, token: str) -> dict[str, object]:
    key = jwt.PyJWKSet.from_dict(issuer.jwks())[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, object] = jwt.decode(token, key, audience=AUDIENCE, issuer=ISSUER)
    return claims


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_token_is_good_by_the_key_set_and_by_the_key_file(issuer: Issuer, algorithm: Algorithm) -> None:
    token = issuer.token(algorithm)
    key = load_pem_public_key(issuer.pem_files[algorithm].read_bytes())
    claims = jwt.decode(token, key, algorithms=[algorithm], audience=AUDIENCE)  # type: ignore[arg-type]
    assert verify(issuer, token) == claims


def test_every_token_is_another(issuer: Issuer) -> None:
    first, second = (verify(issuer, issuer.token()) for _ in range(2))
    assert first["jti"] != second["jti"]
    assert first["sub"] != second["sub"]


def test_claims_can_be_replaced(issuer: Issuer) -> None:
    with pytest.raises(jwt.InvalidAudienceError):
        verify(issuer, issuer.token(aud="another-api"))
    with pytest.raises(jwt.ExpiredSignatureError):
        verify(issuer, issuer.token(exp=1_700_000_000))


def test_badly_signed_tokens_fail_at_the_signature_and_differ(issuer: Issuer) -> None:
    tokens = issuer.badly_signed(5)
    assert len(set(tokens)) == 5
    for token in tokens:
        assert jwt.get_unverified_header(token)["alg"] == "RS256"
        with pytest.raises(jwt.InvalidSignatureError):
            verify(issuer, token)


def test_no_private_key_is_published(issuer: Issuer) -> None:
    keys = json.loads(issuer.jwks_file.read_text())["keys"]
    assert [key["kid"] for key in keys] == ["RS256", "ES256"]
    assert not any("d" in key for key in keys)


def test_the_time_of_a_verification_is_measured(issuer: Issuer) -> None:
    assert 1e-6 < issuer.seconds_of_a_verification(seconds=0.05) < 1e-1
