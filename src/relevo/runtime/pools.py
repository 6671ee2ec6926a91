"""Threads for calls that block: a pool for each context, so that one that is stuck starves no other.

A pool has few threads, started when first needed, and a bounded queue. A call that hangs keeps its thread, its caller is
let go at the deadline, and a spare thread takes its place; the spares are bounded too. Threads are daemons: a hung call
does not hold the process's exit.
"""

from __future__ import annotations

import threading
from asyncio import AbstractEventLoop, Future, get_running_loop
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, Final, ParamSpec, TypeVar

from msgspec import Struct

from relevo.domain.errors import InfrastructureError

P = ParamSpec("P")
T = TypeVar("T")

#: Calls that may wait for a thread, beside those that have one.
QUEUE: Final = 10_000


class PoolFull(InfrastructureError):
    """So many calls wait for a thread of the pool that no more are taken."""

    def __init__(self, name: str, waiting: int) -> None:
        super().__init__(
            f"the pool {name} has {waiting} calls waiting: something that it calls has become slow"
        )
        self.name = name
        self.waiting = waiting


class PoolClosed(InfrastructureError):
    """The pool has been closed before the call was made."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the pool {name} is closed")
        self.name = name


class DeadlinePassed(InfrastructureError):
    """A call took longer than it may; it may still go on in its thread, and its result is dropped."""

    def __init__(self, name: str, deadline_s: float) -> None:
        super().__init__(f"a call in the pool {name} did not end within {deadline_s:g} s")
        self.name = name
        self.deadline_s = deadline_s


class PoolStats(Struct, frozen=True):
    """A pool at one moment."""

    name: str
    threads: int  #: alive, hung ones included
    hung: int  #: threads whose call has passed its deadline
    running: int  #: calls in a thread
    waiting: int  #: calls that wait for a thread
    done: int  #: calls ended since the start
    refused: int  #: calls that were not taken
    overdue: int  #: calls that passed their deadline
    waited_s: float  #: seconds that calls waited for a thread, all together
    worked_s: float  #: seconds that calls took, all together


class _Call:
    """One call: from the queue to its thread. Whoever settles it first (thread, deadline, close) wins."""

    __slots__ = ("at", "done", "loop", "settled", "started", "timer", "work")

    def __init__(
        self,
        loop: AbstractEventLoop,
        work: Callable[[], Any],
        done: Callable[[Any, BaseException | None], None],
    ) -> None:
        self.loop = loop
        self.work = work
        self.done = done
        self.at = monotonic()
        self.started = False
        self.settled = False
        self.timer: Any = None


class Pool:
    """A named pool of at most `threads` threads that work. Calls come from loops; `submit` and `run` are for a loop's thread.

    `deadline_s` is for each call, from its submission; None: as long as it takes.
    """

    def __init__(
        self, name: str, *, threads: int, queue: int = QUEUE, deadline_s: float | None = None
    ) -> None:
        self.name = name
        self._limit = threads
        self._queue_limit = queue
        self._deadline_s = deadline_s
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._calls: deque[_Call] = deque()
        self._idle = 0
        self._alive = 0
        self._hung = 0
        self._running = 0
        self._done = 0
        self._refused = 0
        self._overdue = 0
        self._waited_s = 0.0
        self._worked_s = 0.0
        self._started = 0
        self._closed = False
        self._drained: list[tuple[AbstractEventLoop, Future[None]]] = []
        self._threads: set[threading.Thread] = set()

    def submit(self, work: Callable[[], T], done: Callable[[T | None, BaseException | None], None]) -> None:
        """Call `work()` in a thread, then `done(result, None)` or `done(None, error)` on the running loop, exactly once.

        Never raises for the pool's reasons: `done` gets PoolFull, PoolClosed or DeadlinePassed instead.
        """
        call = _Call(get_running_loop(), work, done)
        refusal: BaseException | None = None
        with self._lock:
            if self._closed:
                refusal = PoolClosed(self.name)
            elif len(self._calls) + self._running - self._hung >= self._limit + self._queue_limit:
                self._refused += 1
                refusal = PoolFull(self.name, len(self._calls))
            else:
                self._calls.append(call)
                self._staff()
        if refusal is not None:
            call.loop.call_soon(done, None, refusal)
        elif self._deadline_s is not None:
            call.timer = call.loop.call_later(self._deadline_s, self._expire, call)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Await a blocking call. Raises what it raises, PoolFull, PoolClosed, DeadlinePassed.

        A caller that is cancelled leaves it running, but not one that had not begun.
        """
        future: Future[T] = get_running_loop().create_future()

        def work() -> T:
            if future.cancelled():
                raise InfrastructureError("nobody waits for this call any more")
            return function(*args, **kwargs)

        def done(result: T | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)  # type: ignore[arg-type]
            elif isinstance(error, StopIteration):
                future.set_exception(RuntimeError("a blocking call raised StopIteration"))
            else:
                future.set_exception(error)

        self.submit(work, done)
        return await future

    def stats(self) -> PoolStats:
        """How it is doing."""
        with self._lock:
            return PoolStats(
                self.name,
                self._alive,
                self._hung,
                self._running,
                len(self._calls),
                self._done,
                self._refused,
                self._overdue,
                self._waited_s,
                self._worked_s,
            )

    async def close(self) -> None:
        """Take no more calls, make those that wait, and return when all threads but hung ones have ended. Idempotent."""
        loop = get_running_loop()
        drained: Future[None] = loop.create_future()
        with self._lock:
            self._closed = True
            self._work.notify_all()
            if self._alive == self._hung:
                drained.set_result(None)
            else:
                self._drained.append((loop, drained))
            threads = list(self._threads)
        await drained
        for thread in threads:
            if not thread.name.endswith(" (hung)"):
                thread.join(1.0)  # it has told of its end already: microseconds

    # --- in threads and under the lock ---------------------------------------------------------------------------

    def _staff(self) -> None:
        """Have a thread for the calls that wait. Under the lock."""
        if self._idle >= len(self._calls):
            self._work.notify()
        elif self._alive - self._hung < self._limit and self._alive < 2 * self._limit + 2:
            self._alive += 1
            self._started += 1
            name = f"relevo-{self.name}-{self._started}"
            thread = threading.Thread(target=self._serve, name=name, daemon=True)
            self._threads.add(thread)
            thread.start()
        else:
            self._work.notify()

    def _serve(self) -> None:
        me = threading.current_thread()
        while True:
            with self._lock:
                self._idle += 1
                while not self._calls and not self._closed:
                    self._work.wait()
                self._idle -= 1
                if not self._calls:
                    self._leave(me)
                    return
                call = self._calls.popleft()
                if call.settled:
                    continue
                call.started = True
                self._running += 1
                begin = monotonic()
                self._waited_s += begin - call.at
            result, error = None, None
            try:
                result = call.work()
            except BaseException as raised:
                error = raised
            surplus = self._ended(call, begin, me)
            self._tell(call, result, error)
            result = error = None
            del call
            if surplus:
                return

    def _ended(self, call: _Call, begin: float, me: threading.Thread) -> bool:
        """Count a call. True when this thread was given up as hung and replaced, so that it ends now."""
        with self._lock:
            self._running -= 1
            self._done += 1
            self._worked_s += monotonic() - begin
            if not call.settled:
                return False
            self._hung -= 1
            self._leave(me)
            return True

    def _leave(self, me: threading.Thread) -> None:
        self._alive -= 1
        self._threads.discard(me)
        if self._closed and self._alive == self._hung:
            for loop, drained in self._drained:
                _call_on(loop, _settle, drained)
            self._drained.clear()

    def _tell(self, call: _Call, result: Any, error: BaseException | None) -> None:
        with self._lock:
            if call.settled:
                return
            call.settled = True
        _call_on(call.loop, self._report, call, result, error)

    def _report(self, call: _Call, result: Any, error: BaseException | None) -> None:
        if call.timer is not None:
            call.timer.cancel()
        call.done(result, error)

    def _expire(self, call: _Call) -> None:
        """The deadline of a call has come: let its caller go, and have another thread for the others."""
        assert self._deadline_s is not None
        with self._lock:
            if call.settled:
                return
            call.settled = True
            self._overdue += 1
            if call.started:
                self._hung += 1
                if self._calls:
                    self._staff()
                if self._closed and self._alive == self._hung:
                    for loop, drained in self._drained:
                        _call_on(loop, _settle, drained)
                    self._drained.clear()
        call.done(None, DeadlinePassed(self.name, self._deadline_s))


def _call_on(loop: AbstractEventLoop, call: Callable[..., None], *args: Any) -> None:
    try:
        loop.call_soon_threadsafe(call, *args)
    except RuntimeError:
        pass  # the loop is closed: nobody waits any more


def _settle(future: Future[None]) -> None:
    if not future.done():
        future.set_result(None)
