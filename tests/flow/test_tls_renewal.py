"""Certificates and CAs that are renewed while requests run, as Kubernetes mounts them: what is new counts within ten
seconds, and not one request or connection is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from cryptography import x509

from tests.certificates import Authority, Pair
from tests.dialogue import request, talk
from tests.flow.test_tls import AUTHORITY, GET, OTHER, RENEWED_WITHIN, Client, gateway_over_tls
from tests.gateway_process import GatewayProcess, serving
from tests.http.origin import OK, Peer, ScriptedOrigin, always_ok
from tests.services import held_port

MARGIN = 5.0
"""Seconds beyond the promise, on a machine that is busy with other things."""


def mounted(folder: Path, version: str, pair: Pair, *authorities: Authority) -> None:
    """What the kubelet does for a mounted Secret: a new folder, then one swap of the link `..data`."""
    pair.write(folder / version)
    (folder / version / "ca.crt").write_bytes(b"".join(each.certificate for each in authorities))
    (folder / "..data_tmp").symlink_to(version)
    os.replace(folder / "..data_tmp", folder / "..data")  # noqa: PTH105 - as the kubelet renames
    for name in ("tls.crt", "tls.key", "ca.crt"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


class Load:
    """Somebody who does something again and again; `outcomes` counts what came of it."""

    def __init__(self, *asking: Callable[[], Awaitable[object]]) -> None:
        self.outcomes: Counter[object] = Counter()
        self._asking = asking
        self._is_over = False

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._go_on(ask)) for ask in self._asking]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        await asyncio.gather(*self._tasks)

    async def _go_on(self, ask: Callable[[], Awaitable[object]]) -> None:
        while not self._is_over:
            try:
                self.outcomes[await ask()] += 1
            except (OSError, asyncio.IncompleteReadError) as problem:
                self.outcomes[repr(problem)] += 1
            await asyncio.sleep(0.01)


async def within(seconds: float, condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what was promised until then."""
    started = time.monotonic()
    while not await condition():
        assert time.monotonic() - started < seconds + MARGIN, f"not within {seconds} s"
        await asyncio.sleep(0.1)


# To upstreams


