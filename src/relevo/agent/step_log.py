"""Where a step's output goes: through the scanner for commands and the masks to the reporter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from relevo.agent.log_commands import LogCommand
from relevo.agent.masks import Masks
from relevo.agent.output import OutputScanner
from relevo.agent.reporter import Reporter
from relevo.providers.contract import Exit, Process


class StepLog:
    """The log of one step. What its background children write after its end still goes there, and is not read for commands."""

    __slots__ = ("_closed", "_command", "_masks", "_reporter", "_scanner", "_step", "full", "running")

    def __init__(
        self,
        step: int,
        reporter: Reporter,
        masks: Masks,
        command: Callable[[OutputScanner, LogCommand], None],
    ) -> None:
        self.full = False  #: the reporter has no room
        self.running: Running | None = None  #: whose process is paused then
        self._step = step
        self._reporter = reporter
        self._masks = masks
        self._command = command
        self._scanner: OutputScanner | None = None
        self._closed = False

    def within(self, command: Callable[[OutputScanner, LogCommand], None]) -> StepLog:
        """The log of a step that is part of this one: the same, with commands of its own."""
        return StepLog(self._step, self._reporter, self._masks, command)

    def scan(self, data: bytes) -> None:
        """Bytes for the log that are read for commands."""
        if self._closed:
            self.write(data)
            return
        if self._scanner is None:
            self._scanner = OutputScanner(self._heed, self.write)
        self._scanner.feed(data)

    def write(self, data: bytes) -> None:
        """Bytes for the log as they are."""
        masked = self._masks.feed(data)
        if masked and not self._reporter.log(self._step, masked) and not self.full:
            self.full = True
            if self.running is not None:
                self.running.pause()

    async def room(self) -> None:
        """Returns when there is room again."""
        await self._reporter.room()
        self.full = False

    def close(self) -> None:
        """The step has ended: hold nothing back."""
        if self._scanner is not None:
            self._scanner.flush()
            self._scanner = None  # it knows this log: no cycle for the collector
        self._closed = True
        rest = self._masks.flush()
        if rest:
            self._reporter.log(self._step, rest)

    def _heed(self, command: LogCommand) -> None:
        assert self._scanner is not None
        self._command(self._scanner, command)


class Running:
    """A provider's Sink: a process that is starting or runs, seen by the one who waits for it."""

    __slots__ = ("_loop", "_waiter", "exit", "output", "process")

    def __init__(self, loop: asyncio.AbstractEventLoop, output: Callable[[bytes], None]) -> None:
        self.output = output
        self.exit: Exit | None = None
        self.process: Process | None = None
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None

    def ended(self, exit: Exit) -> None:
        self.exit = exit
        self.wake()

    def pause(self) -> None:
        """Hold its output back, and have whoever waits see to it."""
        if self.process is not None:
            self.process.pause()
        self.wake()

    def wake(self) -> None:
        """Have whoever waits look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def woken(self) -> None:
        """Returns at the next `wake`: the process has ended, is paused, or shall be killed."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
