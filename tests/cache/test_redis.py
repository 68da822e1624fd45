"""Redis as gateways share it: real servers that are killed, frozen, full, locked or failing over."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.cache.redis import SharedStore, StoreUnavailable
from gateway.cache.redis_address import check_address, parse_address
from tests.issuer import server_tls
from tests.redis_servers import RedisNode, cluster, redis_node, sentinel, until


@contextlib.asynccontextmanager
async def store(url: str, timeout: float = 0.2) -> AsyncIterator[SharedStore]:
    one = SharedStore(url, prefix="test:", timeout=timeout)
    try:
        yield one
    finally:
        await one.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RedisNode]:
    with redis_node(tmp_path) as running:
        yield running


async def failure(call: Awaitable[Any], within: float = 0.6) -> str:
    """Why a call failed, in time."""
    started = time.monotonic()
    with pytest.raises(StoreUnavailable) as refused:
        await call
    assert time.monotonic() - started < within
    return refused.value.kind


async def healed(one: SharedStore, seconds: float = 8.0) -> None:
    """Wait until writes work again."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(StoreUnavailable):
            return await one.put("healed", b"1", 5)
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_what_is_put_is_there_for_its_time_and_a_name_is_taken_once(node: RedisNode) -> None:
    async with store(node.url) as one:
        assert not one.is_available
        assert await one.get("a") is None
        await one.put("a", b"\x00\xff", 0.2)
        assert await one.get("a") == b"\x00\xff"
        assert node.ask("GET", "test:a") == b"$2\r\n\x00\xff\r\n"
        assert await one.put_once("b", 60)
        assert not await one.put_once("b", 60)
        await asyncio.sleep(0.25)
        assert await one.get("a") is None
        assert one.is_available
        assert one.results == {"ok": 6}


