"""A time-out that counts suspended time too: a laptop that slept through it wakes up to an expired one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from relevo.runtime.clock import Clock

#: The loop's timers stand still in suspend; so long after waking it may take until an expired deadline is seen.
LOOK_AGAIN_S: Final = 60.0


class Deadline:
    """Calls back once when its time has come, on the loop, unless it is cancelled before."""

    __slots__ = ("_at_s", "_clock", "_expired", "_loop", "_timer")

    def __init__(
        self, clock: Clock, loop: asyncio.AbstractEventLoop, seconds: float, expired: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._loop = loop
        self._expired = expired
        self._at_s = clock.boottime_s() + seconds
        self._timer = loop.call_later(min(seconds, LOOK_AGAIN_S), self._look)

    def cancel(self) -> None:
        """Without effect after it expired."""
        self._timer.cancel()

    def _look(self) -> None:
        left_s = self._at_s - self._clock.boottime_s()
        # timers may fire a clock's grain early
        if left_s <= 0.001:
            self._expired()
        else:
            self._timer = self._loop.call_later(min(left_s, LOOK_AGAIN_S), self._look)
