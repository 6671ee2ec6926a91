"""Calls that wait for the disk, away from the loop. In a simulation the same shape runs them in the loop, in virtual time."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")
S = TypeVar("S")


class RunBlocking(Protocol):
    """Do `work` somewhere where it may block, then call `done(result, None)` or `done(None, error)` on the loop."""

    def __call__(
        self, work: Callable[[], T], done: Callable[[T | None, BaseException | None], None], /
    ) -> None: ...


class Threads:
    """A few threads, started when first needed."""

    def __init__(self, loop: AbstractEventLoop, threads: int = 4) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self._loop = loop
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="relevo-logs")

    def __call__(
        self, work: Callable[[], S], done: Callable[[S | None, BaseException | None], None], /
    ) -> None:
        def run() -> None:
            try:
                result = work()
            except BaseException as error:
                self._tell(done, None, error)
            else:
                self._tell(done, result, None)

        self._pool.submit(run)

    def close(self) -> None:
        """Wait for what runs, end the threads. Idempotent."""
        self._pool.shutdown(wait=True)

    def _tell(
        self,
        done: Callable[[S | None, BaseException | None], None],
        result: S | None,
        error: BaseException | None,
    ) -> None:
        try:
            self._loop.call_soon_threadsafe(done, result, error)
        except RuntimeError:
            pass  # the loop is closed: nobody waits any more


async def wait_for(loop: AbstractEventLoop, run_blocking: RunBlocking, work: Callable[[], T]) -> T:
    """Await a blocking call. A caller that is cancelled leaves it running."""
    future: Future[T] = loop.create_future()

    def done(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    run_blocking(work, done)
    return await future
