"""A log store that fails on command, in front of any other."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator

from relevo.domain.ids import AttemptKey
from relevo.logs.contract import LogEnd, LogFrame, LogStore, LogUnavailable


class FaultyLogStore:
    """Passes all on to `inner`, unless told otherwise."""

    def __init__(self, inner: LogStore) -> None:
        self.inner = inner
        self._failures: dict[str, deque[LogUnavailable | None]] = {
            "write": deque(),
            "end": deque(),
            "sync": deque(),
        }
        self._held_syncs: list[Callable[[], None]] | None = None

    def fail(self, what: str, *, after: int = 0, times: int = 1, full: bool = False) -> None:
        """`what` (write, end or sync) fails so many `times`, after so many calls more that do not."""
        fault = LogUnavailable(f"{what}: a fault on command", full=full)
        self._failures[what].extend([None] * after + [fault] * times)

    def hold_syncs(self) -> None:
        """From now on syncs are done, but not answered."""
        self._held_syncs = self._held_syncs or []

    def release_syncs(self) -> None:
        """Answer those held, in order, and all to come."""
        held, self._held_syncs = self._held_syncs or [], None
        for answer in held:
            answer()

    def write(self, attempt: AttemptKey, frame: LogFrame) -> int:
        self._perhaps_fail("write")
        return self.inner.write(attempt, frame)

    def sync(self, done: Callable[[LogUnavailable | None], None]) -> None:
        fault = self._next("sync")

        def answer(error: LogUnavailable | None) -> None:
            if self._held_syncs is not None:
                self._held_syncs.append(lambda: done(error or fault))
            else:
                done(error or fault)

        self.inner.sync(answer)

    def end(self, attempt: AttemptKey, end: LogEnd) -> None:
        self._perhaps_fail("end")
        self.inner.end(attempt, end)

    def no_more(self, attempt: AttemptKey) -> None:
        self.inner.no_more(attempt)

    def size(self, attempt: AttemptKey) -> int:
        return self.inner.size(attempt)

    def ended(self, attempt: AttemptKey) -> LogEnd | None:
        return self.inner.ended(attempt)

    def attempts(self, run: str) -> list[AttemptKey]:
        return self.inner.attempts(run)

    def frames(self, attempt: AttemptKey, start: int = 0, stop: int | None = None) -> Iterator[LogFrame]:
        return self.inner.frames(attempt, start, stop)

    def line_offset(self, attempt: AttemptKey, line: int) -> int:
        return self.inner.line_offset(attempt, line)

    def lines(self, attempt: AttemptKey) -> int:
        return self.inner.lines(attempt)

    def follow(self, attempt: AttemptKey, start: int = 0) -> AsyncIterator[LogFrame]:
        return self.inner.follow(attempt, start)

    async def verify(self, run: str) -> list[str]:
        return await self.inner.verify(run)

    async def delete(self, run: str) -> None:
        await self.inner.delete(run)

    def usage(self) -> dict[str, int]:
        return self.inner.usage()

    async def close(self) -> None:
        await self.inner.close()

    def _next(self, what: str) -> LogUnavailable | None:
        waiting = self._failures[what]
        return waiting.popleft() if waiting else None

    def _perhaps_fail(self, what: str) -> None:
        fault = self._next(what)
        if fault is not None:
            raise fault
