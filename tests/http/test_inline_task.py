"""The task that needs no turn of the loop: it has to be to its coroutine what a task of asyncio's is."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http.inline_task import InlineTask, Wakeup
from tests.http.origin import until


class Run:
    """One coroutine in an inline task, begun in a callback of the loop as a connection does it.

    `log` is what the coroutine and the test have to say; `ended` becomes the exception that ended it, or None.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[BaseException | None] = self.loop.create_future()
        self.task = InlineTask(self.loop, self.ended.set_result)
        self.log: list[object] = []

    async def begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Start it, and return when it has run up to its first wait."""
        await self.call(lambda: self.task.start(coroutine))

    async def call(self, function: Callable[[], object]) -> None:
        """Call it where no task is the current one."""
        called = self.loop.create_future()

        def run() -> None:
            function()
            called.set_result(None)

        self.loop.call_soon(run)
        await called

    async def end(self) -> BaseException | None:
        return await asyncio.wait_for(self.ended, 5)


async def settle() -> None:
    """Let everything that is due happen."""
    for _ in range(10):
        await asyncio.sleep(0)


# --- beginning, going on, ending ---------------------------------------------------------------------------------


async def test_a_coroutine_begins_at_once_and_goes_on_as_soon_as_it_is_woken() -> None:
    run, wakeup = Run(), Wakeup()

    async def work() -> None:
        run.log.append("begun")
        await wakeup
        run.log.append("woken")

    def start() -> None:
        run.task.start(work())
        run.log.append("started")

    def wake() -> None:
        wakeup.wake()
        run.log.append("has woken")

    await run.call(start)
    assert run.task.is_running
    await run.call(wake)
    assert run.log == ["begun", "started", "woken", "has woken"]
    assert await run.end() is None
    assert not run.task.is_running


async def test_whoever_is_in_the_middle_of_a_step_does_not_run_another_one_within_it() -> None:
    wakeup, first, second = Wakeup(), Run(), Run()
    log: list[str] = []

    async def wait() -> None:
        await wakeup
        log.append("woken")

    async def wake() -> None:
        assert asyncio.current_task() is second.task
        wakeup.wake()
        log.append("has woken")

    await first.begin(wait())
    await second.begin(wake())
    assert await first.end() is None
    assert log == ["has woken", "woken"]

    again = Run()
    wakeup = Wakeup()
    await again.begin(wait())
    wakeup.wake()  # by a task of asyncio's: this test
    assert log == ["has woken", "woken"]
    assert await again.end() is None
    assert log[2:] == ["woken"]


async def test_while_it_runs_it_is_the_current_task_and_afterwards_nobody_is() -> None:
    run = Run()
    seen: list[object] = []

    async def work() -> None:
        seen.append(asyncio.current_task())
        await asyncio.sleep(0)
        seen.append(asyncio.current_task(asyncio.get_running_loop()))

    await run.call(lambda: (run.task.start(work()), seen.append(asyncio.current_task())))
    await run.end()
    assert seen == [run.task, None, run.task]
    assert weakref.ref(run.task)() is run.task  # libraries keep notes about the current task in weak dictionaries
    assert run.task.get_loop() is asyncio.get_running_loop()


async def test_what_is_awaited_gives_its_result_or_raises() -> None:
    run = Run()
    result, failure = run.loop.create_future(), run.loop.create_future()

    async def work() -> None:
        run.log.append(await result)
        try:
            await failure
        except OSError as error:
            run.log.append(error.args)
        run.log.append(await asyncio.create_task(asyncio.sleep(0, "task")))
        async with contextlib.aclosing(numbers()) as stream:
            run.log += [number async for number in stream]
        raise LookupError("its own")

    async def numbers() -> AsyncIterator[int]:
        for number in range(2):
            await asyncio.sleep(0)
            yield number

    await run.begin(work())
    result.set_result("result")
    await settle()
    failure.set_exception(OSError("of another"))
    ended = await run.end()
    assert run.log == ["result", ("of another",), "task", 0, 1]
    assert repr(ended) == "LookupError('its own')"


async def test_one_task_runs_one_coroutine_after_the_other_and_each_begins_uncancelled() -> None:
    loop = asyncio.get_running_loop()
    counts: list[int] = []
    ended: list[type | None] = []

    async def work() -> None:
        counts.append(task.cancelling())
        await Wakeup()

    def begin_next(error: BaseException | None) -> None:
        ended.append(type(error))
        if len(ended) < 3:
            task.start(work())  # within the end of the one before, as requests that wait in a pipeline do

    task = InlineTask(loop, begin_next)
    loop.call_soon(lambda: task.start(work()))
    for number in range(3):
        await until(lambda number=number: len(counts) == number + 1)  # type: ignore[misc]
        assert task.cancel()
    await until(lambda: len(ended) == 3)
    assert (counts, ended) == ([0, 0, 0], [asyncio.CancelledError] * 3)
    assert not task.cancel()


async def test_a_wakeup_that_came_first_is_not_waited_for_and_a_second_one_does_nothing() -> None:
    run, early, other = Run(), Wakeup(), Wakeup()

    async def work() -> None:
        await early
        run.log.append("early")
        await other
        run.log.append("other")

    early.wake()
    early.wake()
    await run.begin(work())
    assert run.log == ["early"]
    early.wake()
    await settle()
    assert run.log == ["early"]
    other.wake()
    other.wake()
    assert await run.end() is None


async def test_a_wakeup_can_be_awaited_in_a_task_of_asyncios_too() -> None:
    wakeup, late = Wakeup(), Wakeup()
    waiter, given_up = asyncio.create_task(waiting(wakeup)), asyncio.create_task(waiting(late))
    await settle()
    given_up.cancel()
    wakeup.wake()
    await waiter
    with pytest.raises(asyncio.CancelledError):
        await given_up
    late.wake()


async def waiting(wakeup: Wakeup) -> None:
    await wakeup


async def test_what_can_not_be_waited_for_fails_in_the_coroutine_and_not_in_the_loop() -> None:
    run = Run()
    other = asyncio.new_event_loop()
    foreign: asyncio.Future[None] = other.create_future()

    async def work() -> None:
        with pytest.raises(RuntimeError):
            await foreign
        run.log.append("goes on")

    await run.begin(work())
    assert await run.end() is None
    assert run.log == ["goes on"]
    other.close()


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_what_is_to_end_the_process_ends_the_loop(
    ending: type[BaseException], new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    loop = new_loop()
    told: list[BaseException | None] = []

    async def work() -> None:
        raise ending

    loop.call_soon(lambda: InlineTask(loop, told.append).start(work()))
    with pytest.raises(ending):
        loop.run_forever()
    loop.close()
    assert [type(error) for error in told] == [ending]


async def test_a_cancelled_coroutine_and_its_exception_leave_nothing_for_the_garbage_collector() -> None:
    class Held:
        pass

    held: list[weakref.ref[Held]] = []

    async def work() -> None:
        local = Held()
        held.append(weakref.ref(local))
        await Wakeup()

    run = Run()
    task = InlineTask(run.loop, lambda error: None)
    gc.disable()
    try:
        await run.call(lambda: task.start(work()))
        task.cancel()
        await settle()
        assert held[0]() is None
    finally:
        gc.enable()


# --- being cancelled ---------------------------------------------------------------------------------------------

WAITS: dict[str, Callable[[], Awaitable[Any]]] = {
    "a wakeup": Wakeup,
    "a future": lambda: asyncio.get_running_loop().create_future(),
    "a timer": lambda: asyncio.sleep(60),
    "a turn of the loop": lambda: asyncio.sleep(0),
    "a task": lambda: asyncio.create_task(asyncio.sleep(60)),
    "a shielded task": lambda: asyncio.shield(asyncio.create_task(asyncio.sleep(0.01))),
    "several tasks": lambda: asyncio.gather(asyncio.sleep(60), asyncio.sleep(60)),
    "a lock": lambda: taken_lock().acquire(),
    "a queue": lambda: asyncio.Queue[int]().get(),
}


def taken_lock() -> asyncio.Semaphore:
    return asyncio.Semaphore(0)


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
async def test_a_cancellation_arrives_where_the_coroutine_waits(wait: Callable[[], Awaitable[Any]]) -> None:
    run = Run()

    async def work() -> None:
        try:
            await wait()
        except asyncio.CancelledError:
            run.log.append("cancelled")
            raise

    await run.call(lambda: (run.task.start(work()), run.task.cancel()))
    assert isinstance(await run.end(), asyncio.CancelledError)
    assert run.log == ["cancelled"]


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
async def test_a_cancellation_that_comes_while_it_runs_arrives_at_the_next_wait(
    wait: Callable[[], Awaitable[Any]],
) -> None:
    run = Run()

    async def work() -> None:
        assert run.task.cancel()
        run.log.append("still runs")
        try:
            await wait()
        except asyncio.CancelledError:
            run.log.append("cancelled")
        await asyncio.sleep(0)
        run.log.append("once")

    await run.begin(work())
    assert await run.end() is None
    assert run.log == ["still runs", "cancelled", "once"]


async def test_a_cancellation_can_be_counted_refused_and_taken_back() -> None:
    run = Run()

    async def work() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await Wakeup()
        run.log += [run.task.cancelling(), run.task.uncancel(), run.task.uncancel(), run.task.uncancel()]

    await run.begin(work())
    run.task.cancel()
    run.task.cancel()
    assert await run.end() is None
    assert run.log == [2, 1, 0, 0]


@pytest.mark.parametrize("is_woken_first", [True, False])
async def test_a_wakeup_and_a_cancellation_in_one_turn_end_one_wait_and_no_other(is_woken_first: bool) -> None:
    run, first, second = Run(), Wakeup(), Wakeup()

    async def work() -> None:
        try:
            await first
        except asyncio.CancelledError:
            run.log.append("cancelled")
        await second
        run.log.append("second")

    await run.begin(work())
    for act in (first.wake, run.task.cancel) if is_woken_first else (run.task.cancel, first.wake):
        act()
    await settle()
    assert run.log == ["cancelled"]
    second.wake()
    assert await run.end() is None
    assert run.log == ["cancelled", "second"]


async def test_a_cancelled_wait_for_a_task_cancels_that_task_and_a_shielded_one_goes_on() -> None:
    run = Run()
    inner = asyncio.create_task(asyncio.sleep(60))
    kept = asyncio.create_task(asyncio.sleep(0.01, "kept"))

    async def work() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(kept)
        run.log.append(kept.done())
        await inner

    await run.begin(work())
    run.task.cancel()
    await settle()
    assert run.log == [False]
    run.task.cancel()
    assert isinstance(await run.end(), asyncio.CancelledError)
    assert inner.cancelled()
    assert await kept == "kept"


# --- what asyncio builds on its current task ---------------------------------------------------------------------


@pytest.mark.parametrize("wait", [Wakeup, WAITS["a future"], WAITS["a timer"], WAITS["a task"]])
async def test_a_timeout_ends_a_wait_and_leaves_no_cancellation(wait: Callable[[], Awaitable[Any]]) -> None:
    run = Run()

    async def work() -> None:
        for seconds in (0.01, 0, -1):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(seconds):
                    await wait()
        async with asyncio.timeout(60):
            await asyncio.sleep(0)
        run.log.append(run.task.cancelling())

    await run.begin(work())
    assert await run.end() is None
    assert run.log == [0]


async def test_of_two_timeouts_the_one_that_is_over_ends_its_own_block() -> None:
    run = Run()

    async def work() -> None:
        try:
            async with asyncio.timeout(0.02):
                try:
                    async with asyncio.timeout(60):
                        await Wakeup()
                finally:
                    run.log.append("inner")
        except TimeoutError:
            run.log.append("outer")
        async with asyncio.timeout(60):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await Wakeup()
            await asyncio.sleep(0)
        run.log.append(run.task.cancelling())

    await run.begin(work())
    assert await run.end() is None
    assert run.log == ["inner", "outer", 0]


async def test_a_cancellation_in_the_turn_of_a_timeout_stays_a_cancellation() -> None:
    run = Run()

    async def work() -> None:
        async with asyncio.timeout(0.01):
            run.loop.call_later(0.01, run.task.cancel)
            await Wakeup()

    await run.begin(work())
    # Whichever comes first, the caller who cancelled sees what it asked for, or the timeout was over before.
    assert isinstance(await run.end(), asyncio.CancelledError | TimeoutError)

    both = Run()

    async def cancelled_twice() -> None:
        async with asyncio.timeout(60) as limit:
            both.loop.call_soon(lambda: (limit.reschedule(both.loop.time() - 1), None))
            both.loop.call_soon(lambda: both.loop.call_soon(both.task.cancel))
            await Wakeup()

    await both.begin(cancelled_twice())
    assert isinstance(await both.end(), asyncio.CancelledError)


async def test_groups_of_tasks_and_waits_for_several_work_within_it() -> None:
    run = Run()

    async def fail() -> None:
        raise OSError("one of them")

    async def work() -> None:
        run.log.append(await asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0, 2)))
        run.log.append(await asyncio.wait_for(asyncio.sleep(0, 3), 5))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(60), 0.01)
        done, _ = await asyncio.wait([asyncio.create_task(asyncio.sleep(0, 4))])
        run.log.append(done.pop().result())
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                await asyncio.sleep(60)
        except* OSError as failed:
            run.log.append(failed.exceptions[0].args)
        run.log.append(run.task.cancelling())

    await run.begin(work())
    assert await run.end() is None
    assert run.log == [[1, 2], 3, 4, ("one of them",), 0]


async def test_locks_and_queues_are_shared_with_tasks_of_asyncio() -> None:
    run = Run()
    lock, queue, event = asyncio.Lock(), asyncio.Queue[int](1), asyncio.Event()

    async def work() -> None:
        async with lock:
            await queue.put(1)
            await queue.put(2)
        await event.wait()
        run.log.append("set")

    async def take() -> None:
        run.log += [await queue.get(), await queue.get()]
        async with lock:
            event.set()

    await run.begin(work())
    await asyncio.create_task(take())
    assert await run.end() is None
    assert run.log == [1, 2, "set"]


# --- the same as a task of asyncio's -----------------------------------------------------------------------------

ACTS = ["wake", "cancel", "turn", "release"]
STEPS = ["wakeup", "future", "turn", "refuse", "shield", "task", "finally"]


class Program:
    """A coroutine made of steps that note what happens to them, and an outside that acts upon it."""

    def __init__(self, steps: list[str]) -> None:
        self.steps = steps
        self.log: list[object] = []
        self.wakeup = Wakeup()
        self.future: asyncio.Future[None] | None = None

    async def run(self, task: Callable[[], Any]) -> None:
        for number, step in enumerate(self.steps):
            try:
                await getattr(self, f"do_{step}")()
                self.log.append((number, step))
            except asyncio.CancelledError:
                self.log.append((number, step, "cancelled", task().cancelling()))
                if step == "refuse":
                    task().uncancel()
                    continue
                raise

    async def do_wakeup(self) -> None:
        self.wakeup = Wakeup()
        await self.wakeup

    async def do_future(self) -> None:
        self.future = asyncio.get_running_loop().create_future()
        await self.future

    async def do_turn(self) -> None:
        await asyncio.sleep(0)

    do_refuse = do_wakeup

    async def do_shield(self) -> None:
        await asyncio.shield(asyncio.ensure_future(self.do_future()))

    async def do_task(self) -> None:
        await asyncio.create_task(self.do_future())

    async def do_finally(self) -> None:
        try:
            await self.do_wakeup()
        finally:
            await asyncio.sleep(0)
            self.log.append("cleaned up")

    async def act(self, task: Any, acts: list[list[str]]) -> None:
        for at_once in acts:
            for act in at_once:
                if act == "wake":
                    self.wakeup.wake()
                elif act == "cancel":
                    task.cancel()
                elif act == "release" and self.future is not None and not self.future.done():
                    self.future.set_result(None)
            await settle()


@given(st.lists(st.sampled_from(STEPS), max_size=5), st.lists(st.lists(st.sampled_from(ACTS), max_size=3), max_size=8))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_a_program_does_the_same_in_it_as_in_a_task_of_asyncios(steps: list[str], acts: list[list[str]]) -> None:
    async def in_asyncios() -> list[object]:
        program = Program(steps)
        task: asyncio.Task[None] = asyncio.create_task(program.run(lambda: task))
        await settle()
        await program.act(task, acts)
        ended = task.done()
        while task.cancel():
            await settle()
        return [*program.log, ended]

    async def in_ours() -> list[object]:
        program, run = Program(steps), Run()
        await run.begin(program.run(lambda: run.task))
        await settle()
        await program.act(run.task, acts)
        ended = run.ended.done()
        while run.task.cancel():
            await settle()
        await until(run.ended.done)
        return [*program.log, ended]

    with asyncio.Runner() as runner:
        expected = runner.run(in_asyncios())
    for loop_factory in (asyncio.new_event_loop, uvloop.new_event_loop):
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            assert runner.run(in_ours()) == expected
