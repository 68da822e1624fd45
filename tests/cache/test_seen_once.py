"""What counts once: in one process, over several that share a Redis, and while Redis is away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.cache.redis import SharedStore, StoreUnavailable
from gateway.cache.seen_once import SeenOnce
from tests.redis_servers import redis_node


async def test_a_name_counts_once_until_its_time_is_over() -> None:
    now = [100.0]
    seen = SeenOnce("logout", clock=lambda: now[0])
    assert await seen.is_first("a", "b", until=110)
    assert not await seen.is_first("a", "b", until=110)
    assert await seen.is_first("a", "c", until=110)
    now[0] = 110
    assert await seen.is_first("a", "b", until=120)


async def test_over_all_processes_one_is_the_first(tmp_path: Path) -> None:
    with redis_node(tmp_path) as node:
        stores = [SharedStore(node.url, prefix="test:", timeout=0.5) for _ in range(3)]
        all_seen = [SeenOnce("logout", store) for store in stores]
        until = asyncio.get_running_loop().time() + 4e9
        firsts = await asyncio.gather(*(seen.is_first("x", until=until) for seen in all_seen for _ in range(3)))
        assert sorted(firsts) == [False] * 8 + [True]
        for store in stores:
            await store.close()


@pytest.mark.parametrize("is_required", [False, True])
async def test_without_redis_each_process_counts_by_itself_unless_redis_is_required(is_required: bool) -> None:
    store = SharedStore("redis://127.0.0.1:1", prefix="test:", timeout=0.2, is_required=is_required)
    seen = SeenOnce("logout", store, clock=lambda: 0.0)
    if is_required:
        with pytest.raises(StoreUnavailable):
            await seen.is_first("x", until=10)
    else:
        assert await seen.is_first("x", until=10)
        assert not await seen.is_first("x", until=10)
    await store.close()
