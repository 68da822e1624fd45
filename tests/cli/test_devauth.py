"""`oauth-gateway devauth` as users start it: a process, its options, its signals, and what it writes."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.devauth.visitor import SECRETS, VERIFIER, Visitor
from tests.devauth_process import running_devauth

FILE = """\
audience: https://api.example.com
scopes: {notes: Read your notes}
clients:
  - client_id: notes
    client_name: Notes
    redirect_uris: [http://127.0.0.1/callback]
    scopes: [openid, notes]
    access_token: opaque
    lifetimes: {access: 90, refresh: 1h, code: 30s}
  - client_id: demo-service
    client_secret: ${SECRET:-demo-service-secret}
    scopes: [notes]
users:
  - {name: carol, password: "a long one", claims: {sub: u-3, roles: [writer]}}
"""


def refused(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", "devauth", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
async def session() -> object:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as opened:
        yield opened


async def test_without_a_file_every_flow_works_and_nothing_secret_is_written(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    with running_devauth(tmp_path) as devauth:
        visitor = Visitor(devauth.issuer, session)
        page = await visitor.sign_in(await visitor.get(visitor.address()), "alice", "a wrong password")
        page = await visitor.sign_in(page)
        sent = await visitor.submit(page, "/consent", decision="approve")
        tokens = (await visitor.redeem(sent.answer["code"])).body
        renewed = (await visitor.refresh(tokens["refresh_token"])).body
        told = await visitor.device()
        await visitor.poll(told["device_code"])
        await visitor.decide_on_device(told["user_code"], "approve")
        from_device = (await visitor.poll(told["device_code"])).body
        service = (await visitor.token({"grant_type": "client_credentials", "client_id": "demo-service"})).body
        assert (await visitor.introspect(renewed["access_token"]))["sub"] == "alice"
        await visitor.redeem(sent.answer["code"])
        assert not await visitor.is_active(renewed["access_token"])
        await visitor.get(visitor.address({"client_id": "SECRET-CANARY", "redirect_uri": "https://evil.com/CANARY"}))
        await visitor.token({"grant_type": "CANARY", "client_id": "CANARY", "client_secret": "CANARY"})
    cookies = [cookie.value for cookie in session.cookie_jar]
    secrets = [sent.answer["code"], VERIFIER, "a wrong password", told["device_code"], told["user_code"], "CANARY"]
    for body in (tokens, renewed, from_device, service):
        secrets += [value for name, value in body.items() if name.endswith("_token") and name != "token_type"]
    for secret in [*secrets, *cookies, *SECRETS.values(), "a state"]:
        assert secret not in devauth.output
    for said in (
        "a token for demo-web by authorization_code",
        "refused demo-web: invalid_grant",
        "a token for demo-device",
    ):
        assert said in devauth.output


async def test_a_clients_file_says_whom_it_knows(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    file = tmp_path / "clients.yaml"
    file.write_text(FILE)
    with running_devauth(tmp_path, "--clients", str(file)) as devauth:
        visitor = Visitor(devauth.issuer, session)
        own = {"client_id": "notes", "redirect_uri": "http://127.0.0.1:4711/callback", "scope": "openid notes"}
        page = await visitor.get(visitor.address(own))
        assert "The password is the name" not in page.text
        page = await visitor.sign_in(page, "carol", "a long one")
        assert "Read your notes" in page.text
        code = (await visitor.submit(page, "/consent", decision="approve")).answer["code"]
        answer = await visitor.redeem(code, {"client_id": "notes", "redirect_uri": own["redirect_uri"]})
        assert (answer.status, answer.body["expires_in"]) == (200, 90)
        told = await visitor.introspect(answer.body["access_token"])
        assert (told["sub"], told["roles"], told["aud"]) == ("u-3", ["writer"], "https://api.example.com")
        assert (await visitor.get(visitor.address())).status == 400


async def test_a_hang_up_makes_a_new_key_and_a_seed_always_the_same_ones(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    runs = []
    for _ in range(2):
        with running_devauth(tmp_path, "--seed", "5") as devauth:
            devauth.hang_up()
            devauth.until("signs with a new key: ")
            keys = (await Visitor(devauth.issuer, session).get("/jwks")).body["keys"]
            assert devauth.output.rstrip().endswith(keys[0]["kid"])
            runs.append([key["kid"] for key in keys])
    assert runs[0] == runs[1]
    assert len(runs[0]) == 2


async def test_it_may_be_known_by_another_address_than_it_listens_on(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    with running_devauth(tmp_path, "--issuer", "https://login.example.com/dev/") as devauth:
        assert devauth.issuer == "https://login.example.com/dev"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--listen", "0.0.0.0:0"], "listens on loopback alone. With --i-know"),
        (["--listen", "192.0.2.1:0"], "listens on loopback alone"),
        (["--listen", "[::]:0"], "listens on loopback alone"),
        (["--listen", "0.0.0.0:0", "--i-know"], "must be https"),
        (["--listen", "0.0.0.0:0", "--i-know", "--issuer", "http://login.example.com"], "must be https"),
        (["--listen", "127.0.0.1:0", "--issuer", "http://login.example.com"], "must be https"),
        (["--listen", "127.0.0.1:0", "--issuer", "login"], "an issuer is"),
        (["--listen", "login.example.com:0"], "does not appear to be"),
        (["--listen", "9400"], "must be an address"),
        (["--listen", "127.0.0.1:99999"], "must be an address"),
        (["--seed", "x"], "not a valid integer"),
        (["--clients", "/nowhere.yaml"], "there is no such file"),
    ],
)
def test_what_it_may_not_do_it_says_and_does_not_start(options: list[str], said: str) -> None:
    ended = refused(*options)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


def test_who_insists_may_listen_beyond_loopback_where_the_issuer_is_https(tmp_path: Path) -> None:
    options = ("--listen", "0.0.0.0:0", "--i-know", "--issuer", "https://login.example.com")
    with running_devauth(tmp_path, *options) as devauth:
        assert devauth.issuer == "https://login.example.com"


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ended = refused("--listen", f"localhost:{other.getsockname()[1]}")
    assert ended.returncode == 1
    assert "Address already in use" in ended.stderr


def test_every_mistake_of_a_clients_file_is_told_by_line(tmp_path: Path) -> None:
    file = tmp_path / "clients.yaml"
    file.write_text("clients:\n  - {client_id: a, scopes: [b], grant_types: [implicit]}\nuser: []\n")
    ended = refused("--clients", str(file))
    assert ended.returncode == 2
    assert f"{file}:2:47: clients[0].grant_types[0]: the implicit grant is gone" in ended.stderr
    assert f"{file}:3:1: user: there is no such key; did you mean users?" in ended.stderr
    assert "2 problems; nothing was started" in ended.stderr
