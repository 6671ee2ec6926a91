"""The agent of this machine: started by the engine, adopted by the next one, started again when it dies.

Who it is stands in its folder, written by itself, until it has left. An agent that is alive, does not dial and shows no sign of life (stopped, hung) is
killed, by identity, and replaced: its successor takes over its spool.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from relevo.runtime.patience import Patience
from relevo.runtime.processes import RECORD, ProcessIdentity, alive, identity, kill
from relevo.workers.spawn import spawn

#: How long an agent may neither dial the engine nor show a sign of life.
DIAL_S: Final = 10.0
CHECK_S: Final = 1.0
RESTART_S: Final = 0.2
RESTART_MAX_S: Final = 10.0

_decoder = msgspec.json.Decoder(ProcessIdentity)


class LocalAgent(Struct, frozen=True):
    """How to start it."""

    argv: Sequence[str]
    folder: str
    env: dict[str, str]


class LocalAgentKeeper:
    """Keeps one agent process alive for as long as the engine lives. `connected` tells whether it has dialled."""

    def __init__(
        self,
        agent: LocalAgent,
        loop: asyncio.AbstractEventLoop,
        connected: Callable[[], bool],
    ) -> None:
        self._agent = agent
        self._loop = loop
        self._connected = connected
        self._who: ProcessIdentity | None = None
        self._pidfd = -1
        self._child = False
        self._timer: asyncio.TimerHandle | None = None
        self._wait_s = RESTART_S
        self._closed = False
        self._patience = self._fresh_patience()

    @property
    def who(self) -> ProcessIdentity | None:
        """The agent's process."""
        return self._who

    def open(self, started: int | None = None) -> None:
        """Find the agent that an earlier engine left, or start one; `started`: the pid of one that was started ahead."""
        os.makedirs(self._agent.folder, mode=0o700, exist_ok=True)
        if started is not None:
            try:
                self._watch(identity(started), child=True)
            except ProcessLookupError:
                pass  # it has ended, and was waited for
            else:
                return
        self._find_or_start()

    def _find_or_start(self) -> None:
        # An agent writes down itself who owns its folder: an engine may die between starting one and telling anybody, and
        # the next one's agent then finds the folder occupied.
        self._timer = None
        found = self._recorded()
        if found is not None and alive(found):
            self._watch(found, child=False)
            return
        try:
            self._start()
        except OSError as error:
            # No room for its log, no process to be had: it may pass.
            self._loop.call_exception_handler({"message": "the agent cannot be started", "exception": error})
            self._again()

    def _recorded(self) -> ProcessIdentity | None:
        try:
            with open(f"{self._agent.folder}/{RECORD}", "rb") as file:
                return _decoder.decode(file.read())
        except (OSError, msgspec.DecodeError):
            return None

    def _start(self) -> None:
        agent = self._agent
        self._watch(identity(spawn(agent.argv, agent.folder, agent.env)), child=True)

    def _watch(self, who: ProcessIdentity, *, child: bool) -> None:
        self._who = who
        self._child = child
        self._patience = self._fresh_patience()
        try:
            self._pidfd = os.pidfd_open(who.pid)
        except ProcessLookupError:
            self._loop.call_soon(self._died)
            return
        self._loop.add_reader(self._pidfd, self._died)
        self._timer = self._loop.call_later(CHECK_S, self._check)

    def _check(self) -> None:
        """It had time enough to dial: whoever did not is stuck."""
        if self._closed or self._who is None:
            return
        if self._connected():
            self._patience = self._fresh_patience()
            self._wait_s = RESTART_S
        elif self._patience.over(self._who, self._loop.time()):
            kill(self._who)
        self._timer = self._loop.call_later(CHECK_S, self._check)

    def _fresh_patience(self) -> Patience:
        return Patience(DIAL_S, self._loop.time(), every_s=CHECK_S)

    def _died(self) -> None:
        self._unwatch()
        if not self._closed:
            self._again()

    def _again(self) -> None:
        self._timer = self._loop.call_later(self._wait_s, self._find_or_start)
        self._wait_s = min(self._wait_s * 2, RESTART_MAX_S)

    def _unwatch(self) -> None:
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._child and self._who is not None:
            try:
                os.waitpid(self._who.pid, os.WNOHANG)
            except ChildProcessError:
                pass  # somebody else has waited for it
        self._who = None

    async def gone(self, timeout_s: float) -> bool:
        """Wait until the agent has exited (it was told to stop); False when it takes longer.

        One that died, before this or while it left, is followed by another one, which leaves at once: only an agent clears
        away what another left.
        """
        self._closed = True
        try:
            async with asyncio.timeout(timeout_s):
                await self._gone()
        except TimeoutError:
            return False
        return True

    async def _gone(self) -> None:
        if self._who is None and self._timer is not None:
            self._timer.cancel()
            self._find_or_start()
        leaving = self._who
        await self._ended(told=self._connected())
        if leaving is not None and self._recorded() == leaving:
            self._unwatch()
            self._find_or_start()
            await self._ended(told=False)

    async def _ended(self, *, told: bool) -> None:
        """Wait for the end of the agent, if there is one; `told`: it knows that it is to leave."""
        if self._pidfd < 0 or self._who is None:
            return
        if not told:
            kill(self._who, signal.SIGTERM)
        ended: asyncio.Future[None] = self._loop.create_future()
        self._loop.remove_reader(self._pidfd)
        self._loop.add_reader(self._pidfd, _settle, ended)
        await ended

    def close(self) -> None:
        """Leave the agent alone. Idempotent."""
        self._closed = True
        self._unwatch()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
