"""`oauth-gateway token` against a server this project did not write, and a gateway that takes its tokens.

The user is a browser without a window, which the command opens by itself where it does so for people.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from pathlib import Path

import pytest

from tests.cli.token.command import Ended, User, client
from tests.form_browser import FormBrowser
from tests.interop.provider import Provider, Upstream, gateway_for

ORDERS = ["--resource", "urn:orders", "--scope", "orders:read offline_access openid"]
SHORT = ["--resource", "urn:short", "--scope", "orders:read offline_access openid"]
BROWSER = shlex.join([sys.executable, "-m", "tests.form_browser"])


@pytest.fixture
def user(tmp_path: Path) -> User:
    """Somebody with an empty home folder."""
    home = tmp_path / "home"
    home.mkdir()
    return User(home)


async def passes(ended: Ended, provider: Provider, upstream: Upstream, folder: Path) -> str:
    """The subject that the upstream hears of when this token goes through a gateway."""
    token = ended.token

    def ask() -> str:
        with gateway_for(provider.issuer, upstream, folder) as gateway:
            gateway.until("/readyz", 200)
            status, _, body = gateway.ask("/orders", token)
            assert status == 200, body
            return upstream.received[-1]["X-Auth-Subject"]

    return await asyncio.to_thread(ask)


async def test_client_credentials(provider: Provider, upstream: Upstream, user: User, tmp_path: Path) -> None:
    provider.start()
    options = ["get", *client(provider.issuer, name="reader", secret="reader-secret"), "--resource", "urn:orders"]
    first = await user.run(*options, "--scope", "orders:read")
    assert first.err == ""
    assert await passes(first, provider, upstream, tmp_path) == "reader"
    assert (await user.run(*options, "--scope", "orders:read")).token == first.token
    for further, code, words in (
        (["--client-secret", "wrong"], 1, "invalid_client"),
        (["--scope", "orders:write"], 1, "invalid_scope"),
        (["--resource", "urn:unknown"], 1, "invalid_target"),
        (["--grant", "authorization_code", "--no-browser", "--wait", "1"], 4, "nobody signed in"),
    ):
        ended = await user.run(*options, *further, "--new")
        assert (ended.code, ended.out) == (code, ""), ended.err
        assert words in ended.err
    # This server leaves out what it does not know; the user hears of it.
    ended = await user.run(*options, "--scope", "orders:read nonsense")
    assert (ended.code, ended.err) == (0, "warning: the issuer granted a token without nonsense\n")


async def test_a_key_proves_the_client_as_well_as_a_secret(provider: Provider, user: User) -> None:
    provider.start()
    options = ["--client-key", str(provider.client_key("EC")), "--client-id", "keyed", "--issuer", provider.issuer]
    opaque = await asyncio.to_thread(provider.token, resource="urn:opaque")
    told = await user.run("inspect", *options, "--audience", "urn:orders", "--", opaque)
    assert told.code == 0, told.out + told.err
    assert "what the issuer says of it" in told.out
    assert '"writer"' in told.out


async def test_a_user_signs_in_with_the_browser_that_is_opened(
    provider: Provider, upstream: Upstream, user: User, tmp_path: Path
) -> None:
    provider.start()
    options = ["get", *client(provider.issuer), *ORDERS]
    signed_in = await user.run(*options, "-v", BROWSER=f"{BROWSER} --name alice")
    token = signed_in.token
    assert "a browser opens" in signed_in.err
    assert token not in signed_in.err
    assert await passes(signed_in, provider, upstream, tmp_path) == "alice"
    # And from now on without a browser.
    assert (await user.run(*options)).token == token


async def test_a_client_with_a_secret_signs_users_in_too(provider: Provider, user: User) -> None:
    provider.start()
    options = [*client(provider.issuer, name="posting", secret="posting-secret"), "--client-auth", "client_secret_post"]
    ended = await user.run("get", "--grant", "authorization_code", *options, *ORDERS, BROWSER=BROWSER)
    told = json.loads((await user.run("inspect", ended.token, "--json")).out)
    assert (told["claims"]["sub"], told["claims"]["client_id"]) == ("alice", "posting")
    wrong = ["get", "--grant", "authorization_code", *client(provider.issuer, name="posting", secret="wrong"), "--new"]
    refused = await user.run(*wrong, "--client-auth", "client_secret_post", *ORDERS, BROWSER=BROWSER)
    assert (refused.code, refused.out) == (1, "")
    assert "invalid_client" in refused.err


@pytest.mark.parametrize("grant", ["authorization_code", "device_code"])
async def test_a_user_who_denies_gives_no_token(provider: Provider, user: User, grant: str) -> None:
    provider.start()
    name = "app" if grant == "authorization_code" else "device"
    options = ["get", *client(provider.issuer, name=name), "--grant", grant, *ORDERS]
    async with user.runs(*options, BROWSER=f"{BROWSER} --deny") as running:
        if grant == "device_code":
            address = await running.line(r"(http://\S+\?user_code=\S+)")
            await asyncio.to_thread(FormBrowser(approves=False).visit, address)
        ended = await running.end()
    assert (ended.code, ended.out) == (4, "")
    assert "access_denied" in ended.err
    assert not user.files


async def test_a_user_enters_the_code_of_a_device(
    provider: Provider, upstream: Upstream, user: User, tmp_path: Path
) -> None:
    provider.start()
    async with user.runs("get", *client(provider.issuer, name="device"), "--grant", "device_code", *ORDERS) as running:
        page = await running.line(r"(http://\S+)")
        code = await running.line(r"^  ([A-Z]{4}-[A-Z]{4})$")
        last = await asyncio.to_thread(FormBrowser("bob").visit, page, code)
        assert "The device is connected." in last.text
        ended = await running.end()
    assert await passes(ended, provider, upstream, tmp_path) == "bob"


async def test_a_token_is_refreshed_and_the_refresh_token_rotates(provider: Provider, user: User) -> None:
    provider.start()
    options = ["get", *client(provider.issuer), *SHORT]
    first = await user.run(*options, BROWSER=BROWSER)
    before = json.loads(user.files[0].read_text())["token"]["refresh_token"]
    await asyncio.sleep(1.1)  # the life of these tokens
    second = await user.run(*options, "--grant", "refresh_token")
    assert second.token != first.token
    after = json.loads(user.files[0].read_text())["token"]["refresh_token"]
    assert before != after
    # The old one is spent; whoever comes with it is taken for a thief.
    replayed = await user.run(*options, "--grant", "refresh_token", "--refresh-token", before, "--no-store")
    assert (replayed.code, replayed.out) == (1, "")
    assert "invalid_grant" in replayed.err


async def test_what_is_revoked_is_refused_and_no_longer_stored(provider: Provider, user: User) -> None:
    provider.start()
    who = client(provider.issuer)
    opaque = ["--resource", "urn:opaque", "--scope", "orders:read offline_access openid"]
    token = (await user.run("get", *who, *opaque, BROWSER=BROWSER)).token
    refresh_token = json.loads(user.files[0].read_text())["token"]["refresh_token"]
    asking = ["--issuer", provider.issuer, "--client-id", "gateway", "--client-secret", "gateway secret+%&="]
    assert (await user.run("inspect", *asking, "--", token)).code == 0
    revoked = await user.run("revoke", *who, "-v")
    assert (revoked.code, revoked.out) == (0, ""), revoked.err
    assert not user.files
    for secret in (token, refresh_token):
        assert secret not in revoked.err
    refused = await user.run("inspect", *asking, "-", text=token)
    assert refused.code == 1
    assert "token_inactive" in refused.out
    replayed = await user.run("get", *who, *opaque, "--grant", "refresh_token", "--refresh-token", refresh_token)
    assert replayed.code == 1


async def test_a_signature_is_checked_by_the_issuers_keys(provider: Provider, user: User) -> None:
    provider.start()
    token = await asyncio.to_thread(provider.token)
    good = await user.run(
        "inspect", "-", "--issuer", provider.issuer, "--scope", "orders:read", text=f"Bearer {token}\n"
    )
    assert good.code == 0, good.out
    assert "RS256 signature of key" in good.out
    wrong = await user.run("inspect", token, "--issuer", provider.issuer, "--audience", "urn:billing")
    assert wrong.code == 1
    assert "audience_mismatch" in wrong.out
    await asyncio.to_thread(provider.stop)
    down = await user.run("inspect", token, "--issuer", provider.issuer)
    assert down.code == 3
    assert "issuer_unavailable" in down.out
