"""The newest frames of a log in memory, for those who follow it: shared by all of them, bounded, held only while somebody follows."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future
from collections import deque
from typing import Final

from relevo.logs.contract import LogFrame

WINDOW_BYTES: Final = 1024 * 1024  #: of one attempt, while few are followed
WINDOW_LEAST_BYTES: Final = 32 * 1024
ALL_WINDOWS_BYTES: Final = 64 * 1024 * 1024


def window_bytes(followed: int) -> int:
    """How much each of so many followed logs may keep."""
    return max(WINDOW_LEAST_BYTES, min(WINDOW_BYTES, ALL_WINDOWS_BYTES // max(followed, 1)))


class Tail:
    """One log that is followed. A follower is an offset of its own; nothing here grows with one that does not read."""

    def __init__(self) -> None:
        self.followers = 0
        self.deleted = False  #: the log is no more
        self._frames: deque[LogFrame] = deque()
        self._bytes = 0
        self._dropped = 0  #: frames that left at the front; a follower's cursor counts from the beginning
        self._waiting: dict[Future[None], None] = {}  #: a dict for its order

    def push(self, frame: LogFrame, window: int) -> None:
        """Take a frame that follows those before it."""
        self._frames.append(frame)
        self._bytes += len(frame.data)
        while self._bytes > window and len(self._frames) > 1:
            self._bytes -= len(self._frames.popleft().data)
            self._dropped += 1

    def forget(self) -> None:
        """Drop all frames: they do not stand any more."""
        self._dropped += len(self._frames)
        self._frames.clear()
        self._bytes = 0

    def wake(self) -> None:
        """Let all who wait look again."""
        waiting, self._waiting = self._waiting, {}
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, loop: AbstractEventLoop) -> None:
        """Until the next `wake`."""
        future: Future[None] = loop.create_future()
        self._waiting[future] = None
        try:
            await future
        finally:
            self._waiting.pop(future, None)

    def cursor(self, offset: int) -> int | None:
        """The number of the frame that holds `offset`; None when it is not in memory (older, or not yet written)."""
        frames = self._frames
        if not frames or offset < frames[0].offset:
            return None
        low, high = 0, len(frames)
        while high - low > 1:
            middle = (low + high) // 2
            if frames[middle].offset <= offset:
                low = middle
            else:
                high = middle
        last = frames[low]
        return self._dropped + low if offset < last.offset + len(last.data) else None

    def frame(self, cursor: int) -> LogFrame | None:
        """The frame with a number; None when it left, or is to come."""
        at = cursor - self._dropped
        return self._frames[at] if 0 <= at < len(self._frames) else None
