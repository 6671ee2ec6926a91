"""Lines on their way to a terminal or a pipe that may be slow, stopped or gone.

A terminal that is held (Ctrl-S) or a pager that waits must not hold the engine, which may live in the same loop: a
thread of its own writes, and whoever produces much text awaits `room`.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    import asyncio

#: Characters waiting at most before `room` waits.
BACKLOG: Final = 1 << 20


class Output:
    """Text for one descriptor, in order. After the reader has gone, all text is dropped: `closed` tells.

    Use it from one event loop, then `close` it.
    """

    def __init__(self, stream: TextIO) -> None:
        import threading
        from queue import SimpleQueue

        stream.flush()
        self._fd = stream.fileno()
        self._queue: SimpleQueue[str | None] = SimpleQueue()
        self._waiting = 0  #: characters put and not yet written
        self._changed = threading.Condition()
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None], int]] = []
        self.closed = False  #: nobody reads any more
        self._thread = threading.Thread(target=self._write_all, name="relevo-output", daemon=True)
        self._thread.start()

    def line(self, text: str) -> None:
        """Write a line. Never blocks."""
        self.write(text + "\n")

    def write(self, text: str) -> None:
        """Write text as it is. Never blocks."""
        if not self.closed:
            with self._changed:
                self._waiting += len(text)
            self._queue.put(text)

    async def room(self) -> None:
        """Returns when little enough waits."""
        if self._waiting > BACKLOG:
            await self._below(BACKLOG)

    async def flushed(self) -> bool:
        """Returns when all has been written; False when nobody reads it any more."""
        await self._below(0)
        return not self.closed

    def busy(self) -> asyncio.Future[None] | None:
        """None when all has been written, else a future of the running loop that is done when it has."""
        return self._until(0)

    async def _below(self, mark: int) -> None:
        future = self._until(mark)
        if future is not None:
            await future

    def _until(self, mark: int) -> asyncio.Future[None] | None:
        import asyncio

        with self._changed:
            if self._waiting <= mark:
                return None
            loop = asyncio.get_running_loop()
            future: asyncio.Future[None] = loop.create_future()
            self._waiters.append((loop, future, mark))
        return future

    def close(self, timeout_s: float | None = None) -> None:
        """Write what waits, then end. A reader that does not read is given up after `timeout_s`. Idempotent."""
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _write_all(self) -> None:
        while (text := self._queue.get()) is not None:
            size = len(text)
            if not self.closed:
                try:
                    _write(self._fd, text.encode("utf-8", "replace"))
                except OSError as error:
                    # The pipe's reader has ended, or the terminal went away: what is being done goes on.
                    self.closed = True
                    if error.errno == errno.ENOSPC:
                        note(
                            "relevo: what is shown cannot be written any more: no room where stdout leads to"
                        )
            with self._changed:
                self._waiting -= size
                ready = [waiter for waiter in self._waiters if self._waiting <= waiter[2]]
                self._waiters = [waiter for waiter in self._waiters if self._waiting > waiter[2]]
            for loop, future, _ in ready:
                try:
                    loop.call_soon_threadsafe(_wake, future)
                except RuntimeError:
                    pass  # the loop was closed: nobody waits any more


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            # Somebody else who shares the descriptor has made it non-blocking.
            import select

            select.select([], [fd], [])


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def colours(stream: TextIO) -> bool:
    """Whether a stream is to be coloured: a terminal, unless NO_COLOR (https://no-color.org) or a dumb one."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def note(text: str) -> None:
    """A line on stderr for people, beside what stdout carries. A stderr that is gone is no error."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:
        pass  # the terminal went away
