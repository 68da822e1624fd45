"""The token endpoint: what is sent for each grant, and which answers count."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.oauth.client import IssuerClient, IssuerFailure
from gateway.oauth.client_authentication import ClientAuthentication, ClientSecretBasic, PublicClient
from gateway.oauth.error_response import OAuthError
from gateway.oauth.token_endpoint import LONGEST_LIFETIME, TokenEndpoint, lifetime
from tests.authorization_server import Scripted, ScriptedServer, error_answer, token_answer

PUBLIC = PublicClient("app")


@contextlib.asynccontextmanager
async def endpoint_of(
    server: ScriptedServer, authentication: ClientAuthentication = PUBLIC, **options: Any
) -> AsyncIterator[TokenEndpoint]:
    async with IssuerClient(timeout=5) as client:
        yield TokenEndpoint(client, await server.found(client), authentication, **options)


async def test_each_grant_sends_what_the_rfc_asks_for() -> None:
    async with ScriptedServer() as server:
        server.answers["/token"] = [token_answer()]
        async with endpoint_of(server) as endpoint:
            await endpoint.client_credentials("a b")
            await endpoint.client_credentials()
            await endpoint.refresh("RT")
            await endpoint.redeem_code("C+/=&", "http://127.0.0.1:1/callback", "V")
            await endpoint.redeem_device_code("DC")
        app = {"client_id": "app"}
        assert [asked.form for asked in server.asked_at("/token")] == [
            {"grant_type": "client_credentials", "scope": "a b", **app},
            {"grant_type": "client_credentials", **app},
            {"grant_type": "refresh_token", "refresh_token": "RT", **app},
            {
                "grant_type": "authorization_code",
                "code": "C+/=&",
                "redirect_uri": "http://127.0.0.1:1/callback",
                "code_verifier": "V",
                **app,
            },
            {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": "DC", **app},
        ]


async def test_a_secret_goes_form_encoded_into_basic_and_nowhere_else() -> None:
    async with ScriptedServer() as server:
        server.answers["/token"] = [token_answer()]
        async with endpoint_of(server, ClientSecretBasic("a:p", "a:b%c+d é/")) as endpoint:
            await endpoint.client_credentials()
        asked = server.asked_at("/token")[0]
        assert asked.form == {"grant_type": "client_credentials"}
        sent = base64.b64decode(asked.headers["Authorization"].removeprefix("Basic ")).decode()
        assert sent == "a%3Ap:a%3Ab%25c%2Bd+%C3%A9%2F"


async def test_resources_and_an_audience_are_sent_along() -> None:
    async with ScriptedServer() as server:
        server.answers["/token"] = [token_answer()]
        options = {"resources": ["https://a.example", "urn:b"], "parameters": {"audience": "orders"}}
        async with endpoint_of(server, **options) as endpoint:
            await endpoint.client_credentials()
            await endpoint.refresh("RT")
        pairs = [pair for pair in server.asked_at("/token")[0].pairs if pair[0] in ("resource", "audience")]
        assert pairs == [("audience", "orders"), ("resource", "https://a.example"), ("resource", "urn:b")]
        assert "audience" not in dict(server.asked_at("/token")[1].pairs)


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
async def test_a_bearer_token_is_taken_in_any_case(kind: str) -> None:
    async with ScriptedServer() as server, endpoint_of(server) as endpoint:
        server.answers["/token"] = [token_answer(token_type=kind, refresh_token="RT", scope="a")]
        token = await endpoint.client_credentials("a b")
        assert (token.access_token, token.expires_in, token.refresh_token, token.scope) == ("AT-1", 300, "RT", "a")
        for secret in ("AT-1", "RT"):
            assert secret not in repr(token)


@pytest.mark.parametrize("kind", ["mac", "DPoP", "N_A", None, 7, "", ["Bearer"]])
async def test_another_token_type_must_not_be_used(kind: Any) -> None:
    async with ScriptedServer() as server, endpoint_of(server) as endpoint:
        server.answers["/token"] = [token_answer(token_type=kind)]
        with pytest.raises(IssuerFailure) as refused:
            await endpoint.client_credentials()
        assert refused.value.kind == "token_type"


@pytest.mark.parametrize("value", [None, "", 7, "a b", "a\nb", "\x1b[2J", "ä", ["AT"]])
@pytest.mark.parametrize("name", ["access_token", "refresh_token"])
async def test_what_is_no_token_is_not_taken_for_one(name: str, value: Any) -> None:
    async with ScriptedServer() as server, endpoint_of(server) as endpoint:
        server.answers["/token"] = [token_answer(**{name: value})]
        if name == "refresh_token" and not value:
            assert (await endpoint.client_credentials()).refresh_token is None
            return
        with pytest.raises(IssuerFailure) as refused:
            await endpoint.client_credentials()
        assert refused.value.kind == "malformed"


@pytest.mark.parametrize("scope", [7, ["a"], 'a"b', "a\tb", None])
async def test_a_scope_of_the_wrong_form_counts_as_absent(scope: Any) -> None:
    async with ScriptedServer() as server, endpoint_of(server) as endpoint:
        server.answers["/token"] = [token_answer(scope=scope)]
        assert (await endpoint.client_credentials()).scope is None


@pytest.mark.parametrize("status", [200, 400, 401, 403])
async def test_an_error_is_read_whatever_the_status(status: int) -> None:
    async with ScriptedServer() as server, endpoint_of(server) as endpoint:
        server.answers["/token"] = [error_answer("invalid_client", "who?", status)]
        with pytest.raises(OAuthError) as refused:
            await endpoint.client_credentials()
        assert (refused.value.code, refused.value.description, refused.value.status) == (
            "invalid_client",
            "who?",
            status,
        )


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Scripted("<html>", 400), "status"),
        (Scripted("<html>", 200), "malformed"),
        (Scripted("", 401), "status"),
        (Scripted({}, 500), "status"),
        (Scripted({"error": "server_error"}, 503), "status"),
        (Scripted({"error": 7}, 400), "status"),
        (Scripted({}, 204), "status"),
        (Scripted({"access_token": "AT", "token_type": "Bearer"}, 201), "status"),
        (Scripted({}, 302, {"Location": "/elsewhere"}), "status"),
        (Scripted({}, 307, {"Location": "/elsewhere"}), "status"),
        (Scripted('{"access_token": "a", "access_token": "b", "token_type": "Bearer"}'), "malformed"),
        (Scripted('{"access_token": "a", "token_type": "Bearer", "expires_in": 1e999}'), "malformed"),
        (Scripted(["AT"]), "malformed"),
        (Scripted("{" + " " * 2**20), "too_large"),
        (Scripted("", drop=True), "unreachable"),
    ],
)
async def test_any_other_answer_is_the_issuers_failure_and_nothing_is_sent_twice(answer: Scripted, kind: str) -> None:
    async with ScriptedServer() as server, endpoint_of(server) as endpoint:
        server.answers["/token"] = [answer]
        with pytest.raises(IssuerFailure) as failed:
            await endpoint.redeem_code("C", "http://127.0.0.1/", "V")
        assert failed.value.kind == kind
        assert len(server.asked_at("/token")) == 1
        assert not server.asked_at("/elsewhere")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (300, 300.0),
        (299.5, 299.5),
        ("3600", 3600.0),
        ("1.5", 1.5),
        (0, 0.0),
        (-1, 0.0),
        ("-1", 0.0),
        (-(10**99), 0.0),
        (10**99, LONGEST_LIFETIME),
        ("9" * 18, LONGEST_LIFETIME),
        (float("inf"), LONGEST_LIFETIME),
        (float("nan"), None),
        (None, None),
        (True, None),
        ("soon", None),
        ("9" * 5000, None),
        ("١٢", None),
        ("1_0", None),
        ("", None),
        ([300], None),
    ],
)
def test_a_lifetime_is_a_number_of_seconds_or_unknown(value: Any, seconds: float | None) -> None:
    assert lifetime(value) == seconds
