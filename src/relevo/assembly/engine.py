"""One engine, wired from adapters that somebody else chose.

    store, logs, blobs, bus ──► Orchestrator (actors) ◄──► WorkerManager ◄──► agents' links

The same for the laptop, for the cluster and for the simulation. It owns no socket and no process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from relevo.actors import ActorSystem
from relevo.blobs.contract import BlobStore
from relevo.bus.contract import Bus
from relevo.core import measured
from relevo.logs.contract import LogStore
from relevo.orchestrator.orchestrator import Orchestrator
from relevo.runtime.clock import Clock
from relevo.runtime.entropy import Entropy
from relevo.runtime.loop import LagMeter
from relevo.scheduler.policy import Policy
from relevo.scheduler.reach import Reach
from relevo.store.contract import EventStore, Fenced
from relevo.telemetry import vitals
from relevo.workers.bulk import Bulk
from relevo.workers.manager import WorkerManager


class Parts(Struct, frozen=True):
    """The adapters of one engine."""

    store: EventStore
    logs: LogStore
    blobs: BlobStore
    bus: Bus
    clock: Clock
    entropy: Entropy


class Engine:
    """An engine. `fenced` is called, once, when somebody else has taken over."""

    def __init__(
        self,
        parts: Parts,
        loop: asyncio.AbstractEventLoop,
        *,
        fenced: Callable[[int], None],
        release: Callable[[], Awaitable[None]] | None = None,
        open_secrets: Callable[[str, bytes], bytes] = lambda run, sealed: sealed,
        reach: Reach | None = None,
        policy: Policy | None = None,
        system: ActorSystem | None = None,
    ) -> None:
        """`release` gives the lease back: when nothing is written any more, and while the store is open."""
        self.parts = parts
        self.loop = loop
        self._release = release
        self._fenced = fenced
        self._is_fenced = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self.system = system or ActorSystem(loop)
        self.orchestrator = Orchestrator(
            self.system,
            parts.store,
            parts.bus,
            parts.blobs,
            loop,
            parts.clock,
            fenced=self._was_fenced,
            open_secrets=open_secrets,
            reach=reach,
            policy=policy,
        )
        self.manager = WorkerManager(
            parts.store.epoch,
            self.orchestrator,
            parts.logs,
            Bulk(parts.blobs, self.orchestrator.resolve, self.spawn),
            loop,
            parts.clock,
            self.system.spawn_group("workers"),
        )
        self.manager.on_fenced = self._epoch_passed
        self.orchestrator.manager = self.manager
        self._lag = LagMeter(loop, measured.LOOP_LAG_SECONDS.record)

    def spawn(self, coroutine: Any) -> asyncio.Task[Any]:
        """A task that ends with the engine."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def open(self) -> None:
        """Take up what is stored; agents may connect from then on."""
        await self.orchestrator.load()
        self.manager.open()
        self._lag.start()
        self.spawn(self.orchestrator.shares.keep())

    def measure(self) -> None:
        """Bring the gauges up to date."""
        scheduler = self.orchestrator.scheduler
        measured.QUEUE_JOBS.set(len(scheduler.queue))
        measured.QUEUE_OLDEST_SECONDS.set(scheduler.oldest_s())
        measured.AGENTS_READY.set(len(scheduler.capacity.agents))
        measured.RUNS_LIVE.set(len(self.orchestrator.live))
        measured.LOOP_LAG_WORST_SECONDS.set(self._lag.take_worst())
        measured.BUS_FOLLOWERS.set(self.parts.bus.followers)
        vitals.read_actors(self.system)
        vitals.read_process()

    async def close(self) -> None:
        """Leave: runs and agents stay as they are. Idempotent."""
        self._lag.stop()
        self.manager.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.orchestrator.shares.write()
        await self.orchestrator.close()
        await self.system.shutdown()
        await self.parts.bus.close()
        await self.parts.logs.close()
        if self._release is not None:
            await self._release()
        await self.parts.store.close()

    def _was_fenced(self, error: Fenced) -> None:
        self._epoch_passed(error.current)

    def _epoch_passed(self, epoch: int) -> None:
        if not self._is_fenced:
            self._is_fenced = True
            self._fenced(epoch)
