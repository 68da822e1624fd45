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


class Shared:
    """What the workers of one gateway share, without any process between."""

    is_required = False

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.is_away = False

    async def put_once(self, name: str, seconds: float) -> bool:
        if self.is_away:
            raise StoreUnavailable("unreachable")
        is_new = name not in self.names
        self.names.add(name)
        return is_new


async def test_workers_count_together_without_redis_and_while_it_is_away(tmp_path: Path) -> None:
    shared = Shared()
    with redis_node(tmp_path) as node:
        stores = [SharedStore(node.url, prefix="test:", timeout=0.5) for _ in range(2)]
        left, right = (SeenOnce("logout", store, crew=shared, clock=lambda: 0.0) for store in stores)
        assert await left.is_first("both", until=100)
        assert not await right.is_first("both", until=100)
        node.kill()
        assert await left.is_first("away", until=100)
        assert not await right.is_first("away", until=100)
        node.start()
        # Redis knows nothing of it any more; the others do.
        assert not await right.is_first("away", until=100)
        for store in stores:
            await store.close()
    alone = SeenOnce("logout", crew=shared, clock=lambda: 0.0)
    assert not await alone.is_first("both", until=100)
    shared.is_away = True
    assert await alone.is_first("new", until=100)
    assert not await alone.is_first("new", until=100)


async def test_a_name_that_a_required_redis_could_not_take_may_come_again() -> None:
    shared = Shared()
    store = SharedStore("redis://127.0.0.1:1", prefix="test:", timeout=0.2, is_required=True)
    seen = SeenOnce("logout", store, crew=shared, clock=lambda: 0.0)
    with pytest.raises(StoreUnavailable):
        await seen.is_first("x", until=10)
    assert shared.names == set()
    await store.close()
