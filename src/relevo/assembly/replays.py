"""Runs as their events make them, kept for who asks again: a page that scrolls through a log asks for the same run at each turn.

What was replayed is taken further by what has been stored since. Long histories are replayed in a thread.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from relevo.domain import events as e
from relevo.domain.errors import UserError
from relevo.domain.evolution import evolve
from relevo.domain.run import Run
from relevo.domain.stored import Stored
from relevo.store.contract import EventStore

#: Jobs of all runs that are kept: about a kilobyte each. A run with more is kept when it is the only one.
MOST_JOBS: Final = 10_000
MOST_RUNS: Final = 64
#: Bytes of events that are replayed on the loop: about a millisecond.
INLINE_BYTES: Final = 16 << 10

#: Bytes of log that were accepted with the ends of attempts, by job and number.
LogSizes = dict[tuple[int, int], int]


class _Replayed:
    def __init__(self) -> None:
        self.run = Run()
        self.logs: LogSizes = {}
        self.lock = asyncio.Lock()

    def take(self, history: Sequence[Stored]) -> None:
        for stored in history:
            for event in e.decode(stored.events):
                evolve(self.run, event)
                if isinstance(event, e.AttemptEnded) and event.result != "lost":
                    self.logs[event.job, event.number] = event.log_size
            self.run.version = stored.version


class Replays:
    """See the module. What it hands out is for reading, and goes on changing."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._known: OrderedDict[str, _Replayed] = OrderedDict()

    async def get(self, run: str) -> tuple[Run, LogSizes]:
        """A run as it is stored now, and its logs' sizes. Raises UserError when there is none."""
        while True:
            found = self._known.setdefault(run, _Replayed())
            async with found.lock:
                if self._known.get(run) is not found:
                    continue  # whoever had the lock before could not read it
                try:
                    await self._catch_up(run, found)
                except BaseException:
                    self._known.pop(run, None)  # a thread may still be at it
                    raise
                self._known.move_to_end(run)
                self._bound()
                return found.run, found.logs

    async def _catch_up(self, run: str, found: _Replayed) -> None:
        history = await self._store.read(run, found.run.version)
        if sum(len(stored.events) for stored in history) > INLINE_BYTES:
            await asyncio.to_thread(found.take, history)
        else:
            found.take(history)
        if found.run.accepted is None or (not history and await self._store.run(run) is None):
            raise UserError(f"there is no run {run}", hint="relevo runs lists them")

    def _bound(self) -> None:
        jobs = sum(len(known.run.jobs) for known in self._known.values())
        while len(self._known) > 1 and (jobs > MOST_JOBS or len(self._known) > MOST_RUNS):
            oldest = next(iter(self._known))
            jobs -= len(self._known.pop(oldest).run.jobs)
