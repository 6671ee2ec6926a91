"""An event loop whose time is virtual: nobody waits, and the same callbacks run in the same order each time.

When nothing is ready, time jumps to the next timer. When there is no timer either, nobody will ever come: `Deadlock`.
There is no I/O: no sockets, processes or threads; `run_in_executor` calls in the loop.

`Host` is a part of it that can die as a process does under SIGKILL.
"""

from __future__ import annotations

import asyncio
from asyncio import base_events, events
from collections.abc import AsyncGenerator, Callable, Coroutine
from random import Random
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

from relevo.domain.errors import RelevoError

T = TypeVar("T")


class Deadlock(RelevoError):
    """Nothing is ready, no timer is set, and the main task has not ended. `waiting` names the tasks."""

    def __init__(self, waiting: list[str]) -> None:
        lines = "".join(f"\n  {line}" for line in waiting)
        super().__init__(f"nothing will ever happen again; waiting:{lines}")
        self.waiting = waiting


class _NoSelector:
    """Stands where the selector does: what would wait jumps."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Deadlock([_told(task) for task in asyncio.all_tasks(self._loop)])
        if timeout > 0:
            self._loop.now_s += timeout
        return []

    def close(self) -> None:
        """Nothing to close."""


class VirtualLoop(base_events.BaseEventLoop):
    """See the module. `random` is seeded: let tests take all chance from it."""

    virtual = True  #: the dispatcher of actors counts steps instead of looking at the clock

    def __init__(self, seed: int | str = 0) -> None:
        super().__init__()
        self.random = Random(seed)
        self.now_s = 0.0
        self._selector = _NoSelector(self)
        self._clock_resolution = 1e-9
        self._hosts: list[Host] = []
        self._generators: WeakKeyDictionary[AsyncGenerator[Any, Any], Host] = WeakKeyDictionary()
        self._unhandled: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self._unhandled.append(context))

    def time(self) -> float:
        """Virtual seconds since it was made."""
        return self.now_s

    def unhandled(self) -> list[dict[str, Any]]:
        """What came to the exception handler since the last call."""
        found, self._unhandled = self._unhandled, []
        return found

    def advance(self, seconds: float) -> None:
        """Let everything happen that is due within `seconds`; only while the loop does not run."""
        self.run_until_complete(asyncio.sleep(seconds))

    def close(self) -> None:
        """Close it; what dead hosts left is thrown away now."""
        for host in self._hosts:
            host.bury()
        self._hosts.clear()
        super().close()

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """Call it in the loop, in the next turn."""
        return _call_in(self, func, args)

    def _asyncgen_firstiter_hook(self, agen: AsyncGenerator[Any, Any]) -> None:
        """Asyncio's, but a host's generators are its own: who closed them after its death would run its clean-up."""
        running = events._get_running_loop()
        if isinstance(running, Host):
            self._generators[agen] = running
        else:
            super()._asyncgen_firstiter_hook(agen)  # type: ignore[misc]

    def _asyncgen_finalizer_hook(self, agen: AsyncGenerator[Any, Any]) -> None:
        host = self._generators.pop(agen, None)
        if host is None:
            super()._asyncgen_finalizer_hook(agen)  # type: ignore[misc]
        elif not host.dead:
            host.call_soon(host.create_task, agen.aclose())

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody waits."""


def _call_in(
    loop: asyncio.AbstractEventLoop, func: Callable[..., T], args: tuple[Any, ...]
) -> asyncio.Future[T]:
    future: asyncio.Future[T] = loop.create_future()

    def call() -> None:
        if future.cancelled():
            return
        try:
            result = func(*args)
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    loop.call_soon(call)
    return future


