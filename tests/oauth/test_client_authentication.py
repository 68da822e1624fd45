"""How the gateway proves who it is: what an issuer reads from the request, and which keys it signs with."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any
from urllib.parse import unquote_plus

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from joserfc import jwk, jwt
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from gateway.oauth.client import IssuerClient
from gateway.oauth.client_authentication import (
    ASSERTION_TYPE,
    ClientAssertion,
    ClientAuthentication,
    ClientSecretBasic,
    ClientSecretPost,
    TlsClientAuth,
    load_private_key,
)
from tests.issuer import FakeIssuer, private_key, public_jwk
from tests.world import ISSUER

ENDPOINT = f"{ISSUER}/introspect"
SECRET = "a:b%c+d é/&=\u20ac"
ALGORITHMS = {"rsa": "RS256", "P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}


def pem(key: Any, form: PrivateFormat = PrivateFormat.PKCS8, password: bytes | None = None) -> bytes:
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    return bytes(key.private_bytes(Encoding.PEM, form, encryption))


def private_jwk(kind: str, **members: Any) -> dict[str, Any]:
    """The private key of that kind as a JWK with these further members."""
    algorithm: Any = {"r": RSAAlgorithm, "P": ECAlgorithm, "E": OKPAlgorithm}[kind[0]]
    return {**algorithm.to_jwk(private_key(kind), as_dict=True), **members}


def applied(authentication: ClientAuthentication) -> tuple[dict[str, str], dict[str, str]]:
    """The form and the header fields after authentication, without what was there before."""
    form, headers = {"token": "t"}, {"Accept": "application/json"}
    authentication.apply(ENDPOINT, form, headers)
    assert (form.pop("token"), headers.pop("Accept")) == ("t", "application/json")
    return form, headers


def basic_pair(field: str) -> list[str]:
    """What an issuer reads from a Basic credential (RFC 6749 §2.3.1)."""
    scheme, _, value = field.partition(" ")
    assert scheme == "Basic"
    return [unquote_plus(part) for part in base64.b64decode(value, validate=True).decode("ascii").split(":")]


def assertion_read(authentication: ClientAssertion, key: Any, algorithm: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a new assertion, verified with another library than the one that signs."""
    form, headers = applied(authentication)
    assert not headers
    assert form.pop("client_id") == "gateway"
    assert form.pop("client_assertion_type") == ASSERTION_TYPE
    token = jwt.decode(form.pop("client_assertion"), key, [algorithm])
    assert not form
    return dict(token.header), dict(token.claims)


@pytest.mark.parametrize("client_id", ["gateway", "https://gateway.example.com/a b", "g:w"])
@pytest.mark.parametrize("secret", ["s", SECRET, "a b", "%20", "~*-._", ":"])
def test_id_and_secret_come_back_from_a_basic_credential(client_id: str, secret: str) -> None:
    form, headers = applied(ClientSecretBasic(client_id, secret))
    assert not form
    assert basic_pair(headers.pop("Authorization")) == [client_id, secret]
    assert not headers


def test_a_basic_credential_is_a_form_before_it_is_base64() -> None:
    _, headers = applied(ClientSecretBasic("g w", SECRET))
    expected = b"g+w:a%3Ab%25c%2Bd+%C3%A9%2F%26%3D%E2%82%AC"
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == expected


def test_id_and_secret_may_stand_in_the_form() -> None:
    assert applied(ClientSecretPost("gateway", SECRET)) == ({"client_id": "gateway", "client_secret": SECRET}, {})


def test_with_a_certificate_the_form_only_says_whose_it_is() -> None:
    assert applied(TlsClientAuth("gateway")) == ({"client_id": "gateway"}, {})


