"""TLS before and behind the gateway: whom it lets in, whom it trusts, and certificates renewed while requests run."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import os
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority, Pair
from tests.flow.test_endpoints import CLOSE
from tests.flow.test_forwarding import OPEN
from tests.gateway_process import GatewayProcess, serving
from tests.http.origin import Peer, ScriptedOrigin, always_ok, until
from tests.services import held_port
from tests.world import World, bearer, configuration, world

AUTHORITY, OTHER = Authority("one"), Authority("other")
GET = b"GET /open/x HTTP/1.1\r\nHost: api.example.com\r\n\r\n"
RENEWED_WITHIN = 10.0
"""Seconds: the promise."""


# The upstream's side


def tls_of(folder: Path, **more: object) -> dict[str, object]:
    return {"ca": str(AUTHORITY.write(folder / "ca.crt")), **more}


@contextlib.asynccontextmanager
async def before(
    origin: ScriptedOrigin, tls: dict[str, object] | None, host: str = "127.0.0.1", **more: Any
) -> AsyncIterator[World]:
    """A gateway before an origin that speaks TLS."""
    block: dict[str, Any] = {"url": f"https://{host}:{origin.port}", **more}
    if tls is not None:
        block["tls"] = tls
    async with world(OPEN, {"name": "own", "path": "/own"}, upstreams={"orders": block}) as w:
        yield w


async def refused(w: World) -> tuple[int, str]:
    answer = await w.ask("GET", "/open/x", CLOSE)
    return answer.status, json.loads(answer.body)["reason"]


async def test_an_upstream_over_tls_is_checked_by_its_address_or_its_server_name(tmp_path: Path) -> None:
    for names, block in [(("127.0.0.1",), {}), (("orders.internal",), {"server_name": "orders.internal"})]:
        async with ScriptedOrigin(always_ok, tls=AUTHORITY.server(tmp_path, *names)) as origin:
            async with before(origin, tls_of(tmp_path, **block)) as w:
                for _ in range(2):
                    assert (await w.ask("GET", "/open/x", CLOSE)).status == 200
            assert len(origin.peers) == 1


def expired(folder: Path) -> ssl.SSLContext:
    AUTHORITY.sign("127.0.0.1", until=-datetime.timedelta(minutes=1)).write(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return context


@pytest.mark.parametrize(
    ("server", "tls", "told"),
    [
        (lambda folder: OTHER.server(folder, "127.0.0.1"), {}, "unable to get local issuer certificate"),
        (lambda folder: AUTHORITY.server(folder, "orders.internal"), {}, "IP address mismatch"),
        (
            lambda folder: AUTHORITY.server(folder, "127.0.0.1"),
            {"server_name": "orders.internal"},
            "Hostname mismatch",
        ),
        (expired, {}, "certificate has expired"),
    ],
    ids=["another authority", "another address", "another name", "expired"],
)
async def test_a_certificate_that_does_not_fit_is_an_upstream_that_can_not_be_reached(
    tmp_path: Path,
    server: Callable[[Path], ssl.SSLContext],
    tls: dict[str, object],
    told: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with ScriptedOrigin(always_ok, tls=server(tmp_path)) as origin:
        async with before(origin, tls_of(tmp_path, **tls)) as w:
            assert await refused(w) == (502, "upstream_unreachable")
        assert not origin.received
    assert f"certificate not accepted: {told}" in caplog.text


async def test_without_a_ca_of_its_own_the_systems_are_trusted_and_verify_off_trusts_anybody(tmp_path: Path) -> None:
    async with ScriptedOrigin(always_ok, tls=AUTHORITY.server(tmp_path, "127.0.0.1")) as origin:
        async with before(origin, None) as w:
            assert await refused(w) == (502, "upstream_unreachable")
        async with before(origin, {"verify": False}) as w:
            assert (await w.ask("GET", "/open/x", CLOSE)).status == 200


async def test_plain_http_at_the_other_end_is_an_upstream_that_can_not_be_reached(tmp_path: Path) -> None:
    async def not_tls(peer: Peer) -> None:
        await peer.piece()
        await peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    async with ScriptedOrigin(not_tls) as origin, before(origin, tls_of(tmp_path)) as w:
        assert await refused(w) == (502, "upstream_unreachable")


async def test_a_handshake_that_hangs_is_a_timeout(tmp_path: Path) -> None:
    async def hangs(peer: Peer) -> None:
        await peer.until_closed()

    async with ScriptedOrigin(hangs) as origin, before(origin, tls_of(tmp_path), timeouts={"connect": "200ms"}) as w:
        assert await refused(w) == (504, "upstream_timeout")


async def test_the_gateway_shows_its_certificate_where_one_is_asked_for(tmp_path: Path) -> None:
    ours = AUTHORITY.sign("gateway").write(tmp_path / "ours")
    shown = {"certificate": str(ours / "tls.crt"), "private_key": str(ours / "tls.key")}
    server = AUTHORITY.server(tmp_path, "127.0.0.1", client_ca=AUTHORITY)
    async with ScriptedOrigin(always_ok, tls=server) as origin:
        async with before(origin, tls_of(tmp_path, **shown)) as w:
            assert (await w.ask("GET", "/open/x", CLOSE)).status == 200
        async with before(origin, tls_of(tmp_path)) as w:
            assert (await refused(w))[0] == 502


async def test_two_upstreams_at_one_address_are_checked_and_connected_to_by_their_own_names(tmp_path: Path) -> None:
    """One server that picks its certificate by the name it is asked for, as a shared load balancer does."""
    contexts = {name: AUTHORITY.server(tmp_path / name, name) for name in ("a.internal", "b.internal")}
    asked: list[str] = []

    def pick(connection: ssl.SSLObject, name: str, _: ssl.SSLContext) -> None:
        asked.append(name)
        connection.context = contexts.get(name, contexts["a.internal"])

    contexts["a.internal"].sni_callback = pick
    async with ScriptedOrigin(always_ok, tls=contexts["a.internal"]) as origin:
        address = f"https://127.0.0.1:{origin.port}"
        upstreams = {
            name[0]: {"url": address, "tls": tls_of(tmp_path, server_name=name)}
            for name in ("a.internal", "b.internal", "c.internal")
        }
        routes = [{"path": f"/{name}", "public": True, "upstream": name} for name in upstreams]
        async with world(*routes, upstreams=upstreams) as w:
            statuses = [(await w.ask("GET", f"/{name}", CLOSE)).status for name in "abcabc"]
        assert statuses == [200, 200, 502] * 2  # c gets the certificate of a
        assert asked == ["a.internal", "b.internal", "c.internal", "c.internal"]
        sent = [re.findall(rb"GET (/\S*)", received) for received in origin.received]
    assert sent == [[b"/a", b"/a"], [b"/b", b"/b"]], "a connection was shared by two names"


# The listener's side


def projected(folder: Path, version: str, pair: Pair) -> None:
    """What the kubelet does for a mounted Secret: a new folder, then one swap of the link `..data`."""
    pair.write(folder / version)
    (folder / "..data_tmp").symlink_to(version)
    os.replace(folder / "..data_tmp", folder / "..data")  # noqa: PTH105 - as the kubelet renames
    for name in ("tls.crt", "tls.key"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


@contextlib.contextmanager
def gateway_over_tls(folder: Path, upstream: int, **tls: str) -> Iterator[GatewayProcess]:
    """A gateway process whose certificate is in `folder`; its admin listener stays plain."""
    block = {"certificate": str(folder / "tls.crt"), "private_key": str(folder / "tls.key"), **tls}
    blocks = configuration(upstream, OPEN, {"name": "own", "path": "/own"}).model_dump(
        mode="json", include={"issuers"}, exclude_defaults=True
    )
    blocks |= {
        "tls": block,
        "upstreams": {"orders": {"url": f"http://127.0.0.1:{upstream}"}},
        "routes": [{**OPEN, "upstream": "orders"}, {"path": "/own", "upstream": "orders"}],
        "limits": {"request_body": "1KiB"},
    }
    with held_port() as port, held_port() as admin_port, serving(folder, port, admin_port, blocks) as gateway:
        yield gateway


class Client:
    """A kept-alive connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, gateway: GatewayProcess, context: ssl.SSLContext) -> Client:
        name = "api.example.com"
        return cls(*await asyncio.open_connection("127.0.0.1", gateway.port, ssl=context, server_hostname=name))

    @property
    def serial(self) -> str:
        """The serial number of the certificate that the gateway showed."""
        return str(self._writer.get_extra_info("peercert")["serialNumber"])

    async def ask(self, request: bytes = GET) -> bytes:
        """The head and body of the response. Raises ssl.SSLError or OSError when there is none."""
        self._writer.write(request)
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 10)
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return head + await asyncio.wait_for(self._reader.readexactly(length), 10)

    def close(self) -> None:
        self._writer.close()