async def test_after_a_failure_nobody_waits_and_it_heals_by_itself(
    node: RedisNode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with store(node.url) as one:
        await one.put("a", b"1", 60)
        node.freeze()
        assert await failure(one.get("a")) == "timeout"
        assert await failure(one.get("a"), within=0.05) == "open"
        assert not one.is_available
        node.thaw()
        await healed(one)
        node.kill()
        assert await failure(one.get("a")) == "unreachable"
        node.start()
        await healed(one)
        assert one.is_available
    told = [record.getMessage() for record in caplog.records if record.name == "gateway.cache.redis"]
    assert told == [
        "Redis can't be used: get: timeout",
        "Redis can be used",
        "Redis can't be used: get: unreachable",
        "Redis can be used",
    ]


async def test_each_reason_is_told_once_in_an_outage(node: RedisNode, caplog: pytest.LogCaptureFixture) -> None:
    async with store(node.url) as one:
        await one.put("a", b"1", 60)
        node.freeze()
        assert await failure(one.get("a")) == "timeout"
        node.kill()
        kinds: list[str] = []
        async with asyncio.timeout(8):
            while kinds.count("unreachable") < 2:
                kinds.append(await failure(one.get("a")))
                await asyncio.sleep(0.02)
    told = [record.getMessage() for record in caplog.records if record.name == "gateway.cache.redis"]
    assert told == ["Redis can't be used: get: timeout", "Redis can't be used: get: unreachable"]


async def test_a_late_reply_is_never_somebody_elses_answer(node: RedisNode) -> None:
    async with store(node.url) as one:
        await one.put("first", b"1", 60)
        await one.put("second", b"2", 60)
        for _ in range(5):
            node.freeze()
            asked = asyncio.create_task(one.get("first"))
            await asyncio.sleep(0.02)
            asked.cancel()
            node.thaw()
            assert await one.get("second") == b"2"


async def test_a_full_redis_can_still_be_read(tmp_path: Path) -> None:
    with redis_node(tmp_path, "--maxmemory", "1", "--maxmemory-policy", "noeviction") as node:
        async with store(node.url) as one:
            assert await failure(one.put("a", b"1", 60)) == "full"
            assert await one.get("a") is None
            assert one.is_available


async def test_a_wrong_password_is_told_apart_and_never_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with redis_node(tmp_path, "--requirepass", "right p@ss") as node:
        for url in (node.url, f"redis://:wr0ng@127.0.0.1:{node.port}/0", f"redis://u:wr0ng@127.0.0.1:{node.port}/0"):
            async with store(url) as one:
                assert await failure(one.get("a")) == "refused"
                assert not one.is_available
        async with store(f"redis://:right%20p%40ss@127.0.0.1:{node.port}/0") as one:
            assert await one.get("a") is None
    assert "wr0ng" not in caplog.text


async def test_a_redis_that_is_not_there_is_unreachable() -> None:
    async with store("redis://127.0.0.1:1/0") as one:
        assert await failure(one.get("a")) == "unreachable"


async def test_a_socket_serves_too(tmp_path: Path) -> None:
    path = tmp_path / "r.sock"
    with redis_node(tmp_path, "--unixsocket", str(path)):
        async with store(f"unix://{path}?db=3") as one:
            assert await one.put_once("a", 5)


async def test_tls_is_verified(tmp_path: Path) -> None:
    server_tls(tmp_path)
    pem = str(tmp_path / "tls.pem")
    with contextlib.ExitStack() as stack:
        try:
            options = ("--tls-cert-file", pem, "--tls-key-file", pem, "--tls-auth-clients", "no")
            node = stack.enter_context(redis_node(tmp_path, *options, tls=True))
        except OSError:
            pytest.skip("this redis-server was built without TLS")
        async with store(f"rediss://127.0.0.1:{node.port}/0?ssl_ca_certs={pem}", timeout=1) as one:
            assert await one.put_once("a", 5)
        async with store(f"rediss://127.0.0.1:{node.port}/0", timeout=1) as one:
            assert await failure(one.get("a"), within=2) == "unreachable"


async def test_behind_a_sentinel_the_replica_takes_over(tmp_path: Path) -> None:
    with sentinel(tmp_path) as guarded:
        async with store(guarded.url) as one:
            await one.put("a", b"1", 60)
            until(lambda: guarded.replica.ask("GET", "test:a") == b"$1\r\n1\r\n")
            guarded.master.kill()
            assert await failure(one.get("a")) in ("unreachable", "timeout")
            await healed(one, seconds=15)
            assert await one.get("a") == b"1"
            assert guarded.replica.ask("GET", "test:healed") == b"$1\r\n1\r\n"


async def test_a_cluster_serves_every_slot_and_every_channel(tmp_path: Path) -> None:
    with cluster(tmp_path) as nodes:
        async with store(f"redis+cluster://127.0.0.1:{nodes[0].port},127.0.0.1:{nodes[1].port}", timeout=1) as one:
            for number in range(20):
                await one.put(f"k{number}", b"%d" % number, 60)
                assert await one.get(f"k{number}") == b"%d" % number
            channel = one.subscription()
            await one.run("subscribe", lambda _: channel.subscribe("test:c"))
            await one.run("publish", lambda redis: redis.publish("test:c", b"hello"))
            heard = [await one.listen(channel, 0.5) for _ in range(2)]
            assert b"hello" in [message["data"] for message in heard if message]
            await channel.aclose()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h", ("single", (("h", 6379),), "", 0, "")),
        ("redis://u:p%40s@h:1/2", ("single", (("h", 1),), "", 2, "")),
        ("rediss://[::1]:1", ("single", (("::1", 1),), "", 0, "")),
        ("unix:///run/a%20b.sock?db=1", ("socket", (), "/run/a b.sock", 1, "")),
        ("redis+sentinel://a:1,b/main/3", ("sentinel", (("a", 1), ("b", 26379)), "", 3, "main")),
        ("rediss+cluster://a:1,b:2", ("cluster", (("a", 1), ("b", 2)), "", 0, "")),
    ],
)
def test_each_form_of_address_is_read(url: str, expected: tuple[Any, ...]) -> None:
    found = parse_address(url)
    assert (found.kind, found.hosts, found.path, found.database, found.master) == expected


def test_credentials_and_tls_options_are_read() -> None:
    found = parse_address("rediss+sentinel://u:p%40s@a/m?ssl_ca_certs=/ca&ssl_check_hostname=false&sentinel_password=x")
    tls = {"ssl": True, "ssl_ca_certs": "/ca", "ssl_check_hostname": False}
    assert found.options == {"username": "u", "password": "p@s", **tls}
    assert found.sentinel_options == {**tls, "password": "x"}
    assert "p@s" not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis://",
        "http://h",
        "hunter2",
        "redis://u:hunter2@",
        "redis://u:hunter2@h:x",
        "redis://u:hunter2@h:0",
        "redis://u:hunter2@h:70000",
        "redis://u:hunter2@h/x",
        "redis://u:hunter2@h/1/2",
        "redis://u:hunter2@a,b",
        "redis://u:hunter2@h?hunter=1",
        "redis://u:hunter2@h?ssl_ca_certs=/x",
        "rediss://u:hunter2@h?ssl_check_hostname=no",
        "redis+sentinel://u:hunter2@h",
        "redis+cluster://u:hunter2@h/1",
        "unix://u:hunter2@/",
        "unix://h/path",
    ],
)
def test_what_is_no_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w+") as refused:
        check_address(url)
    assert "hunter2" not in str(refused.value)