async def test_an_issuer_reads_what_was_sent() -> None:
    async with FakeIssuer() as issuer, IssuerClient(timeout=5) as client:
        for authentication in (ClientSecretBasic("g w", SECRET), ClientSecretPost("g w", SECRET)):
            form, headers = applied(authentication)
            await client.post(f"{issuer.origin}/introspect", {"token": "a+b/c=", **form}, headers)
    (by_field, headers), (by_form, _) = issuer.introspected
    assert basic_pair(headers["Authorization"]) == ["g w", SECRET]
    assert by_field == {"token": "a+b/c="}
    assert by_form == {"token": "a+b/c=", "client_id": "g w", "client_secret": SECRET}


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # the library would rather be told Ed25519 (RFC 9864)
@pytest.mark.parametrize(("kind", "algorithm"), ALGORITHMS.items())
def test_an_assertion_is_signed_as_the_key_can(kind: str, algorithm: str) -> None:
    assertion = ClientAssertion.by_key("gateway", private_key(kind), ISSUER, key_id="k7")
    public: Any = jwk.import_key(public_jwk(kind))
    header, claims = assertion_read(assertion, public, algorithm)
    assert header == {"alg": algorithm, "kid": "k7", "typ": "JWT"}
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("gateway", "gateway", ISSUER)


def test_an_assertion_by_a_secret_has_no_key_id() -> None:
    secret = "é" * 16
    assertion = ClientAssertion.by_secret("gateway", secret, ISSUER)
    header, claims = assertion_read(assertion, jwk.OctKey.import_key(secret), "HS256")
    assert header == {"alg": "HS256", "typ": "JWT"}
    assert claims["aud"] == ISSUER


def test_an_assertion_is_made_for_each_call_and_good_for_a_minute() -> None:
    ids = iter(["first", "second"])
    assertion = dataclasses.replace(
        ClientAssertion.by_secret("gateway", "s" * 32, ISSUER), clock=lambda: 1_700_000_000.9, new_id=lambda: next(ids)
    )
    key = jwk.OctKey.import_key("s" * 32)
    made = [assertion_read(assertion, key, "HS256")[1] for _ in range(2)]
    assert [claims.pop("jti") for claims in made] == ["first", "second"]
    assert all((claims["iat"], claims["exp"]) == (1_700_000_000, 1_700_000_060) for claims in made)


def test_no_two_assertions_have_the_same_id() -> None:
    assertion, key = ClientAssertion.by_secret("gateway", "s" * 32, ISSUER), jwk.OctKey.import_key("s" * 32)
    ids = {assertion_read(assertion, key, "HS256")[1]["jti"] for _ in range(50)}
    assert len(ids) == 50
    assert min(map(len, ids)) >= 22  # 128 bits


@pytest.mark.parametrize("secret", ["", "s" * 31, f"-----BEGIN PUBLIC KEY-----\n{'A' * 64}\n-----END PUBLIC KEY-----"])
def test_a_secret_that_is_too_short_or_a_key_signs_nothing(secret: str) -> None:
    with pytest.raises(ValueError, match="secret"):
        ClientAssertion.by_secret("gateway", secret, ISSUER)


def test_another_algorithm_can_be_asked_for() -> None:
    assertion = ClientAssertion("gateway", private_key("rsa"), "PS256", ISSUER)
    public: Any = jwk.import_key(public_jwk("rsa"))
    assert assertion_read(assertion, public, "PS256")[0]["alg"] == "PS256"


def test_no_method_shows_its_secret() -> None:
    methods = (
        ClientSecretBasic("gateway", "hidden" * 8),
        ClientSecretPost("gateway", "hidden" * 8),
        ClientAssertion.by_secret("gateway", "hidden" * 8, ISSUER),
        ClientAssertion.by_key("gateway", private_key("rsa"), ISSUER),
    )
    for method in methods:
        assert "gateway" in repr(method)
        assert "hidden" not in repr(method)
        assert "RSA" not in repr(method)


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_a_private_key_is_read_from_pem_and_from_a_jwk(kind: str) -> None:
    numbers = pem(private_key(kind))
    for data, key_id in (
        (numbers, None),
        (b"# our key\n" + numbers + b"\n", None),
        (json.dumps(private_jwk(kind)).encode(), None),
        (json.dumps(private_jwk(kind, kid="k7", use="sig", alg=ALGORITHMS[kind])).encode(), "k7"),
    ):
        key, found = load_private_key(data)
        assert (pem(key), found) == (numbers, key_id)


