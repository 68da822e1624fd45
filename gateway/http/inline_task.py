"""Runs a handler without a turn of the event loop between its steps: begun at once, resumed by whoever has what it
waits for.

asyncio's own `Task` begins in the next turn of the loop and, for each thing it waits for, needs a future and one more
turn. For a request that is decided from memory and forwarded over an open connection that was about a fifth of all its
CPU time (docs/decisions/0015). asyncio describes how tasks of another make fit in: "Extending" in its documentation.
"""

from __future__ import annotations

import asyncio
import contextvars
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final

# How a future says that it is waited for by `yield from` (asyncio.Future.__await__).
_BLOCKING: Final = "_asyncio_future_blocking"


class InlineTask:
    """Runs one coroutine after the other. `upon_end` is called when one has ended, with the exception that ended it, if
    any.

    It does what `asyncio.timeout`, `asyncio.TaskGroup`, `asyncio.shield` and awaiting of futures need of a task: be the
    current one, be cancelled, and count that. It can't be awaited, `asyncio.all_tasks` does not show it, and it has no
    context of its own: a context variable that one step sets need not be there in the next.
    """

    __slots__ = ("__weakref__", "_cancels", "_coroutine", "_loop", "_must_cancel", "_upon_end", "_waits_for")

    def __init__(self, loop: asyncio.AbstractEventLoop, upon_end: Callable[[BaseException | None], None]) -> None:
        self._coroutine: Coroutine[Any, Any, None] | None = None
        self._loop = loop
        self._upon_end = upon_end
        self._waits_for: Any = None
        self._must_cancel = False
        self._cancels = 0

    @property
    def is_running(self) -> bool:
        """Whether a coroutine has begun and not ended."""
        return self._coroutine is not None

    def done(self) -> bool:
        """As `asyncio.Task.done`: nothing runs any more."""
        return self._coroutine is None

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run it until it waits for something, which may be until its end. No task may be running."""
        self._coroutine = coroutine
        self._step()

    def resume(self) -> None:
        """What it waited for is there: go on, at once unless somebody else's step is being run."""
        self._step()

    def cancel(self, msg: object = None) -> bool:
        """As `asyncio.Task.cancel`: the coroutine gets a `CancelledError` where it waits, soon."""
        if self._coroutine is None:
            return False
        self._cancels += 1
        waits_for = self._waits_for
        if isinstance(waits_for, Wakeup):
            self._must_cancel = True
            # When it has been woken already, a step is due.
            if waits_for.cancel():
                self._loop.call_soon(self._step)
        elif waits_for is None or not waits_for.cancel():
            self._must_cancel = True
        return True

    def cancelling(self) -> int:
        """As `asyncio.Task.cancelling`."""
        return self._cancels

    def uncancel(self) -> int:
        """As `asyncio.Task.uncancel`."""
        self._cancels = max(0, self._cancels - 1)
        return self._cancels

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop it runs in."""
        return self._loop

    def _step(self, ended: asyncio.Future[Any] | None = None) -> None:
        """Run up to the next wait. Futures call this with themselves; the coroutine then asks them for the result."""
        # At most one step is ever due: whoever waits for one thing is not told of another.
        coroutine = self._coroutine
        assert coroutine is not None
        self._waits_for = None
        loop = self._loop
        try:
            _enter_task(loop, self)  # type: ignore[arg-type]
        except RuntimeError:
            # Another task is in the middle of its step.
            loop.call_soon(self._step)
            return
        try:
            if self._must_cancel:
                self._must_cancel = False
                waits_for = coroutine.throw(asyncio.CancelledError())
            else:
                waits_for = coroutine.send(None)
        except StopIteration:
            ended_by: BaseException | None = None
        except BaseException as error:
            ended_by = error
        else:
            self._wait_for(waits_for)
            return
        finally:
            _leave_task(loop, self)  # type: ignore[arg-type]
        self._coroutine = None
        self._must_cancel = False
        self._cancels = 0
        self._upon_end(ended_by)
        if isinstance(ended_by, KeyboardInterrupt | SystemExit):
            raise ended_by  # these end the loop, as they do in a task of asyncio's
        ended_by = None  # it holds this frame: together they would wait for the garbage collector

    def _wait_for(self, waits_for: Any) -> None:
        is_wakeup = type(waits_for) is Wakeup
        if is_wakeup and not self._must_cancel:
            self._waits_for = waits_for
            waits_for.task = self
        elif not is_wakeup and getattr(waits_for, _BLOCKING, False) and waits_for.get_loop() is self._loop:
            self._waits_for = waits_for
            setattr(waits_for, _BLOCKING, False)
            waits_for.add_done_callback(self._step)
            if self._must_cancel and waits_for.cancel():
                self._must_cancel = False
        else:
            # One turn of the loop: after a bare yield, as of `asyncio.sleep(0)`; for a cancellation that came while it
            # ran; and a future of another loop says by itself that it can't be waited for here.
            self._loop.call_soon(self._step)

    def __repr__(self) -> str:
        return f"<InlineTask {'under way' if self.is_running else 'at rest'}>"


class Wakeup:
    """Something to wait for, once, by one task of either make.

    To asyncio's own tasks it looks like a future, as far as they look: it says that it is waited for, takes a callback
    and can be cancelled. An `InlineTask` is resumed in place.
    """

    __slots__ = ("_asyncio_future_blocking", "_callback", "_is_cancelled", "is_due", "task")

    def __init__(self) -> None:
        self._asyncio_future_blocking = True
        self._callback: tuple[Callable[[Wakeup], object], contextvars.Context | None] | None = None
        self._is_cancelled = False
        self.is_due = False
        """Whether the wait is over, or was cancelled."""
        self.task: InlineTask | None = None
        """Who waits, if it is a task of ours."""

    def __await__(self) -> Generator[Wakeup, None, None]:
        if not self.is_due:
            yield self

    def wake(self) -> None:
        """Let the task go on; a second time does nothing."""
        if self.is_due:
            return
        self.is_due = True
        if self.task is not None:
            self.task.resume()
        else:
            self._call_back()

    def _call_back(self) -> None:
        if self._callback is not None:
            callback, context = self._callback
            asyncio.get_running_loop().call_soon(callback, self, context=context)

    # --- what asyncio's tasks ask a future for -----------------------------------------------------------------

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop it belongs to: that of whoever waits."""
        return asyncio.get_running_loop()

    def add_done_callback(
        self, callback: Callable[[Wakeup], object], *, context: contextvars.Context | None = None
    ) -> None:
        """Have this called when it is time to go on."""
        self._callback = (callback, context)

    def cancel(self, msg: object = None) -> bool:
        """End the wait. Whether that was news."""
        if self.is_due:
            return False
        self.is_due = self._is_cancelled = True
        self._call_back()
        return True

    def result(self) -> None:
        """Nothing, or the `CancelledError` of a wait that was cancelled."""
        if self._is_cancelled:
            raise asyncio.CancelledError
