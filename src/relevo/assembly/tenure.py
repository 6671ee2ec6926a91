"""Notices that somebody else has become the engine of the home.

Whoever takes over has first asked in vain for seconds, and then takes the address. So an engine that stood still (it was stopped,
the machine was), or whose address leads elsewhere, looks at the lease: nothing else would tell it when it has nothing to store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from relevo.domain.errors import RelevoError

TICK_S: Final = 0.5
#: Shorter than what a holder of the lease has for its answer (`embedded.ANSWER_S`).
LATE_S: Final = 2.0


class Tenure:
    """Watches over one lease. `valid` reads it, `suspect` says that there is a reason to; `lost` may be called again."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        valid: Callable[[], Awaitable[bool]],
        lost: Callable[[], None],
        *,
        suspect: Callable[[], bool] = lambda: False,
    ) -> None:
        self._loop = loop
        self._valid = valid
        self._lost = lost
        self._suspect = suspect
        self._ticked = loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to watch."""
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def close(self) -> None:
        """Stop watching. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._looking is not None:
            self._looking.cancel()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_S, self._tick)
        now = self._loop.time()
        late, self._ticked = now - self._ticked > LATE_S, now
        if self._looking is None and (late or self._suspect()):
            self._looking = self._loop.create_task(self._look())

    async def _look(self) -> None:
        try:
            if not await self._valid():
                self._lost()
        except RelevoError:
            self._ticked = float("-inf")  # the disk is full, the database locked: look again at the next tick
        finally:
            self._looking = None
