"""Who gets a token and who is refused, without HTTP: client authentication, scopes, introspection, revocation."""

from __future__ import annotations

import base64
import logging
from typing import Any

import pytest
from multidict import CIMultiDict

from gateway.devauth.clients import Client, Clients, Lifetimes
from gateway.devauth.grants import Grants
from gateway.devauth.keys import SigningKeys
from gateway.devauth.tokens import IssuedToken, Tokens

SERVICE = Client("svc", "svc-secret", frozenset({"read", "write"}), "orders-api", claims={"tenant": "t1"})
IDLE = Client("idle", "idle-secret", frozenset({"read"}), "orders-api", grant_types=frozenset())
# Its claims try to speak for the server; RFC 7662 §2.2 says what these members mean.
BOASTER = Client(
    "boaster",
    "boaster-secret",
    frozenset({"read", "write"}),
    "orders-api",
    lifetimes=Lifetimes(access=60),
    claims={"tenant": "t2", "active": "very", "token_type": "golden"},
    access_token="opaque",
)
NOW = 1_800_000_000
GRANT = {"grant_type": "client_credentials"}
POSTED = {"client_id": "svc", "client_secret": "svc-secret"}


@pytest.fixture
def grants() -> Grants:
    # ES256, since a key for it takes no time to make.
    tokens = Tokens("http://127.0.0.1:1", SigningKeys("ES256"), clock=lambda: float(NOW))
    return Grants(Clients([SERVICE, IDLE, BOASTER]), tokens, "orders-api")


def basic(client_id: str = "svc", secret: str = "svc-secret") -> CIMultiDict[str]:
    pair = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    # HTTP/2 clients and Node.js send field names in lower case.
    return CIMultiDict({"authorization": f"Basic {pair}"})


def issued(grants: Grants, **form: str) -> IssuedToken:
    status, body, _ = grants.token({**GRANT, **form}, basic())
    assert status == 200, body
    token = grants.tokens.find(body["access_token"])
    assert token is not None
    return token


@pytest.mark.parametrize(
    ("asked", "granted"),
    [(None, "read write"), ("read", "read"), ("write read", "read write"), ("read read  read", "read")],
)
def test_each_scope_is_granted_once_and_all_of_them_to_who_names_none(
    grants: Grants, asked: str | None, granted: str
) -> None:
    status, body, _ = grants.token({**GRANT, **({"scope": asked} if asked else {})}, basic())
    assert (status, body["scope"], body["token_type"], body["expires_in"]) == (200, granted, "Bearer", 3600)


def test_two_tokens_are_never_the_same(grants: Grants) -> None:
    first, second = issued(grants), issued(grants)
    assert first.claims["jti"] != second.claims["jti"]
    assert first.value != second.value


@pytest.mark.parametrize(
    ("form", "headers", "status", "error"),
    [
        ({}, basic(), 400, "invalid_request"),
        ({"grant_type": "authorization_code"}, basic(), 400, "unauthorized_client"),
        ({"grant_type": '"<é>'}, basic(), 400, "unsupported_grant_type"),
        (GRANT, basic("idle", "idle-secret"), 400, "unauthorized_client"),
        (GRANT, basic("nobody"), 401, "invalid_client"),
        (GRANT, basic(secret="wrong"), 401, "invalid_client"),
        (GRANT, basic(secret=""), 401, "invalid_client"),
        (GRANT, basic(secret="\u00e9"), 401, "invalid_client"),
        (GRANT, CIMultiDict({"Authorization": "Bearer x"}), 401, "invalid_client"),
        (GRANT, CIMultiDict({"Authorization": "Basic"}), 401, "invalid_client"),
        ({**GRANT, "client_id": "svc"}, {}, 401, "invalid_client"),
        ({**GRANT, "client_id": "nobody", "client_secret": "x"}, {}, 401, "invalid_client"),
        ({**GRANT, "client_id": "svc", "client_secret": "\ud800"}, {}, 401, "invalid_client"),
        ({**GRANT, **POSTED}, basic(), 400, "invalid_request"),
        ({**GRANT, "client_id": "idle"}, basic(), 400, "invalid_request"),
        ({**GRANT, "scope": "read\twrite"}, basic(), 400, "invalid_scope"),
        ({**GRANT, "scope": "READ"}, basic(), 400, "invalid_scope"),
    ],
)
def test_a_request_that_does_not_deserve_a_token_gets_an_error_code(
    grants: Grants, form: dict[str, str], headers: CIMultiDict[str], status: int, error: str
) -> None:
    got, body, _ = grants.token(form, headers)
    assert (got, body["error"]) == (status, error)
    assert "access_token" not in body


