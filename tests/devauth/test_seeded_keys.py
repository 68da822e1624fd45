"""Keys out of a number: always the same, and real keys."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.devauth.keys import Algorithm, SigningKeys
from gateway.devauth.seeded_keys import p256_key, rsa_key


def test_an_rsa_key_has_2048_bits_and_passes_the_checks_of_openssl() -> None:
    key = load_pem_private_key(rsa_key(7, 0), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert (key.key_size, key.public_key().public_numbers().e) == (2048, 65537)
    assert rsa_key(7, 0) == rsa_key(7, 0)


def test_each_seed_and_number_gives_another_key_on_p256() -> None:
    keys = {p256_key(seed, number) for seed in (-1, 0, 1, 2**70) for number in (0, 1)}
    assert len(keys) == 8
    assert isinstance(load_pem_private_key(keys.pop(), None), ec.EllipticCurvePrivateKey)


def known_keys(algorithm: Algorithm, seed: int | None) -> list[str]:
    keys = SigningKeys(algorithm, seed)
    return [keys.public()["keys"][0]["kid"], keys.rotate(), keys.rotate()]


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_with_a_seed_every_run_has_the_same_keys_in_the_same_order(algorithm: Algorithm) -> None:
    first = known_keys(algorithm, 42)
    assert len(set(first)) == 3
    assert first == known_keys(algorithm, 42)
    assert first[0] not in known_keys("ES256", 43)


def test_the_keys_of_a_seed_stay_the_same_from_version_to_version() -> None:
    """Other projects may have written them down."""
    assert SigningKeys("ES256", 1).public()["keys"][0]["kid"] == "amnt8fCbK-NOoy5YRixTQ_spz9isFRNXT3d8NjEJR_w"
    assert SigningKeys("RS256", 1).public()["keys"][0]["kid"] == "JItN0O1fdWd_DkSLSsrNJoEmsZtjyH9fSHcKzloR0Co"


def test_without_a_seed_no_two_runs_have_the_same() -> None:
    assert not set(known_keys("ES256", None)) & set(known_keys("ES256", None))
