"""Deny lists that share a real Redis: no entry is missed, whatever happens to Redis in between."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.access.revocation import DenyList, Revocation, Revoker
from gateway.access.revocation_feed import RevocationFeed
from gateway.cache.redis import SharedStore
from tests.http.origin import until
from tests.redis_servers import RedisNode, redis_node


@dataclass
class Replica:
    """One gateway's list, and what connects it."""

    deny_list: DenyList
    feed: RevocationFeed
    revoker: Revoker

    def holds(self, entry: Revocation) -> bool:
        return entry.id in {held.id for held in self.deny_list.listing()}


@contextlib.asynccontextmanager
async def replica(url: str) -> AsyncIterator[Replica]:
    store = SharedStore(url, prefix="test:", timeout=0.2)
    deny_list = DenyList()
    feed = RevocationFeed(deny_list, store)
    await feed.start()
    try:
        yield Replica(deny_list, feed, Revoker(deny_list, {"corp": 600.0}, sharing=feed))
    finally:
        await feed.close()
        await store.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RedisNode]:
    with redis_node(tmp_path) as running:
        yield running


async def test_an_entry_reaches_the_others_at_once_and_whoever_starts_later(node: RedisNode) -> None:
    async with replica(node.url) as first, replica(node.url) as second:
        started = time.monotonic()
        entry = await first.revoker.revoke("corp", "sub", "u1")
        assert first.revoker.is_delivered(entry)
        await until(lambda: second.holds(entry))
        assert time.monotonic() - started < 1.0
        async with replica(node.url) as third:
            assert third.holds(entry)
            assert await third.revoker.withdraw(entry.id)
            await until(lambda: not first.holds(entry) and not second.holds(entry))
    async with replica(node.url) as fourth:
        assert not fourth.holds(entry)


async def test_what_was_revoked_while_redis_was_away_is_delivered_when_it_is_back(node: RedisNode) -> None:
    async with replica(node.url) as first, replica(node.url) as second:
        before = await first.revoker.revoke("corp", "sub", "u1")
        await until(lambda: second.holds(before))
        node.kill()
        await until(lambda: not first.feed.is_connected and not second.feed.is_connected)
        meanwhile = await first.revoker.revoke("corp", "sub", "u2")
        assert first.holds(meanwhile)
        assert not first.revoker.is_delivered(meanwhile)
        assert await second.revoker.withdraw(before.id)
        # The new one knows nothing: what was in the old one comes back from those who remember.
        node.start()
        await until(lambda: second.holds(meanwhile) and not first.holds(before), seconds=6)
        await until(lambda: first.revoker.is_delivered(meanwhile))
        async with replica(node.url) as third:
            assert third.holds(meanwhile)
            assert not third.holds(before)


async def test_a_redis_that_hangs_is_noticed_and_what_was_missed_is_caught_up(node: RedisNode) -> None:
    async with replica(node.url) as first, replica(node.url) as second:
        node.freeze()
        started = time.monotonic()
        entry = await first.revoker.revoke("corp", "sub", "u1")
        assert time.monotonic() - started < 0.6
        await until(lambda: not first.feed.is_connected and not second.feed.is_connected)
        node.thaw()
        await until(lambda: second.holds(entry), seconds=6)


async def test_a_message_that_was_lost_is_made_up_for(node: RedisNode) -> None:
    async with replica(node.url) as first, replica(node.url) as second:
        assert second.feed.is_connected
        # An entry that is written without a message, as if it had been lost on the way.
        entry = await first.revoker.revoke("corp", "sub", "u1")
        await until(lambda: second.holds(entry))
        other = Revocation("r-lost", "corp", "sub", "u2", time.time(), time.time() + 60)
        node.ask("HSET", "test:{revocations}", other.id, json.dumps(other.as_json()))
        node.ask("INCR", "test:{revocations}:number")
        started = time.monotonic()
        await until(lambda: first.holds(other) and second.holds(other))
        assert time.monotonic() - started < 1.0


async def test_a_message_that_was_lost_is_made_up_for_while_others_keep_coming(node: RedisNode) -> None:
    async with replica(node.url) as first, replica(node.url) as second:
        stop = asyncio.Event()
        lost = Revocation("r-lost", "corp", "sub", "u2", time.time(), time.time() + 60)

        async def stream() -> None:
            # As old news, so that no number gives away that one is missing.
            while not stop.is_set():
                node.ask("PUBLISH", "test:{revocations}:channel", f"0 {json.dumps(lost.as_json() | {'id': 'r-other'})}")
                await asyncio.sleep(0.02)

        streaming = asyncio.create_task(stream())
        try:
            await asyncio.sleep(0.1)
            node.ask("HSET", "test:{revocations}", lost.id, json.dumps(lost.as_json()))
            node.ask("INCR", "test:{revocations}:number")
            await until(lambda: first.holds(lost) and second.holds(lost))
        finally:
            stop.set()
            await streaming


