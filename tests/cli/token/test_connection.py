"""How a client finds its authorization server, and by which method it proves who it is."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization

from gateway.cli.token.connection import connected
from gateway.cli.token.exit_status import IssuerTrouble, WrongOption
from gateway.cli.token.options import Secret
from gateway.cli.token.terminal import Teller
from gateway.oauth.client_authentication import (
    ClientAssertion,
    ClientAuthentication,
    ClientSecretBasic,
    ClientSecretPost,
    PublicClient,
    TlsClientAuth,
)
from tests.authorization_server import ScriptedServer
from tests.cli.token.test_options import CLIENT
from tests.issuer import private_key, server_tls

SECRET = Secret("a secret of more than thirty-two bytes", "client secret")


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as running:
        yield running


async def chosen(server: ScriptedServer, **options: Any) -> ClientAuthentication:
    async with connected(replace(CLIENT, issuer=server.issuer, **options), Teller()) as connection:
        return connection.authentication


@pytest.mark.parametrize(
    ("offered", "kind"),
    [
        (None, ClientSecretBasic),
        ([], ClientSecretBasic),
        (["client_secret_post", "client_secret_basic"], ClientSecretBasic),
        (["client_secret_post"], ClientSecretPost),
        (["private_key_jwt", "client_secret_jwt"], ClientAssertion),
        (["private_key_jwt"], ClientSecretBasic),
        ("client_secret_post", ClientSecretBasic),
    ],
)
async def test_a_secret_is_used_as_the_issuer_takes_it(server: ScriptedServer, offered: Any, kind: type[Any]) -> None:
    server.metadata = {"token_endpoint_auth_methods_supported": offered}
    assert type(await chosen(server, secret=SECRET)) is kind


async def test_what_the_user_says_wins(server: ScriptedServer) -> None:
    server.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_basic"]}
    assert type(await chosen(server, secret=SECRET, client_auth="client_secret_post")) is ClientSecretPost
    assert type(await chosen(server, secret=SECRET, client_auth="client_secret_jwt")) is ClientAssertion


async def test_a_client_without_anything_is_public(server: ScriptedServer) -> None:
    assert type(await chosen(server)) is PublicClient


async def test_a_key_or_a_certificate_is_used(server: ScriptedServer, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(
        private_key("P-256").private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    assertion = await chosen(server, client_key=key, client_key_id="k9")
    assert isinstance(assertion, ClientAssertion)
    assert (assertion.audience, assertion.algorithm, assertion.key_id) == (server.issuer, "ES256", "k9")
    server_tls(tmp_path)
    assert type(await chosen(server, certificate=str(tmp_path / "tls.pem"))) is TlsClientAuth


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"client_auth": "client_secret_post"}, "needs --client-secret"),
        ({"client_auth": "private_key_jwt"}, "needs --client-key"),
        ({"client_auth": "tls_client_auth"}, "needs --certificate"),
        ({"client_auth": "client_secret_jwt", "secret": Secret("short", "client secret")}, "32 bytes"),
        ({"client_key": Path("/nowhere")}, "No such file"),
        ({"client_key": Path(__file__)}, "no private key"),
        ({"ca": "/nowhere"}, "can't be used"),
        ({"ca": __file__}, "can't be used"),
        ({"certificate": __file__}, "can't be used"),
    ],
)
async def test_what_a_method_misses_is_named(server: ScriptedServer, options: dict[str, Any], words: str) -> None:
    with pytest.raises(WrongOption, match=words):
        await chosen(server, **options)


async def test_a_private_ca_is_trusted_only_when_it_is_named(tmp_path: Path) -> None:
    context, _ = server_tls(tmp_path)
    certificate = (tmp_path / "tls.pem").read_text()
    (tmp_path / "ca.pem").write_text(certificate[: certificate.index("-----BEGIN PRIVATE")])
    issuer = await _https_issuer(context)
    try:
        options = replace(CLIENT, issuer=issuer.issuer)
        with pytest.raises(IssuerTrouble, match="certificate is not trusted") as refused:
            async with connected(options, Teller()):
                pass
        assert "--ca FILE" in refused.value.advice[0]
        async with connected(replace(options, ca=str(tmp_path / "ca.pem")), Teller()) as connection:
            assert connection.server.endpoint("token_endpoint") == f"{issuer.issuer}/token"
    finally:
        await issuer.runner.cleanup()


class _Https:
    """An issuer that has nothing but metadata."""

    runner: web.AppRunner
    issuer = ""


async def _https_issuer(context: ssl.SSLContext) -> _Https:
    there = _Https()

    async def metadata(_: web.Request) -> web.Response:
        members = {"issuer": there.issuer, "token_endpoint": f"{there.issuer}/token"}
        return web.Response(text=json.dumps(members), content_type="application/json")

    application = web.Application()
    application.router.add_get("/.well-known/oauth-authorization-server", metadata)
    there.runner = web.AppRunner(application)
    await there.runner.setup()
    await web.TCPSite(there.runner, "127.0.0.1", 0, ssl_context=context).start()
    there.issuer = f"https://127.0.0.1:{there.runner.addresses[0][1]}"
    return there