def test_an_unknown_client_and_a_wrong_secret_get_the_same_answer(grants: Grants) -> None:
    assert grants.token(GRANT, basic("nobody")) == grants.token(GRANT, basic(secret="wrong"))
    posted: list[Any] = [
        grants.token({**GRANT, "client_id": name, "client_secret": "wrong"}, {}) for name in ("svc", "nobody")
    ]
    assert posted[0] == posted[1]


def test_a_client_may_repeat_its_id_in_the_body(grants: Grants) -> None:
    assert grants.token({**GRANT, "client_id": "svc"}, basic())[0] == 200


def opaque(grants: Grants) -> str:
    status, body, _ = grants.token({**GRANT, "scope": "read"}, basic("boaster", "boaster-secret"))
    assert (status, body["token_type"], body["expires_in"], body["scope"]) == (200, "Bearer", 60, "read")
    value: str = body["access_token"]
    return value


def test_an_opaque_token_has_256_random_bits_and_says_nothing(grants: Grants) -> None:
    values = {opaque(grants) for _ in range(3)}
    assert len(values) == 3
    for value in values:
        assert len(base64.urlsafe_b64decode(value + "=")) == 32


@pytest.mark.parametrize("asking", [("svc", "svc-secret"), ("idle", "idle-secret"), ("boaster", "boaster-secret")])
def test_introspection_says_all_of_an_opaque_token_and_clients_claims_replace_nothing_of_it(
    grants: Grants, asking: tuple[str, str]
) -> None:
    status, body, _ = grants.endpoint("introspection", {"token": opaque(grants)}, basic(*asking))
    assert len(body.pop("jti")) > 20
    assert (status, body) == (
        200,
        {
            "active": True,
            "token_type": "Bearer",
            "scope": "read",
            "client_id": "boaster",
            "sub": "boaster",
            "aud": "orders-api",
            "iss": "http://127.0.0.1:1",
            "iat": NOW,
            "exp": NOW + 60,
            "tenant": "t2",
        },
    )


def test_of_a_token_that_is_revoked_expired_or_unknown_introspection_says_that_it_is_inactive_alone(
    grants: Grants,
) -> None:
    revoked = opaque(grants)
    assert grants.endpoint("revocation", {"token": revoked}, basic("boaster", "boaster-secret"))[0] == 200
    expired = grants.tokens.issue(BOASTER, "read", exp=NOW).value
    for value in (revoked, expired, "unknown", opaque(grants)[:-1]):
        assert grants.endpoint("introspection", {"token": value}, basic())[:2] == (200, {"active": False})


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "nonsense"])
def test_a_hint_about_the_type_changes_nothing(grants: Grants, hint: str) -> None:
    form = {"token": issued(grants, scope="read").value, "token_type_hint": hint}
    status, body, _ = grants.endpoint("introspection", form, basic())
    assert (status, body["active"]) == (200, True)
    assert grants.endpoint("revocation", form, basic())[0] == 200
    assert grants.endpoint("introspection", form, basic())[:2] == (200, {"active": False})


def test_a_client_cannot_revoke_what_another_one_was_given(grants: Grants) -> None:
    token = issued(grants)
    status, body, _ = grants.endpoint("revocation", {"token": token.value}, basic("idle", "idle-secret"))
    assert (status, body["error"]) == (400, "invalid_grant")
    assert not token.is_revoked()


def test_nothing_that_is_shown_of_it_holds_a_secret_or_a_token(grants: Grants) -> None:
    for client in (SERVICE, BOASTER):
        token = grants.tokens.issue(client, "read")
        for shown in (repr(client), repr(token)):
            assert client.client_secret not in shown
            assert token.value not in shown
            assert token.claims["jti"] not in shown


def test_no_level_of_logging_shows_a_token_or_a_secret(grants: Grants, caplog: pytest.LogCaptureFixture) -> None:
    """authlib writes tokens at debug level."""
    caplog.set_level(logging.DEBUG)
    token = issued(grants).value
    grants.endpoint("introspection", {"token": token}, basic())
    grants.token(GRANT, basic(secret="wrong-secret"))
    assert "a token for svc by client_credentials" in caplog.text
    assert "refused unknown client: invalid_client" in caplog.text
    for secret in (token, SERVICE.client_secret, "wrong-secret"):
        assert str(secret) not in caplog.text
