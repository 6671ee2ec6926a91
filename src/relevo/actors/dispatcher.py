"""Steps the actors that have something to do, in turns on the event loop.

The loop is held for `BUDGET_S` at most (and one step more); a burst of mail costs one wake-up. Whoever gets mail while
a turn runs is stepped in the same turn if the budget allows, after those that were ready before.
"""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from relevo.actors.cell import Cell

#: A turn ends after this time.
BUDGET_S: Final = 0.004
#: Where time stands still within a turn (a virtual loop), a turn ends after so many steps.
BUDGET_STEPS: Final = 10_000
#: A step that holds the loop for longer is told of.
SLOW_STEP_S: Final = 0.05

_log = logging.getLogger("relevo.actors")


class Dispatcher:
    """The turns of one system. `order(n)` picks which of `n` ready actors is next; without it: first come, first served."""

    __slots__ = (
        "_awake",
        "_deepest",
        "_loop",
        "_order",
        "_time",
        "busy_s",
        "handled",
        "longest_s",
        "now",
        "ready",
        "turns",
    )

    def __init__(self, loop: AbstractEventLoop, order: Callable[[int], int] | None = None) -> None:
        self.ready: deque[Cell[Any]] = deque()
        self.now = 0.0  #: loop time at the last look
        self.turns = 0
        self.handled = 0  #: messages, by all actors together
        self.busy_s = 0.0
        self.longest_s = 0.0  #: the longest step
        self._deepest: dict[type, int] = {}  # messages handed over in one step at most, by kind of actor
        self._awake = False
        self._loop = loop
        # uvloop's time stands still within a turn, as a virtual loop's does; but there it has to.
        self._time = loop.time if getattr(loop, "virtual", False) else monotonic
        self._order = order

    def add(self, cell: Cell[Any]) -> None:
        """Let `cell` be stepped. Whoever calls sees to it that it is not there already."""
        self.ready.append(cell)
        if not self._awake:
            self._awake = True
            self._loop.call_soon(self._turn)

    def take_deepest(self) -> dict[str, int]:
        """How many messages waited at one actor at most when its turn came, by its kind, since the last call. One message
        that came alone is not told."""
        deepest, self._deepest = self._deepest, {}
        return {kind.__name__.lstrip("_"): count for kind, count in deepest.items()}

    def _turn(self) -> None:
        self.turns += 1
        ready = self.ready
        deepest = self._deepest
        time = self._time
        start = before = time()
        until = start + BUDGET_S
        steps = 0
        try:
            while ready:
                self.now = before
                cell = ready.popleft() if self._order is None else self._pick(self._order)
                actor = cell.actor
                count = cell.step()
                self.handled += count
                if count > 1 and count > deepest.get(type(actor), 1):
                    deepest[type(actor)] = count
                now = time()
                took = now - before
                if took > self.longest_s:
                    self.longest_s = took
                    if took > SLOW_STEP_S:
                        _log.warning(
                            "actor %s held the loop for %.0f ms",
                            cell.path,
                            took * 1_000,
                            extra={"actor": cell.path},
                        )
                before = now
                steps += 1
                if now >= until or steps >= BUDGET_STEPS:
                    break
        finally:
            self.busy_s += before - start
            if ready:
                self._loop.call_soon(self._turn)
            else:
                self._awake = False

    def _pick(self, order: Callable[[int], int]) -> Cell[Any]:
        index = order(len(self.ready))
        cell = self.ready[index]
        del self.ready[index]
        return cell
