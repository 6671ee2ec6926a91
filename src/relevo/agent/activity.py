"""What an attempt does at this moment, a process or something awaited, and how that is brought to an end.

interrupt() ─► process: SIGINT ── 7.5 s ─► SIGTERM ── 2.5 s ─► all processes of the worker are killed
           └─► awaited: its task is cancelled ─────── 10 s ─► and again
kill()      ─► the last of these at once
force()     ─► and whatever begins later is ended before it starts
leave(s)    ─► as interrupt, within s seconds; nothing begins after it
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from relevo.agent.step_log import Running, StepLog
from relevo.providers.contract import Command, Exit, Worker, WorkerUnavailable

T = TypeVar("T")

TERM_AFTER_S: Final = 7.5
KILL_AFTER_S: Final = 10.0
#: How long an exit may take to be told after everything was killed.
TOLD_WITHIN_S: Final = 30.0


class Interrupted(Exception):
    """What was awaited was given up because of `interrupt` or `kill`."""


class Activity:
    """One for each attempt; `begin` before each step. All on the loop, from one task."""

    __slots__ = (
        "_cancels",
        "_loop",
        "_running",
        "_task",
        "_term_after_s",
        "_timers",
        "forced",
        "interrupted",
        "killed",
        "last",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.interrupted = False
        self.killed = False
        self.forced = False  #: nothing may run any more
        self.last = False  #: nothing may begin any more
        self._term_after_s = TERM_AFTER_S
        self._loop = loop
        self._running: Running | None = None  # of the process that is starting or runs
        self._task: asyncio.Task[Any] | None = None  # that awaits something
        self._cancels = 0  # asked of it by us
        self._timers: list[asyncio.TimerHandle] = []

    def begin(self) -> None:
        """Something begins that nobody interrupted yet."""
        self.interrupted = self.killed = self.forced

    def end(self) -> None:
        """It has ended."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def interrupt(self, within_s: float = KILL_AFTER_S) -> None:
        """End what goes on, giving it time to clean up. Idempotent."""
        if self.interrupted:
            return
        self.interrupted = True
        self._term_after_s = within_s * TERM_AFTER_S / KILL_AFTER_S
        self._timers.append(self._loop.call_later(within_s, self.kill))
        if self._running is None:
            self._cancel_task()
        elif self._running.process is not None:
            self._signal_in_turn()

    def kill(self) -> None:
        """End what goes on now. Idempotent."""
        self.interrupted = self.killed = True
        self._cancel_task()
        if self._running is not None:
            self._running.wake()

    def force(self) -> None:
        """End what goes on now, and let nothing else begin. Idempotent."""
        self.forced = self.last = True
        self.kill()

    def leave(self, within_s: float) -> None:
        """End what goes on within so long, and let nothing else begin. Idempotent."""
        self.last = True
        self.interrupt(within_s)

    async def awaiting(self, work: Coroutine[Any, Any, T], *, even_interrupted: bool = False) -> T:
        """What `work` returns. Raises Interrupted when it was ended before; `even_interrupted`: by `kill` only."""
        if self.killed or (self.interrupted and not even_interrupted):
            work.close()
            raise Interrupted
        self._task = asyncio.current_task()
        try:
            return await work
        except asyncio.CancelledError:
            if not self._cancels:
                raise
            raise Interrupted from None
        finally:
            # the task's own cancellation, by whoever runs it, stays what it is
            while self._cancels and self._task is not None:
                self._cancels -= 1
                self._task.uncancel()
            self._task = None

    async def process(
        self, worker: Worker, command: Command, log: StepLog, output: Callable[[bytes], None]
    ) -> Exit:
        """Run a process to its end; when it was interrupted, nothing that it started is left.

        Raises what `Worker.start` does, and WorkerUnavailable when the worker went away.
        """
        running = self._running = log.running = Running(self._loop, output)
        try:
            process = running.process = await worker.start(command, running)
            if self.interrupted:
                self._signal_in_turn()
            if log.full:
                process.pause()
            while running.exit is None:
                if self.killed:
                    await self._killed(worker, running)
                elif log.full:
                    await self._room(log)
                    process.resume()
                else:
                    await running.woken()
        finally:
            self._running = log.running = None
            running.process = None  # which knows it as its sink: no cycle for the collector
        if self.interrupted:
            await worker.end(0.0)
        if running.exit.lost:
            raise WorkerUnavailable("the worker went away under its step")
        return running.exit

    async def _room(self, log: StepLog) -> None:
        # `interrupt` has signalled the process and leaves this wait alone; `kill` ends it
        try:
            await self.awaiting(log.room(), even_interrupted=True)
        except Interrupted:
            pass

    async def _killed(self, worker: Worker, running: Running) -> None:
        await worker.end(0.0)
        if running.exit is None:
            timer = self._loop.call_later(TOLD_WITHIN_S, running.wake)
            await running.woken()
            timer.cancel()
        if running.exit is None:
            raise WorkerUnavailable("a process could not be ended")

    def _signal_in_turn(self) -> None:
        self._signal(signal.SIGINT)
        self._timers.append(self._loop.call_later(self._term_after_s, self._signal, signal.SIGTERM))

    def _signal(self, number: int) -> None:
        if self._running is not None and self._running.process is not None:
            self._running.process.signal(number)

    def _cancel_task(self) -> None:
        if self._task is not None:
            self._cancels += 1
            self._task.cancel()