@pytest.mark.parametrize("kind", ["rsa", "P-256"])
def test_the_older_forms_of_pem_are_read_too(kind: str) -> None:
    assert load_private_key(pem(private_key(kind), PrivateFormat.TraditionalOpenSSL))


def test_an_encrypted_key_needs_its_password() -> None:
    data = pem(private_key("P-256"), password=b"swordfish")
    assert load_private_key(data, b"swordfish")[1] is None
    for password, problem in ((None, "encrypted"), (b"catfish", "wrong password")):
        with pytest.raises(ValueError, match=problem) as refused:
            load_private_key(data, password)
        assert "fish" not in str(refused.value)
    with pytest.raises(ValueError, match="not encrypted"):
        load_private_key(pem(private_key("P-256")), b"swordfish")


def test_a_public_key_in_pem_is_refused() -> None:
    public = private_key("P-256").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ValueError, match="no private key"):
        load_private_key(public)


@pytest.mark.parametrize("small", [True, False], ids=["small", "other curve"])
def test_a_weak_key_or_one_of_another_kind_is_refused(small: bool) -> None:
    key: Any = rsa.generate_private_key(65537, 1024) if small else ec.generate_private_key(ec.SECP256K1())
    algorithm: Any = RSAAlgorithm if small else ECAlgorithm
    problem = "RSA below 2048 bits" if small else "P-256"
    for data in (pem(key), json.dumps(algorithm.to_jwk(key, as_dict=True)).encode()):
        with pytest.raises(ValueError, match=problem):
            load_private_key(data)
    with pytest.raises(ValueError, match=problem):
        ClientAssertion.by_key("gateway", key, ISSUER)


def test_a_key_that_signs_nothing_is_refused() -> None:
    for key in (x25519.X25519PrivateKey.generate(), private_key("Ed448")):
        with pytest.raises(ValueError, match="none of RSA, EC, Ed25519"):
            load_private_key(pem(key))


@pytest.mark.parametrize(
    ("kind", "changes", "problem"),
    [
        ("rsa", {"d": None}, "broken"),
        ("rsa", {"d": "hidden"}, "broken"),
        ("rsa", {"p": "AA"}, "broken"),
        ("rsa", {"n": 5}, "broken"),
        ("P-256", {"x": "hidden"}, "broken"),
        ("P-256", {"crv": "P-384"}, "broken"),
        ("P-256", {"crv": "hidden"}, "broken"),
        ("Ed25519", {"x": "A" * 43}, "broken"),
        ("Ed25519", {"crv": "X25519"}, "broken"),
        ("Ed448", {}, "none of RSA, EC, Ed25519"),
        ("rsa", {"kty": "hidden"}, "kty"),
        ("rsa", {"kty": ["RSA"]}, "kty"),
        ("rsa", {"kty": "oct", "k": "hidden"}, "kty"),
        ("rsa", {"use": "enc"}, "not for signing"),
        ("rsa", {"key_ops": ["verify"]}, "not for signing"),
        ("rsa", {"key_ops": "sign"}, "not for signing"),
        ("rsa", {"alg": "PS256"}, "alg is not RS256"),
        ("rsa", {"alg": ["hidden"]}, "alg is not RS256"),
        ("rsa", {"kid": 7}, "kid"),
    ],
)
def test_a_jwk_that_can_not_sign_is_refused_without_quoting_it(
    kind: str, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem) as refused:
        load_private_key(json.dumps(private_jwk(kind, **changes)).encode())
    assert "hidden" not in str(refused.value)


def test_a_public_jwk_is_refused() -> None:
    members = private_jwk("P-256")
    del members["d"]
    with pytest.raises(ValueError, match="public key"):
        load_private_key(json.dumps(members).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"hidden",
        b"{",
        b'{"kty": "RSA", "kty": "EC"}',
        b'{"keys": []}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"-----BEGIN PRIVATE KEY-----",
        b"-----BEGIN PRIVATE KEY-----\nhidden\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
    ],
    ids=range(12),
)
def test_what_is_no_key_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"key|JWK") as refused:
        load_private_key(data)
    assert "hidden" not in str(refused.value)
