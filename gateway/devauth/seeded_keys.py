"""Keys that come out of a number, so that a test may write down what they sign. They are no secret: never for real use.

OpenSSL takes no seed, so the primes of RSA are looked for here, by trial and Miller-Rabin (FIPS 186-5 appendix B).
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

_EXPONENT: Final = 65537
_PRIME_BITS: Final = 1024
_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_SMALL_PRIMES: Final = tuple(n for n in range(3, 2000) if all(n % d for d in range(2, math.isqrt(n) + 1)))
_SMALL_PRODUCT: Final = math.prod(_SMALL_PRIMES)


def rsa_key(seed: int, number: int) -> bytes:
    """The RSA key of 2048 bits with this number, as PKCS#8 in PEM. Takes about a second."""
    p, q = itertools.islice((n for n in _candidates(seed, number) if _is_prime(n)), 2)
    private_exponent = pow(_EXPONENT, -1, math.lcm(p - 1, q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p,
        q,
        private_exponent,
        rsa.rsa_crt_dmp1(private_exponent, p),
        rsa.rsa_crt_dmq1(private_exponent, q),
        rsa.rsa_crt_iqmp(p, q),
        rsa.RSAPublicNumbers(_EXPONENT, p * q),
    )
    return _pem(numbers.private_key())


def p256_key(seed: int, number: int) -> bytes:
    """The key on P-256 with this number, as PKCS#8 in PEM."""
    secret = int.from_bytes(_stream(seed, number, 0, 48), "big") % (_P256_ORDER - 1) + 1
    return _pem(ec.derive_private_key(secret, ec.SECP256R1()))


def _candidates(seed: int, number: int) -> Iterator[int]:
    """Odd numbers of 1024 bits, the upper two of them set so that a product has 2048."""
    for turn in itertools.count():
        value = int.from_bytes(_stream(seed, number, turn, _PRIME_BITS // 8), "big")
        yield value | 0b11 << (_PRIME_BITS - 2) | 1


def _stream(seed: int, number: int, turn: int, length: int) -> bytes:
    return hashlib.shake_256(f"oauth-gateway devauth key {seed} {number} {turn}".encode()).digest(length)


def _is_prime(n: int) -> bool:
    """Whether it is one, and fits the exponent. The primes as bases: far more rounds than random numbers need."""
    if math.gcd(n, _SMALL_PRODUCT) > 1 or (n - 1) % _EXPONENT == 0:
        return False
    twos = (n - 1 & 1 - n).bit_length() - 1
    return all(_passes(n, base, twos) for base in (2, *_SMALL_PRIMES[:15]))


def _passes(n: int, base: int, twos: int) -> bool:
    """One round of Miller-Rabin."""
    x = pow(base, (n - 1) >> twos, n)
    if x in (1, n - 1):
        return True
    for _ in range(twos - 1):
        x = x * x % n
        if x == n - 1:
            return True
    return False


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