def _told(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack(limit=1)
    place = f" at {frames[0].f_code.co_filename}:{frames[0].f_lineno}" if frames else ""
    return f"{task.get_name()}{place}"


class VirtualClock:
    """The clocks of one machine on a virtual loop. The wall clock can be set; the others cannot.

    `boot_s` is what the machine's boot clock said when the loop began, `skew_ms` how far its wall clock is off.
    """

    EPOCH_MS = 1_800_000_000_000  #: what a right wall clock says when the loop begins

    def __init__(self, loop: asyncio.AbstractEventLoop, *, boot_s: float = 1_000.0, skew_ms: int = 0) -> None:
        self._loop = loop
        self._boot_s = boot_s
        self._suspended_s = 0.0
        self.skew_ms = skew_ms

    def wall_ms(self) -> int:
        """See Clock."""
        return self.EPOCH_MS + round((self._loop.time() + self._suspended_s) * 1_000) + self.skew_ms

    def monotonic_s(self) -> float:
        """See Clock."""
        return self._loop.time()

    def boottime_s(self) -> float:
        """See Clock."""
        return self._boot_s + self._loop.time() + self._suspended_s

    def jump(self, delta_ms: int) -> None:
        """Set the wall clock forward, or back."""
        self.skew_ms += delta_ms

    def suspend(self, seconds: float) -> None:
        """The machine slept: boot and wall clock go on, timers and the monotonic clock do not."""
        self._suspended_s += seconds


class Host(asyncio.AbstractEventLoop):
    """The loop as one process sees it. After `crash()` nothing of it runs any more: no callback, no task, no clean-up.

    Give it to the code under test as its loop; within it, `asyncio.get_running_loop()` is the host.
    """

    virtual = True

    def __init__(self, loop: VirtualLoop, name: str = "host") -> None:
        self.loop = loop
        self.name = name
        self.dead = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._handler: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None = None
        loop._hosts.append(self)

    def crash(self) -> None:
        """Die as under SIGKILL. Idempotent."""
        self.dead = True

    def bury(self) -> None:
        """Throw away what is left of it, at the end of all. Clean-up code runs here, and reaches nobody."""
        self.dead = True
        events._set_running_loop(None)
        for task in list(self._tasks):
            if task.done():
                continue
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            coroutine = cast("Coroutine[Any, Any, Any]", task.get_coro())
            for _ in range(100):  # each await in a `finally` is one more
                try:
                    coroutine.close()
                except BaseException:  # it is dead: nobody is to hear of it
                    continue
                break
        self._tasks.clear()

    # --- scheduling ------------------------------------------------------------------------------------------------

    def time(self) -> float:
        """The loop's."""
        return self.loop.now_s

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Any = None) -> asyncio.Handle:  # type: ignore[override]
        """As the loop's."""
        if self.dead:
            return _cancelled(self, callback, args)
        return self.loop.call_soon(self._run, callback, args, context=context)

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        """As the loop's."""
        return self.call_soon(callback, *args, context=context)

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """As the loop's."""
        return self.call_at(self.loop.now_s + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """As the loop's."""
        handle = self.loop.call_at(when, self._run, callback, args, context=context)
        if self.dead:
            handle.cancel()
        return handle

    def _run(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        if self.dead:
            return
        outer = events._get_running_loop()
        events._set_running_loop(self)
        try:
            callback(*args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.call_exception_handler({"message": f"callback of {self.name} raised", "exception": error})
        finally:
            events._set_running_loop(outer)

    def create_future(self) -> asyncio.Future[Any]:
        """A future whose callbacks are this host's."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Any = None
    ) -> asyncio.Task[T]:
        """A task of this host."""
        task: asyncio.Task[T] = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """Call it in the loop, in the next turn."""
        return _call_in(self, func, args)

    # --- the rest of a loop that code asks for -----------------------------------------------------------------------

    def is_running(self) -> bool:
        """Whether it can run callbacks."""
        return not self.dead and self.loop.is_running()

    def is_closed(self) -> bool:
        """Never: the dead do not know."""
        return False

    def get_debug(self) -> bool:
        """Never."""
        return False

    def get_task_factory(self) -> None:
        """None."""
        return

    def set_exception_handler(self, handler: Any) -> None:
        """As the loop's."""
        self._handler = handler

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Hand it to the loop, with the host's name."""
        self.loop.call_exception_handler({**context, "host": self.name})

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """To the host's handler, or the loop's. Of the dead nobody hears."""
        if self.dead:
            return
        if self._handler is not None:
            self._handler(self, context)
        else:
            self.default_exception_handler(context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Asked for by asyncio's timer handles."""


def _cancelled(
    loop: asyncio.AbstractEventLoop, callback: Callable[..., object], args: tuple[Any, ...]
) -> asyncio.Handle:
    handle = asyncio.Handle(callback, args, loop)
    handle.cancel()
    return handle


def run_virtual(main: Coroutine[Any, Any, T], seed: int | str = 0) -> T:
    """Run `main` to its end on a new virtual loop, and return its result. What else runs then is cancelled.

    Raises what `main` raises, Deadlock, and what came to the exception handler, if anything did.
    """
    loop = VirtualLoop(seed)
    return run_on(loop, main)


def run_on(loop: VirtualLoop, main: Coroutine[Any, Any, T]) -> T:
    """As run_virtual, on a loop that the caller made; it is closed in the end."""
    asyncio.set_event_loop(loop)
    try:
        try:
            result = loop.run_until_complete(main)
        finally:
            _cancel_all(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
        for context in loop.unhandled():
            raise context.get("exception") or RuntimeError(context["message"])
        return result
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _cancel_all(loop: VirtualLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
