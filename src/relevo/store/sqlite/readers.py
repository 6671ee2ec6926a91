"""The threads that read, and their connections. A reader sees every commit whose `done` was called before it began."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, TypeVar

import apsw

from relevo.store.contract import StoreUnavailable
from relevo.store.sqlite.connection import connect_reader, running_error

THREADS: Final = 2

P = ParamSpec("P")
T = TypeVar("T")


class Readers:
    """Runs functions of a connection in threads. Threads and connections are made when first needed."""

    def __init__(self, path: str, loop: asyncio.AbstractEventLoop) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self._path = path
        self._loop = loop
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="relevo-store-reader")
        self._idle: list[apsw.Connection] = []
        self._running: set[asyncio.Future[object]] = set()
        self._closed = False

    async def run(
        self, read: Callable[Concatenate[apsw.Connection, P], T], /, *arguments: P.args, **named: P.kwargs
    ) -> T:
        """`read(connection, …)` in a thread. Raises DamagedError, StoreUnavailable and what `read` raises."""
        if self._closed:
            raise StoreUnavailable(f"{self._path} is closed")

        def work() -> T:
            connection = self._idle.pop() if self._idle else connect_reader(self._path)
            try:
                # No `read` leaves a statement unfinished: it would keep this snapshot for those who come after it.
                # One snapshot for all statements of a read, and a third less time than one for each.
                connection.execute("BEGIN")
                try:
                    return read(connection, *arguments, **named)
                finally:
                    if connection.in_transaction:
                        connection.execute("COMMIT")
            finally:
                self._idle.append(connection)

        future = self._loop.run_in_executor(self._pool, work)
        self._running.add(future)  # type: ignore[arg-type]  # only waited for
        future.add_done_callback(self._running.discard)
        try:
            return await future
        except (apsw.Error, OSError) as error:
            raise running_error(error, self._path) from error

    async def close(self) -> None:
        """Wait for what is being read, then close. Idempotent."""
        self._closed = True
        if self._running:
            await asyncio.wait(self._running)
        self._pool.shutdown(wait=True)  # idle threads end at once
        while self._idle:
            self._idle.pop().close()
