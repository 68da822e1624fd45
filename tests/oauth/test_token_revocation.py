"""Revocation, as a client asks for it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.oauth.authorization_server import EndpointMissing
from gateway.oauth.client import IssuerClient, IssuerFailure
from gateway.oauth.client_authentication import ClientSecretPost
from gateway.oauth.error_response import OAuthError
from gateway.oauth.token_revocation import revoke
from tests.authorization_server import Scripted, ScriptedServer, error_answer

APP = ClientSecretPost("app", "S")


async def revoked(server: ScriptedServer, *arguments: Any) -> None:
    async with IssuerClient(timeout=5) as client:
        await revoke(client, await server.found(client), APP, *arguments)


async def test_token_and_hint_are_sent_with_the_clients_authentication() -> None:
    async with ScriptedServer() as server:
        server.answers["/revoke"] = [Scripted("", 200)]
        await revoked(server, "T+&=")
        await revoked(server, "RT", "refresh_token")
        app = {"client_id": "app", "client_secret": "S"}
        assert [asked.form for asked in server.asked_at("/revoke")] == [
            {"token": "T+&=", **app},
            {"token": "RT", "token_type_hint": "refresh_token", **app},
        ]


@pytest.mark.parametrize("body", ["", "OK", "{}", '{"error": "x"}'])
async def test_200_is_enough_whatever_the_body_says(body: str) -> None:
    async with ScriptedServer() as server:
        server.answers["/revoke"] = [Scripted(body)]
        await revoked(server, "T")


@pytest.mark.parametrize("code", ["unsupported_token_type", "invalid_client", "invalid_request"])
async def test_an_error_is_told(code: str) -> None:
    async with ScriptedServer() as server:
        server.answers["/revoke"] = [error_answer(code)]
        with pytest.raises(OAuthError) as refused:
            await revoked(server, "T")
        assert refused.value.code == code


@pytest.mark.parametrize("status", [204, 302, 401, 404, 500, 503])
async def test_any_other_answer_leaves_the_token_alive(status: int) -> None:
    async with ScriptedServer() as server:
        server.answers["/revoke"] = [Scripted("", status)]
        with pytest.raises(IssuerFailure) as failed:
            await revoked(server, "T")
        assert str(status) in str(failed.value)


async def test_an_issuer_without_the_endpoint_is_not_asked() -> None:
    async with ScriptedServer() as server:
        server.metadata = {"revocation_endpoint": None}
        with pytest.raises(EndpointMissing):
            await revoked(server, "T")