async def test_a_gap_in_the_numbers_is_made_up_for(node: RedisNode) -> None:
    async with replica(node.url) as first, replica(node.url) as second:
        lost = Revocation("r-lost", "corp", "sub", "u2", time.time(), time.time() + 60)
        node.ask("HSET", "test:{revocations}", lost.id, json.dumps(lost.as_json()))
        node.ask("INCR", "test:{revocations}:number")
        entry = await first.revoker.revoke("corp", "sub", "u1")
        await until(lambda: second.holds(entry) and second.holds(lost) and first.holds(lost))
        # Numbers go on from there: the next one is in order again.
        last = await second.revoker.revoke("corp", "sub", "u3")
        await until(lambda: first.holds(last))


FULL = ("maxmemory", "1"), ("maxmemory", "0")
UNSAVED = ("min-replicas-to-write", "1"), ("min-replicas-to-write", "0")


@pytest.mark.parametrize(("refusing", "taking"), [FULL, UNSAVED], ids=["full", "takes no writes"])
async def test_a_redis_that_takes_nothing_still_passes_entries_on(
    node: RedisNode, refusing: tuple[str, str], taking: tuple[str, str]
) -> None:
    node.ask("CONFIG", "SET", *refusing)
    async with replica(node.url) as first, replica(node.url) as second:
        assert second.feed.is_connected
        entries = [await first.revoker.revoke("corp", "sub", f"u{number}") for number in range(3)]
        await until(lambda: all(map(second.holds, entries)))
        async with replica(node.url) as third:
            # Whoever comes later hears of them too.
            await until(lambda: all(map(third.holds, entries)))
        assert not any(map(first.revoker.is_delivered, entries))
        node.ask("CONFIG", "SET", *taking)
        await until(lambda: all(map(first.revoker.is_delivered, entries)))


async def test_what_nobody_could_be_told_is_told_to_the_operator_in_the_end(
    node: RedisNode, caplog: pytest.LogCaptureFixture
) -> None:
    async with replica(node.url) as first:
        node.kill()
        await first.revoker.revoke("corp", "sub", "u1")
        await first.revoker.revoke("corp", "sub", "u2")
    assert "revocations that Redis never took end with this process: 2" in caplog.text


async def test_entries_that_have_ended_are_swept_out_of_redis(node: RedisNode) -> None:
    async with replica(node.url) as first:
        await first.revoker.revoke("corp", "jti", "short", expires_at=time.time() + 0.2)
        await asyncio.sleep(0.3)
        await first.revoker.revoke("corp", "jti", "long")
        assert node.ask("HLEN", "test:{revocations}") == b":1\r\n"
        assert node.ask("ZCARD", "test:{revocations}:endings") == b":1\r\n"


@pytest.mark.parametrize("planted", ["garbage", "{}", '{"id": 1}', "[]"])
async def test_what_is_no_entry_harms_nobody(node: RedisNode, planted: str) -> None:
    node.ask("HSET", "test:{revocations}", "x", planted)
    async with replica(node.url) as first:
        node.ask("PUBLISH", "test:{revocations}:channel", planted)
        entry = await first.revoker.revoke("corp", "sub", "u1")
        assert first.feed.is_connected
        assert first.revoker.is_delivered(entry)


async def test_a_start_without_redis_does_not_wait_for_it(tmp_path: Path) -> None:
    with redis_node(tmp_path) as node:
        node.kill()
        started = time.monotonic()
        async with replica(node.url) as first:
            assert time.monotonic() - started < 1.0
            assert not first.feed.is_connected
            entry = await first.revoker.revoke("corp", "sub", "u1")
            assert first.holds(entry)
            node.start()
            await until(lambda: first.revoker.is_delivered(entry), seconds=6)


async def test_many_entries_are_read_in_pieces(node: RedisNode) -> None:
    async with replica(node.url) as first:
        for number in range(1500):
            await first.revoker.revoke("corp", "jti", f"t{number}")
        async with replica(node.url) as second:
            # Not at once: on a busy machine Redis may answer too late for the first attempt.
            await until(lambda: len(second.deny_list) == 1500)
