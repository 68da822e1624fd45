"""The issuer whose tokens are measured: its keys in every form that a server wants, and tokens good and bad."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

Algorithm = Literal["RS256", "ES256"]

ISSUER = "https://login.example.com"
AUDIENCE = "orders-api"
SCOPE = "orders:read"
LIFETIME = 6 * 3600


class Issuer:
    """One RSA key of 2048 bits and one on P-256. Its tokens have the claims of RFC 9068 and live six hours."""

    def __init__(self, folder: Path) -> None:
        self._rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._ec = ec.generate_private_key(ec.SECP256R1())
        self._numbers = itertools.count(1)
        self.jwks_file = folder / "jwks.json"
        self.pem_files = {"RS256": folder / "rs256.pem", "ES256": folder / "es256.pem"}
        self._write()

    def _write(self) -> None:
        self.jwks_file.write_text(json.dumps(self.jwks()))
        pem = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        self.pem_files["RS256"].write_bytes(self._rsa.public_key().public_bytes(*pem))
        self.pem_files["ES256"].write_bytes(self._ec.public_key().public_bytes(*pem))

    def jwks(self) -> dict[str, Any]:
        """The key set as it is published (RFC 7517)."""
        rs256 = {**RSAAlgorithm.to_jwk(self._rsa.public_key(), as_dict=True), "kid": "RS256", "alg": "RS256"}
        es256 = {**ECAlgorithm.to_jwk(self._ec.public_key(), as_dict=True), "kid": "ES256", "alg": "ES256"}
        return {"keys": [{**key, "use": "sig"} for key in (rs256, es256)]}

    def token(self, algorithm: Algorithm = "RS256", **changes: object) -> str:
        """A token unlike any before it; `changes` replace claims."""
        now, number = int(time.time()), next(self._numbers)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": f"user-{number}",
            "client_id": "load",
            "scope": f"{SCOPE} profile",
            "jti": f"token-{number}",
            "iat": now,
            "exp": now + LIFETIME,
            **changes,
        }
        key = self._rsa if algorithm == "RS256" else self._ec
        return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": algorithm, "typ": "at+jwt"})

    def badly_signed(self, count: int) -> list[str]:
        """Tokens each with the signature of another one: as long to verify as a good one, and never right."""
        signature = self.token().rpartition(".")[2]
        others = (self.token("ES256").rpartition(".")[0].partition(".")[2] for _ in range(count))
        header = self.token().partition(".")[0]
        return [f"{header}.{payload}.{signature}" for payload in others]

    def seconds_of_a_verification(self, seconds: float = 0.5) -> float:
        """CPU time that PyJWT takes to verify one RS256 token, on the core this runs on."""
        token, public, count = self.token(), self._rsa.public_key(), 0
        start = time.process_time()
        while (used := time.process_time() - start) < seconds:
            jwt.decode(token, public, algorithms=["RS256"], audience=AUDIENCE, issuer=ISSUER)
            count += 1
        return used / count
