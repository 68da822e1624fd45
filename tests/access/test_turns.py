"""One piece of costly work in each turn of the event loop."""

from __future__ import annotations

import asyncio
import itertools

from gateway.access.turns import Turns


async def test_the_first_goes_on_at_once_and_the_others_one_a_turn() -> None:
    turns, done = Turns(), []

    async def work(name: int) -> None:
        await turns.take()
        done.append(name)

    tasks = [asyncio.create_task(work(name)) for name in range(4)]
    seen = []
    while len(done) < 4:
        await asyncio.sleep(0)
        seen.append(len(done))
    assert done == [0, 1, 2, 3]
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(seen))
    await asyncio.gather(*tasks)


async def test_a_turn_is_free_again_when_nobody_has_waited() -> None:
    turns = Turns()
    await turns.take()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting = asyncio.create_task(turns.take())
    await asyncio.sleep(0)
    assert waiting.done()


async def test_who_goes_away_while_waiting_holds_up_nobody() -> None:
    turns = Turns()
    _first, gone, last = (asyncio.create_task(turns.take()) for _ in range(3))
    # One round of the loop: the first has its turn, the others have begun to wait, and nobody's turn has come yet.
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait_for(last, 5)
    await asyncio.wait([gone])
    assert gone.cancelled()
