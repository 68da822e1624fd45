"""The development authorization server as a process of its own, and its client: tokens by client credentials.

python -m benchmarks.authorization_server PORT
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchmarks.issuer import AUDIENCE, SCOPE
from benchmarks.processes import ask, free_port, running
from gateway.devauth.clients import Client
from gateway.devauth.server import DevelopmentServer

SECRET = "only-for-a-benchmark"
JWT, OPAQUE, DISMISSED, RESOURCE_SERVER = "jwt-client", "opaque-client", "dismissed-client", "gateway"

CLIENTS = (
    Client(JWT, SECRET, frozenset({SCOPE}), AUDIENCE),
    Client(OPAQUE, SECRET, frozenset({SCOPE}), AUDIENCE, access_token="opaque"),
    Client(DISMISSED, SECRET, frozenset({SCOPE}), AUDIENCE, access_token="opaque"),
    Client(RESOURCE_SERVER, SECRET, frozenset(), AUDIENCE),
)


class TokenError(Exception):
    """The authorization server gave no token."""


class AuthorizationServer:
    """The running server, as a client sees it."""

    def __init__(self, port: int) -> None:
        self._port = port

    def trust(self) -> dict[str, Any]:
        """How the gateway is told to trust it: keys by discovery, opaque tokens by introspection."""
        return {
            "issuer": f"http://127.0.0.1:{self._port}",
            "audience": AUDIENCE,
            "introspection": {"client_id": RESOURCE_SERVER, "client_secret": SECRET},
        }

    def token(self, client: str) -> str:
        """A new access token of a client (RFC 6749 §4.4). Raises `TokenError`."""
        form = {"grant_type": "client_credentials", "client_id": client, "client_secret": SECRET, "scope": SCOPE}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = ask(self._port, "/token", method="POST", headers=headers, body=urlencode(form).encode())
        if answer.status != 200:
            raise TokenError(f"the authorization server answers {answer.status} to a request for a token")
        return str(json.loads(answer.body)["access_token"])


@contextlib.contextmanager
def authorization_server(cores: Sequence[int], folder: Path) -> Iterator[AuthorizationServer]:
    """Run it until the block ends."""
    home = folder / "authorization-server"
    home.mkdir()
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.authorization_server", str(port)]

    def is_ready() -> bool:
        return ask(port, "/.well-known/oauth-authorization-server").status == 200

    with running("authorization server", command, cores, port, home, is_ready):
        yield AuthorizationServer(port)


async def _serve(port: int) -> None:
    server = DevelopmentServer(CLIENTS)
    await server.start(port=port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
