"""The loop's lag while the scheduler's own actor matches, on a real loop, with jobs that end and come meanwhile.

A heart is to beat every millisecond, whatever came of the beats before; how much later than that it does is the lag of whatever
else the loop is to do. By the processor's time, too: what other programs take is no lag of ours.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from time import perf_counter, process_time
from typing import NamedTuple

from relevo.actors import ActorSystem
from relevo.runtime.loop import run as run_loop
from relevo.scheduler import actor
from relevo.scheduler.actor import Scheduler
from relevo.scheduler.capacity import Capacity
from relevo.scheduler.match import Placement
from relevo.scheduler.policy import Policy
from relevo.scheduler.queue import Queue, Waiting

BEAT_S = 0.001
#: So many jobs end a second, and as many come.
RATE = 500


class Lag(NamedTuple):
    """How late the heart beat, in milliseconds, with how many jobs got a place meanwhile."""

    p99_ms: float
    most_ms: float
    cpu_p99_ms: float  #: by the processor's time
    cpu_most_ms: float
    placed_per_s: float


def lag(made: tuple[Queue, Capacity, Policy], seconds: float, *, in_turns: bool = True) -> Lag:
    """While a queue is matched, for so long at most. `in_turns`: as an engine does; else a round is one turn."""
    steps = actor.STEPS
    if not in_turns:
        actor.STEPS = 1 << 40  # type: ignore[misc]
    try:
        return run_loop(_Load(made).measure(seconds))
    finally:
        actor.STEPS = steps  # type: ignore[misc]


class _Load:
    def __init__(self, made: tuple[Queue, Capacity, Policy]) -> None:
        self._queue, self._capacity, self._policy = made
        self._running: deque[Waiting] = deque()
        self._placed = 0
        self._rng = random.Random(0)

    async def measure(self, seconds: float) -> Lag:
        loop = asyncio.get_running_loop()
        scheduler = Scheduler(self._assign, loop.time, self._policy, later=loop.call_soon)
        scheduler.ref = ActorSystem(loop).spawn(scheduler, "scheduler")
        for number, agent in enumerate(self._capacity.agents.values()):
            scheduler.agent_up(agent)
            if number % 100 == 0:
                await asyncio.sleep(0)
        classes = [
            (self._queue.tenant(waiting), demand)
            for waiting, _, demand, _ in self._queue.waiting(len(self._queue))
        ]
        scheduler.queue = self._queue
        scheduler.change(self._policy)  # from now on they wait
        begun = now = perf_counter()
        worked = process_time()
        late, busy = [], []
        beats = moved = 0
        while len(scheduler.queue) and now - begun < seconds:
            await asyncio.sleep(max(0.0, begun + (beats + 1) * BEAT_S - now))
            now = perf_counter()
            held, worked = process_time() - worked, process_time()
            while begun + beats * BEAT_S < now - BEAT_S:
                beats += 1
                late.append(now - (begun + beats * BEAT_S))
                busy.append(min(late[-1], held))
            while moved < (now - begun) * RATE and self._running:
                scheduler.withdraw(*self._running.popleft())
                tenant, demand = self._rng.choice(classes)
                scheduler.enqueue("more", moved, 0, demand, tenant)
                moved += 1
        return Lag(*_spread(late), *_spread(busy), self._placed / (now - begun))

    def _assign(self, placements: list[Placement]) -> None:
        self._placed += len(placements)
        self._running.extend(placement.waiting for placement in placements)


def _spread(lags: list[float]) -> tuple[float, float]:
    lags.sort()
    return lags[int(len(lags) * 0.99)] * 1_000, lags[-1] * 1_000
