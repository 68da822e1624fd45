"""PKCE: S256 or nothing, and nothing is not enough for a public client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidRequestError

from gateway.devauth.clients import Client
from gateway.devauth.codes import Code
from gateway.devauth.pkce import ProofKey
from gateway.devauth.requests import ParameterRequest
from gateway.devauth.tokens import Authorization
from tests.devauth.visitor import VERIFIER, challenge

PUBLIC = Client("web", None, frozenset({"read"}), "api")
SERVICE = Client("svc", "secret", frozenset({"read"}), "api")


@dataclass
class Asked:
    """What the extension sees of a grant."""

    client: Client
    request: Any


def authorization_request(client: Client, **parameters: str) -> Asked:
    return Asked(client, ParameterRequest(parameters))


def token_request(client: Client, known: str | None, **parameters: str) -> Asked:
    request = ParameterRequest(parameters)
    request.auth_method = "none" if client.is_public else "client_secret_basic"
    request.authorization_code = Code(Authorization(client, "read"), None, known, known and "S256", 0.0)
    return Asked(client, request)


def test_the_example_of_the_rfc_is_good() -> None:
    """RFC 7636 appendix B."""
    known = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert challenge(VERIFIER) == known
    asked = authorization_request(PUBLIC, code_challenge=known, code_challenge_method="S256")
    ProofKey().validate_code_challenge(asked, "")
    ProofKey().validate_code_verifier(token_request(PUBLIC, known, code_verifier=VERIFIER), None)


@pytest.mark.parametrize(
    ("client", "parameters"),
    [
        (PUBLIC, {}),
        (PUBLIC, {"code_challenge_method": "S256"}),
        (PUBLIC, {"code_challenge": challenge()}),
        (SERVICE, {"code_challenge": challenge()}),
        (SERVICE, {"code_challenge_method": "S256"}),
        (PUBLIC, {"code_challenge": VERIFIER, "code_challenge_method": "plain"}),
        (PUBLIC, {"code_challenge": challenge()[:-1], "code_challenge_method": "S256"}),
        (PUBLIC, {"code_challenge": challenge() + "\n", "code_challenge_method": "S256"}),
        (PUBLIC, {"code_challenge": "." * 43, "code_challenge_method": "S256"}),
    ],
)
def test_a_missing_or_weak_challenge_is_an_invalid_request(client: Client, parameters: dict[str, str]) -> None:
    with pytest.raises(InvalidRequestError):
        ProofKey().validate_code_challenge(authorization_request(client, **parameters), "")


def test_a_client_with_a_secret_may_do_without() -> None:
    ProofKey().validate_code_challenge(authorization_request(SERVICE), "")
    ProofKey().validate_code_verifier(token_request(SERVICE, None), None)


@pytest.mark.parametrize(
    ("client", "known", "parameters", "error"),
    [
        (PUBLIC, challenge(), {}, InvalidRequestError),
        (PUBLIC, None, {}, InvalidRequestError),
        (SERVICE, challenge(), {}, InvalidRequestError),
        (SERVICE, None, {"code_verifier": VERIFIER}, InvalidRequestError),
        (PUBLIC, challenge(), {"code_verifier": "a" * 42}, InvalidRequestError),
        (PUBLIC, challenge(), {"code_verifier": "a" * 129}, InvalidRequestError),
        (PUBLIC, challenge(), {"code_verifier": VERIFIER + "\n"}, InvalidRequestError),
        (PUBLIC, challenge(), {"code_verifier": "a" * 43}, InvalidGrantError),
        (PUBLIC, challenge(), {"code_verifier": challenge()}, InvalidGrantError),
    ],
)
def test_a_missing_or_wrong_verifier_gives_nothing(
    client: Client, known: str | None, parameters: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        ProofKey().validate_code_verifier(token_request(client, known, **parameters), None)
