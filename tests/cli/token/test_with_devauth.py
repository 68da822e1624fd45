"""`token` against the development authorization server, both as users start them; the tokens pass a gateway."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.token.command import User, client
from tests.devauth_process import DevauthProcess, running_devauth
from tests.form_browser import FormBrowser
from tests.gateway_process import serving
from tests.services import free_port

BROWSER = shlex.join([sys.executable, "-m", "tests.form_browser"])
SERVICE = "demo-service-secret"


@pytest.fixture
def devauth(tmp_path: Path) -> Iterator[DevauthProcess]:
    with running_devauth(tmp_path) as running:
        yield running


def subjects(folder: Path, issuer: str, *tokens: str) -> list[str]:
    """Whom a gateway in front of an API takes the bearers of these tokens for."""
    introspection = {"client_id": "demo-service", "client_secret": SERVICE}
    block = {"issuer": issuer, "audience": "orders-api", "introspection": introspection}
    route = {"path": "/orders", "respond": {"body": "ok"}, "require": {"scopes": ["orders:read"]}}
    with serving(folder, free_port(), free_port(), {"issuers": {"dev": block}, "routes": [route]}) as gateway:
        gateway.until("/readyz", 200)
        for token in tokens:
            assert gateway.ask("/orders", token)[0] == 200
    return [line["sub"] for line in map(json.loads, gateway.log.splitlines()) if line["event"] == "request"]


async def test_each_grant_gives_a_token_that_a_gateway_takes(
    devauth: DevauthProcess, user: User, tmp_path: Path
) -> None:
    scope = ["--scope", "orders:read"]
    service = await user.run("get", *client(devauth.issuer, name="demo-service", secret=SERVICE), *scope)
    web = await user.run("get", *client(devauth.issuer, name="demo-web"), *scope, BROWSER=f"{BROWSER} --name alice")
    opaque = await user.run(
        "get",
        *client(devauth.issuer, name="demo-opaque", secret="demo-opaque-secret"),
        *("--grant", "authorization_code", *scope),
        BROWSER=f"{BROWSER} --name bob",
    )
    options = [*client(devauth.issuer, name="demo-device"), "--grant", "device_code", *scope]
    async with user.runs("get", *options) as running:
        address = await running.line(r"^  (http://\S+\?user_code=\S+)$")
        await asyncio.to_thread(FormBrowser("bob").visit, address)
        device = await running.end()
    tokens = [ended.token for ended in (service, web, opaque, device)]
    assert "." not in opaque.token
    found = await asyncio.to_thread(subjects, tmp_path, devauth.issuer, *tokens)
    assert found == ["demo-service", "alice", "bob", "bob"]
    for secret in tokens:
        assert secret not in devauth.output


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (client("", name="demo-service", secret="wrong"), 1, "invalid_client"),
        (client("", name="nobody", secret="x"), 1, "invalid_client"),
        ([*client("", name="demo-service", secret=SERVICE), "--scope", "nonsense"], 1, "it lists: "),
        ([*client("", name="demo-web"), "--grant", "client_credentials"], 1, "wrong or missing"),
        ([*client("", name="demo-web"), "--grant", "device_code"], 1, "unauthorized_client"),
    ],
)
async def test_what_the_server_refuses_is_told(
    devauth: DevauthProcess, user: User, options: list[str], code: int, words: str
) -> None:
    ended = await user.run("get", *options, "--issuer", devauth.issuer)
    assert (ended.code, ended.out) == (code, "")
    assert words in ended.err
    assert not user.files


async def test_a_user_who_denies_ends_the_waiting(devauth: DevauthProcess, user: User) -> None:
    web = await user.run("get", *client(devauth.issuer, name="demo-web"), BROWSER=f"{BROWSER} --deny")
    assert (web.code, web.out) == (4, "")
    assert "access_denied" in web.err
    async with user.runs("get", *client(devauth.issuer, name="demo-device"), "--grant", "device_code") as running:
        address = await running.line(r"^  (http://\S+\?user_code=\S+)$")
        await asyncio.to_thread(FormBrowser(approves=False).visit, address)
        device = await running.end()
    assert (device.code, device.out) == (4, "")
    assert "access_denied" in device.err


async def test_a_device_code_that_nobody_enters_expires(user: User, tmp_path: Path) -> None:
    clients = tmp_path / "clients.yaml"
    clients.write_text(
        "clients: [{client_id: slow, grant_types: [device_code], scopes: [orders:read], lifetimes: {device: 2}}]\n"
    )
    with running_devauth(tmp_path, "--clients", str(clients)) as devauth:
        ended = await user.run("get", *client(devauth.issuer, name="slow"), "--grant", "device_code")
        assert (ended.code, ended.out) == (4, "")
        assert "expired_token" in ended.err


async def test_refreshing_rotates_and_a_replay_ends_everything(devauth: DevauthProcess, user: User) -> None:
    who = client(devauth.issuer, name="demo-web")
    options = ["get", *who, "--scope", "orders:read offline_access"]
    first = await user.run(*options, BROWSER=BROWSER)
    (file,) = user.files
    before = json.loads(file.read_text())
    second = await user.run(*options, "--grant", "refresh_token", "--new")
    assert second.token != first.token
    after = json.loads(file.read_text())
    assert before["token"]["refresh_token"] != after["token"]["refresh_token"]
    # Somebody comes with the old one: from now on the new one is worth nothing either.
    stolen = before["token"]["refresh_token"]
    replay = ["--grant", "refresh_token", "--refresh-token", stolen, "--no-store"]
    assert (await user.run(*options, *replay)).code == 1
    lost = await user.run(*options, "--grant", "refresh_token", "--new")
    assert (lost.code, lost.out) == (1, "")
    assert "invalid_grant" in lost.err


async def test_four_shells_at_once_lose_no_refresh_token(devauth: DevauthProcess, user: User) -> None:
    options = ["get", *client(devauth.issuer, name="demo-web"), "--scope", "orders:read offline_access"]
    await user.run(*options, BROWSER=BROWSER)
    (file,) = user.files
    document = json.loads(file.read_text())
    document["token"].update(obtained_at=time.time() - 3600, expires_at=time.time() - 1)
    file.write_text(json.dumps(document))
    # This server ends everything when a refresh token comes twice.
    found = await asyncio.gather(*(user.run(*options, "--grant", "refresh_token") for _ in range(4)))
    assert len({ended.token for ended in found}) == 1
    assert (await user.run(*options, "--grant", "refresh_token", "--new")).code == 0


async def test_a_revoked_token_is_known_as_such_everywhere(devauth: DevauthProcess, user: User) -> None:
    who = client(devauth.issuer, name="demo-web")
    token = (await user.run("get", *who, "--scope", "orders:read", BROWSER=BROWSER)).token
    asking = [*client(devauth.issuer, name="demo-service", secret=SERVICE), "--introspect"]
    good = await user.run("inspect", token, *asking, "--scope", "orders:read")
    assert good.code == 0, good.out + good.err
    assert (await user.run("revoke", *who)).code == 0
    told = await user.run("inspect", token, *asking)
    assert told.code == 1
    assert "token_inactive" in told.out
