"""What holds for every request: other names are refused, and answers have a form of ours."""

from __future__ import annotations

import aiohttp
import pytest

from gateway.devauth import defaults
from gateway.devauth.server import DevelopmentServer
from tests.devauth.visitor import Visitor


@pytest.mark.parametrize("host", ["evil.com", "evil.com:80", "127.0.0.1.evil.com", "a@127.0.0.1", "10.0.0.1", "a b"])
async def test_a_page_that_gives_its_name_our_address_gets_nothing(visitor: Visitor, host: str) -> None:
    """DNS rebinding: for the browser, such a page and we are one origin."""
    for path in ("/jwks", "/", "/authorize", "/style.css"):
        page = await visitor.get(path, Host=host)
        assert page.status in (400, 421)
        assert "keys" not in page.text
    assert (await visitor.post("/rotate-keys", Host=host)).status in (400, 421)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:9", "[::1]:80", "127.3.2.1"])
async def test_every_name_of_this_machine_is_ours(visitor: Visitor, host: str) -> None:
    assert (await visitor.get("/jwks", Host=host)).status == 200


async def test_behind_a_proxy_the_name_of_the_issuer_is_ours_too(session: aiohttp.ClientSession) -> None:
    issuer = "https://login.example.com/dev"
    server = DevelopmentServer(defaults.CLIENTS, "ES256", users=defaults.USERS, issuer=issuer)
    await server.start()
    try:
        assert server._runner is not None
        address = f"http://127.0.0.1:{server._runner.addresses[0][1]}"
        visitor = Visitor(f"{address}/dev", session)
        assert (await visitor.get("/dev/jwks", Host="login.example.com")).status == 200
        assert (await visitor.get("/dev/jwks", Host="Login.Example.com:443")).status == 200
        assert (await visitor.get("/dev/jwks", Host="other.example.com")).status == 421
        page = await visitor.get(visitor.address(), Host="login.example.com")
        assert "; Secure" in page.fields["Set-Cookie"]
        assert "Path=/dev" in page.fields["Set-Cookie"]
        assert 'href="/dev/style.css"' in page.text
        assert (await visitor.get("/dev/style.css")).status == 200
        assert (await visitor.get("/style.css")).status == 404
    finally:
        await server.stop()


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/token", 405), ("POST", "/nothing", 404), ("DELETE", "/authorize", 405)]
)
async def test_a_person_gets_a_page_and_a_program_gets_json(
    visitor: Visitor, method: str, path: str, status: int
) -> None:
    for accept, kind in (("text/html,*/*", "text/html"), ("*/*", "application/json")):
        async with visitor.session.request(method, f"{visitor.issuer}{path}", headers={"Accept": accept}) as answer:
            assert (answer.status, answer.content_type) == (status, kind)
            assert ("Allow" in answer.headers) is (status == 405)
            assert path not in await answer.text()