class Asking(ScriptedOrigin):
    """An origin over TLS that asks for certificates; `shown` are the serial numbers of those it was shown, in order."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__(self._answer, tls=tls)
        self.shown: list[int] = []

    async def _answer(self, peer: Peer) -> None:
        self.shown.append(int(peer.certificate["serialNumber"], 16))
        while await peer.head():
            await peer.send(OK)


def serial(pair: Pair) -> int:
    return x509.load_pem_x509_certificate(pair.certificate).serial_number


@contextlib.asynccontextmanager
async def to_upstreams(folder: Path, **upstreams: Any) -> AsyncIterator[GatewayProcess]:
    tls = {"ca": f"{folder}/ca.crt", "certificate": f"{folder}/tls.crt", "private_key": f"{folder}/tls.key"}
    blocks = {
        "upstreams": {name: {"tls": tls, **block} for name, block in upstreams.items()},
        "routes": [{"path": f"/{name}", "public": True, "upstream": name} for name in upstreams],
        "log": {"access": False},
    }
    with held_port() as port, held_port() as admin_port:
        process = serving(folder, port, admin_port, blocks)
        gateway = await asyncio.to_thread(process.__enter__)
        try:
            yield gateway
        finally:
            await asyncio.to_thread(process.__exit__, None, None, None)


async def test_a_new_ca_and_a_new_certificate_for_upstreams_count_while_requests_run(tmp_path: Path) -> None:
    first, second = AUTHORITY.sign("gateway"), AUTHORITY.sign("gateway")
    mounted(tmp_path, "..one", first, AUTHORITY)
    servers = [
        by.server(tmp_path / name, "127.0.0.1", client_ca=AUTHORITY) for name, by in (("a", AUTHORITY), ("b", OTHER))
    ]
    async with Asking(servers[0]) as old, Asking(servers[1]) as new:
        urls = {name: f"https://127.0.0.1:{origin.port}" for name, origin in (("old", old), ("new", new))}
        # A connection for each request, connections that are kept, and an authority that is not trusted yet.
        upstreams = {
            "each": {"url": urls["old"], "keep_alive": "0s"},
            "kept": {"url": urls["old"], "keep_alive": "5m"},
            "new": {"url": urls["new"], "keep_alive": "0s"},
        }
        async with to_upstreams(tmp_path, **upstreams) as gateway:

            async def status(name: str) -> int:
                return (await talk(("127.0.0.1", gateway.port), request("GET", f"/{name}", "Connection: close"))).status

            async with Load(*[lambda: status("each")] * 4, lambda: status("kept")) as load:
                await within(10, lambda: _so(load.outcomes[200] > 50))
                assert await status("new") == 502
                assert set(old.shown) == {serial(first)}
                mounted(tmp_path, "..two", second, AUTHORITY, OTHER)
                await within(RENEWED_WITHIN, lambda: _so(old.shown[-1] == serial(second)))
                await within(RENEWED_WITHIN, lambda: _is(status("new"), 200))
                mounted(tmp_path, "..three", Pair(b"nothing", second.private_key), AUTHORITY)
                await within(30, lambda: _so("TLS files can't be used" in gateway.log))
                seen = load.outcomes[200]
                await within(30, lambda: _so(load.outcomes[200] > seen + 50))
                assert old.shown[-1] == serial(second)
                assert await status("new") == 200
            assert set(load.outcomes) == {200}, load.outcomes
            assert load.outcomes[200] > 200
            # Whom nobody trusts any more gets no new connection; those that are open go on.
            mounted(tmp_path, "..four", second, OTHER)
            await within(RENEWED_WITHIN, lambda: _is(status("each"), 502))
            assert await status("new") == 200
            assert await status("kept") == 200
        kept = [received for received in old.received if received.count(b"GET /kept") > 1]
        assert len(kept) == 1


async def _so(condition: bool) -> bool:
    return condition


async def _is(asked: Awaitable[object], wanted: object) -> bool:
    return await asked == wanted


# Of clients


async def test_a_new_certificate_and_a_new_ca_for_clients_count_while_requests_run(tmp_path: Path) -> None:
    mounted(tmp_path, "..one", AUTHORITY.sign("api.example.com"), OTHER)
    by = {
        name: authority.sign("client").write(tmp_path / name)
        for name, authority in (("old", OTHER), ("new", AUTHORITY))
    }
    contexts = {name: AUTHORITY.client(folder) for name, folder in by.items()}
    rules = {"client_ca": str(tmp_path / "ca.crt"), "client_certificate": "required"}
    async with ScriptedOrigin(always_ok) as origin:
        with gateway_over_tls(tmp_path, origin.port, **rules) as gateway:

            async def status(name: str) -> object:
                """The status for a client that connects with the certificate of this authority, or `refused`."""
                client = await Client.connect(gateway, contexts[name])
                try:
                    return (await client.ask())[9:12].decode()
                except ssl.SSLError:
                    return "refused"
                finally:
                    client.close()

            kept = await Client.connect(gateway, contexts["old"])

            async def again() -> object:
                return (await kept.ask(GET))[9:12].decode()

            async with Load(lambda: status("old"), lambda: status("old"), again) as load:
                await within(10, lambda: _so(load.outcomes["200"] > 50))
                assert await status("new") == "refused"
                mounted(tmp_path, "..two", AUTHORITY.sign("api.example.com"), OTHER, AUTHORITY)
                await within(RENEWED_WITHIN, lambda: _is(status("new"), "200"))
                seen = load.outcomes["200"]
                await within(10, lambda: _so(load.outcomes["200"] > seen + 50))
            assert set(load.outcomes) == {"200"}, load.outcomes
            async with Load(lambda: status("new"), again) as load:
                mounted(tmp_path, "..three", AUTHORITY.sign("api.example.com"), AUTHORITY)
                await within(RENEWED_WITHIN, lambda: _is(status("old"), "refused"))
                seen = load.outcomes["200"]
                await within(10, lambda: _so(load.outcomes["200"] > seen + 50))
            assert set(load.outcomes) == {"200"}, load.outcomes
            kept.close()
