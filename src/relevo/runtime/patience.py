"""How long another process is waited for: while it shows signs of life, not until a clock says so.

On a busy machine, or behind a disk that stalls, a second says nothing about a process: it may have had no part of it. So only
time counts in which it neither computed nor waited for a processor or a disk; and in which this process itself did not stand
still. One that was stopped, hangs, or waits for what never comes shows nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from relevo.runtime import processes
from relevo.runtime.processes import Effort, ProcessIdentity

T = TypeVar("T")

#: How often it is looked at while something is awaited.
LOOK_S: Final = 0.1
#: So long it is waited for at most, also when it computes all the time: its loop may turn round for ever.
AT_MOST_S: Final = 60.0


class Patience:
    """With one process. Ask `over` again and again, `every_s` apart."""

    def __init__(
        self,
        quiet_s: float,
        now_s: float,
        *,
        at_most_s: float = AT_MOST_S,
        every_s: float = LOOK_S,
        effort: Callable[[ProcessIdentity], Effort] = processes.effort,
    ) -> None:
        """It is over after more than `quiet_s` without a sign of life; `now_s`: of a clock that only grows."""
        self._quiet_s = quiet_s
        self._at_most_s = at_most_s
        self._every_s = every_s
        self._effort = effort
        self._looked_s = now_s
        self._waited_s = 0.0
        self._still_s = 0.0
        self._ticks = -1

    def over(self, who: ProcessIdentity | None, now_s: float) -> bool:
        """Whether it was waited for long enough. At once when it is gone; None: nobody whose signs could be seen."""
        passed_s, self._looked_s = now_s - self._looked_s, now_s
        if passed_s > 3 * self._every_s:
            passed_s = self._every_s  # it was this process that stood still
        self._waited_s += passed_s
        self._still_s += passed_s
        if who is not None:
            try:
                effort = self._effort(who)
            except ProcessLookupError:
                return True
            if effort.waits or effort.ticks > self._ticks >= 0:
                self._still_s = 0.0
            self._ticks = effort.ticks
        return self._still_s > self._quiet_s or self._waited_s > self._at_most_s


async def answered(
    asking: Coroutine[Any, Any, T], who: Callable[[], ProcessIdentity | None], quiet_s: float
) -> T:
    """What `asking` another process returns or raises. TimeoutError when patience with it (`who`) is over first."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(asking)
    patience = Patience(quiet_s, loop.time())
    try:
        while not (await asyncio.wait((task,), timeout=LOOK_S))[0]:
            if patience.over(who(), loop.time()):
                raise TimeoutError
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
