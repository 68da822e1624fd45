"""WebSockets where aiohttp has read the request: behind its low-level server, and in somebody else's application."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.http.frames import BINARY, MASK, TEXT, frame
from tests.http.relays import Run, embedded, ended, of_aiohttp, setting
from tests.http.websockets import OriginSide, echo, websocket
from tests.issuer import server_tls

BOTH = pytest.mark.parametrize("run", [of_aiohttp, embedded])


@BOTH
async def test_frames_pass_and_both_say_goodbye(run: Run) -> None:
    async with setting(echo, run=run) as here, websocket(here.address, "/ws") as client:
        assert client.status == 101
        await client.say(b"hello")
        assert (await client.frame()).payload == b"hello"
        large = bytes(2**20)
        sending = asyncio.create_task(client.say(large, BINARY))
        assert (await client.frame()).payload == large
        await sending
        await client.bye(4000)
        assert [each.code for each in await client.last_frames()] == [4000]
        await ended(here)


@BOTH
@pytest.mark.parametrize("size", [1, 200_000])
async def test_what_is_sent_early_is_relayed_and_never_read_as_a_request(run: Run, size: int) -> None:
    early = frame(BINARY, b"x" * size, mask=MASK)
    async with (
        setting(echo, run=run, early=frame(TEXT, b"first")) as here,
        websocket(here.address, "/ws", early=early) as client,
    ):
        assert (await client.frame()).payload == b"first"
        assert (await client.frame()).payload == b"x" * size
    request = b"GET /ws HTTP/1.1\r\nHost: a\r\n\r\n"
    async with (
        setting(OriginSide.until_closed, run=run) as here,
        websocket(here.address, "/ws", early=request * 3) as client,
    ):
        assert [each.code for each in await client.last_frames()] == [1002]
        await ended(here)
        assert len(here.origin.peers) == 1


@BOTH
async def test_over_tls_it_is_the_same(run: Run, tmp_path: Path) -> None:
    tls = server_tls(tmp_path)
    async with setting(echo, run=run, tls=tls) as here, websocket(here.address, "/ws", tls=tls[1]) as client:
        await client.say(b"hello")
        assert (await client.frame()).payload == b"hello"
        await client.bye()
        assert [each.code for each in await client.last_frames()] == [1000]
        await ended(here)


@BOTH
async def test_the_loss_of_one_is_told_to_the_other(run: Run) -> None:
    async def leave(origin: OriginSide) -> None:
        await origin.frame()

    async with setting(OriginSide.until_closed, run=run) as here, websocket(here.address, "/ws") as client:
        client.reset()
        await asyncio.wait_for(here.origin.peers[0].ended.wait(), 2)
        await ended(here)
        assert [each.code for each in here.received] == [1001]
    async with setting(leave, run=run) as here, websocket(here.address, "/ws") as client:
        await client.say(b"go")
        assert [each.code for each in await client.last_frames()] == [1011]
        await ended(here)


@BOTH
async def test_silence_ends_it_without_a_server_that_sweeps(run: Run) -> None:
    async with setting(OriginSide.until_closed, run=run, idle=0.5) as here, websocket(here.address, "/ws") as client:
        assert [each.code for each in await client.last_frames()] == [1001]
        await ended(here)


async def test_a_server_of_aiohttp_that_shuts_down_closes_with_1001() -> None:
    async with setting(OriginSide.until_closed, run=of_aiohttp) as here, websocket(here.address, "/ws") as client:
        here.server.drain()
        assert [each.code for each in await client.last_frames()] == [1001]
        await ended(here)