async def test_clients_over_tls_are_answered_and_the_upstream_is_told(tmp_path: Path) -> None:
    AUTHORITY.sign("api.example.com").write(tmp_path)
    async with ScriptedOrigin(always_ok) as origin:
        with gateway_over_tls(tmp_path, origin.port) as gateway:
            client = await Client.connect(gateway, AUTHORITY.client())
            for _ in range(3):
                assert (await client.ask()).startswith(b"HTTP/1.1 200 OK")
            fields = origin.received[0].partition(b"\r\n\r\n")[0]
            assert b"\r\nX-Forwarded-Proto: https\r\n" in fields
            assert b"proto=https" in fields
            challenge = await client.ask(b"GET /own HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
            assert b'resource_metadata="https://api.example.com/.well-known' in challenge
            large = b"POST /open/x HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 500000\r\n\r\n"
            assert (await client.ask(large + b"x" * 100_000)).startswith(b"HTTP/1.1 413")
            client.close()


async def test_a_renewed_certificate_is_for_new_connections_while_requests_run_on(tmp_path: Path) -> None:
    projected(tmp_path, "..one", AUTHORITY.sign("api.example.com"))
    context = AUTHORITY.client()
    async with ScriptedOrigin(always_ok) as origin:
        with gateway_over_tls(tmp_path, origin.port) as gateway:
            old = await Client.connect(gateway, context)
            failed: list[Exception] = []
            answered = 0

            async def go_on() -> None:
                nonlocal answered
                while True:
                    try:
                        client = await Client.connect(gateway, context)
                        assert b" 200 OK" in await client.ask()
                        client.close()
                        answered += 1
                    except Exception as problem:
                        failed.append(problem)
                    await asyncio.sleep(0.02)

            async def renewed(since: str) -> str:
                while True:
                    client = await Client.connect(gateway, context)
                    serial = client.serial
                    client.close()
                    if serial != since:
                        return serial
                    await asyncio.sleep(0.1)

            task = asyncio.create_task(go_on())
            await old.ask()
            first = old.serial
            projected(tmp_path, "..two", AUTHORITY.sign("api.example.com"))
            started = time.monotonic()
            second = await asyncio.wait_for(renewed(first), RENEWED_WITHIN)
            assert time.monotonic() - started < RENEWED_WITHIN
            assert (await old.ask()).startswith(b"HTTP/1.1 200")
            broken = Pair(b"nothing", AUTHORITY.sign("api.example.com").private_key)
            projected(tmp_path, "..three", broken)
            await until(lambda: "TLS files can't be used" in gateway.log, 30)
            after = await Client.connect(gateway, context)
            assert after.serial == second
            for client in (old, after):
                assert (await client.ask()).startswith(b"HTTP/1.1 200")
                client.close()
            task.cancel()
            assert not failed
            assert answered > 10


@pytest.mark.parametrize("asks", ["optional", "required"])
async def test_client_certificates_are_asked_for_by_a_gateway_process(tmp_path: Path, asks: str) -> None:
    AUTHORITY.sign("api.example.com").write(tmp_path)
    good = OTHER.sign("client").write(tmp_path / "good")
    foreign = AUTHORITY.sign("client").write(tmp_path / "foreign")
    rules = {"client_ca": str(OTHER.write(tmp_path / "clients.crt")), "client_certificate": asks}
    async with ScriptedOrigin(always_ok) as origin:
        with gateway_over_tls(tmp_path, origin.port, **rules) as gateway:
            client = await Client.connect(gateway, AUTHORITY.client(good))
            assert (await client.ask()).startswith(b"HTTP/1.1 200")
            client.close()
            with pytest.raises(ssl.SSLError, match="alert unknown ca"):
                await (await Client.connect(gateway, AUTHORITY.client(foreign))).ask()
            if asks == "optional":
                client = await Client.connect(gateway, AUTHORITY.client())
                assert (await client.ask()).startswith(b"HTTP/1.1 200")
                client.close()
            else:
                with pytest.raises(ssl.SSLError, match="alert certificate required"):
                    await (await Client.connect(gateway, AUTHORITY.client())).ask()


async def test_plain_http_at_a_port_for_tls_reaches_nobody(tmp_path: Path) -> None:
    AUTHORITY.sign("api.example.com").write(tmp_path)
    async with ScriptedOrigin(always_ok) as origin:
        with gateway_over_tls(tmp_path, origin.port) as gateway:
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(GET + bearer().encode())
            assert b"HTTP" not in await asyncio.wait_for(reader.read(100), 10)
            writer.close()
        assert not origin.peers
