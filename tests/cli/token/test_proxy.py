"""The proxy of the environment: which addresses go through it, and that they do."""

from __future__ import annotations

import pytest

from gateway.cli.token.proxy import proxies
from tests.authorization_server import ScriptedServer, token_answer
from tests.cli.token.command import User, client
from tests.services import free_port

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("environ", "url", "expected"),
    [
        ({}, "https://as.example/token", None),
        ({"https_proxy": PROXY}, "https://as.example/token", PROXY),
        ({"HTTPS_PROXY": PROXY}, "https://as.example/token", PROXY),
        ({"https_proxy": "proxy.example:3128"}, "https://as.example/token", PROXY),
        ({"https_proxy": "socks5://proxy.example"}, "https://as.example/token", None),
        ({"https_proxy": PROXY}, "http://as.example/token", None),
        ({"http_proxy": PROXY}, "http://as.example/token", PROXY),
        ({"HTTP_PROXY": PROXY}, "http://as.example/token", None),
        ({"https_proxy": PROXY, "no_proxy": "example"}, "https://as.example/token", None),
        ({"https_proxy": PROXY, "NO_PROXY": "other.example, as.example"}, "https://as.example:8443/token", None),
        ({"https_proxy": PROXY, "no_proxy": ".example"}, "https://AS.example/token", None),
        ({"https_proxy": PROXY, "no_proxy": "as.example:8443"}, "https://as.example:8443/token", None),
        ({"https_proxy": PROXY, "no_proxy": "as.example:8443,,"}, "https://as.example/token", PROXY),
        ({"https_proxy": PROXY, "no_proxy": "*"}, "https://as.example/token", None),
        ({"https_proxy": PROXY, "no_proxy": "s.example"}, "https://as.example/token", PROXY),
        ({"http_proxy": PROXY}, "http://127.0.0.1:9400/token", None),
        ({"https_proxy": PROXY}, "https://localhost/token", None),
        ({"https_proxy": PROXY}, "https://[::1]:1/token", None),
    ],
)
def test_it_counts_for_what_is_not_on_this_machine_nor_excepted(
    environ: dict[str, str], url: str, expected: str | None
) -> None:
    assert proxies(environ)(url) == expected


async def test_an_issuer_behind_a_proxy_is_reached(user: User) -> None:
    # To a proxy a client speaks of the whole address (RFC 9112 §3.2.2); this one answers for the issuer itself.
    issuer = "http://issuer.invalid"
    async with ScriptedServer() as server:
        server.metadata = {"issuer": issuer, "token_endpoint": f"{issuer}/token"}
        server.answers["/token"] = [token_answer()]
        options = ["get", *client(issuer, secret="S"), "--allow-http"]
        assert (await user.run(*options, http_proxy=server.origin)).token == "AT-1"
        assert server.asked_at("/token")[0].headers["Host"] == "issuer.invalid"
    down = await user.run(*options, "--new", http_proxy=f"http://user:PASSWORD@127.0.0.1:{free_port()}")
    assert (down.code, down.out) == (3, "")
    assert "PASSWORD" not in down.err
