"""A worker whose steps are local processes, and such a process with its pipe."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from collections.abc import Callable, Sequence
from typing import Final

from relevo.domain.ids import AttemptKey
from relevo.providers.contract import Command, Exit, Sink, WorkerSpec, WorkerUnavailable
from relevo.providers.process.slot import MARK, Slot
from relevo.runtime.failpoints import reach

#: bytes of a pipe at first, and once a step turned out to print much
PIPE_BYTES: Final = 16 * os.sysconf("SC_PAGE_SIZE")
LARGE_PIPE_BYTES: Final = 1_048_576


class StepProcess:
    """A started process. Its exit is told after what it left in the pipe: one read as large as the pipe takes all of it.

    The loop watches the pipe once `start` returns and somebody may still write: not for a step that ends at once.
    """

    def __init__(self, slot: Slot, pipe: int, sink: Sink, loop: asyncio.AbstractEventLoop) -> None:
        self._slot = slot
        self._pipe = pipe
        self._pipe_bytes = PIPE_BYTES
        self._sink: Sink | None = sink
        self._loop = loop
        self._paused = False
        self._watched = False
        self._returned = False  # to the caller of `start`
        self._exit: Exit | None = None
        self._told = False
        self.ending = False  #: somebody asked for its end: a launcher that goes is no loss

    @property
    def over(self) -> bool:
        """It has ended, and its sink was told."""
        return self._told

    @property
    def exited(self) -> bool:
        """It has ended; its sink may still be paused."""
        return self._exit is not None

    @property
    def open(self) -> bool:
        """Somebody may still write into its pipe."""
        return self._pipe >= 0

    def signal(self, number: int) -> None:
        if self._exit is None:
            self._slot.signal(number)

    def pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._unwatch()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self._watch()
            self._tell()

    def returned(self) -> None:
        """`start` is about to return: from the next turn of the loop on the exit may be told."""
        self._returned = True
        if self._exit is not None:
            self._loop.call_soon(self._tell)
        else:
            self._watch()

    def step_ended(self, status: int) -> None:
        limits = self._slot.limits
        starved = status != 0 and limits is not None and limits.ran_out_of_memory()
        if os.WIFSIGNALED(status):
            self._ended(Exit(None, signal=os.WTERMSIG(status), out_of_memory=starved))
        else:
            self._ended(Exit(os.WEXITSTATUS(status), out_of_memory=starved))

    def launcher_gone(self) -> None:
        if self._exit is not None:
            return
        limits = self._slot.limits
        starved = limits is not None and limits.ran_out_of_memory()
        lost = not self.ending and not starved
        self._ended(Exit(None, signal=signal.SIGKILL, out_of_memory=starved, lost=lost))

    def forget_sink(self) -> None:
        """What background children still print goes nowhere, but they may go on printing."""
        self._sink = None
        if self._paused:
            self._paused = False
            self._watch()

    def close(self) -> None:
        """Take what is left, tell the end, give the pipe back. The process is gone, or will be told of no more."""
        self._returned = True
        if not self._told:
            self._exit = self._exit or Exit(None, signal=signal.SIGKILL)
            self._tell(even_paused=True)
        elif self._pipe >= 0:
            self._readable()
        self._close_pipe()
        self._sink = None

    def discard(self) -> None:
        """It never started."""
        self._told = True
        self._sink = None
        self._close_pipe()

    def _ended(self, exit: Exit) -> None:
        if self._exit is None:
            self._exit = exit
            self._tell()

    def _tell(self, even_paused: bool = False) -> None:
        if self._told or self._exit is None or not self._returned or (self._paused and not even_paused):
            return
        if self._pipe >= 0:
            self._readable()
            if self._paused and not even_paused:
                return
            if self._pipe >= 0 and not self._watched:
                self._readable()  # closes it, unless a child that goes on in the background holds it
                self._watch()
        self._told = True
        if self._sink is not None:
            self._sink.ended(self._exit)

    def _watch(self) -> None:
        if self._pipe >= 0 and not self._watched and not self._paused:
            self._watched = True
            self._loop.add_reader(self._pipe, self._readable)

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._pipe)

    def _readable(self) -> None:
        try:
            data = os.read(self._pipe, self._pipe_bytes)
        except BlockingIOError:
            return
        if not data:
            self._close_pipe()
            return
        if self._sink is not None:
            self._sink.output(data)
        if len(data) == PIPE_BYTES == self._pipe_bytes and self._pipe >= 0:
            self._enlarge()

    def _enlarge(self) -> None:
        try:
            self._pipe_bytes = fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, LARGE_PIPE_BYTES)
        except OSError:
            pass  # the user's share of pipe memory is used up: it stays as it is

    def _close_pipe(self) -> None:
        if self._pipe >= 0:
            self._unwatch()
            os.close(self._pipe)
            self._pipe = -1


class ProcessWorker:
    """A slot as long as one attempt has it."""

    def __init__(
        self, slot: Slot, spec: WorkerSpec, give_back: Callable[[ProcessWorker, Slot, bool], None]
    ) -> None:
        """`give_back(worker, slot, clean)` is called once, at the end."""
        self._slot: Slot | None = slot
        self._spec = spec
        self._give_back = give_back
        self._condemned = False  #: its end was begun
        self._process: StepProcess | None = None
        self._earlier: list[StepProcess] = []  #: ended, with background children that may still print

    @property
    def attempt(self) -> AttemptKey:
        """Who has it."""
        return self._spec.attempt

    @property
    def slot_path(self) -> str:
        """The file of its slot, "" once that was given back."""
        return self._slot.path if self._slot is not None else ""

    @property
    def warnings(self) -> Sequence[str]:
        """See Worker."""
        limits = self._slot.limits if self._slot is not None else None
        return limits.lacking if limits is not None else ()

    async def start(self, command: Command, sink: Sink) -> StepProcess:
        slot = self._slot
        if slot is None or slot.launcher is None or self._condemned:
            raise WorkerUnavailable(f"the worker of attempt {self._spec.attempt} was given back")
        if self._process is not None:
            if not self._process.over:
                raise RuntimeError(f"a process of attempt {self._spec.attempt} is still running")
            self._put_aside(self._process)
            self._process = None
        loop = asyncio.get_running_loop()
        try:
            pipe, theirs = os.pipe2(os.O_CLOEXEC)
        except OSError as error:
            raise WorkerUnavailable(f"no pipe for a step: {error}") from error
        try:
            os.set_blocking(pipe, False)
            process = StepProcess(slot, pipe, sink, loop)
            self._process = slot.launcher.listener = process
            env = {**command.env, MARK: str(self._spec.attempt)}
            try:
                await slot.launcher.start(command.argv, env, command.cwd, theirs)
            except (WorkerUnavailable, FileNotFoundError, PermissionError):
                self._process = None
                process.discard()
                raise
            except asyncio.CancelledError:
                process.returned()  # it may run all the same; `end` or `destroy` follows
                raise
        finally:
            os.close(theirs)
        reach("provider.after-exec")
        process.returned()
        return process

    async def end(self, grace_s: float) -> None:
        slot = self._slot
        if slot is None or self._condemned:
            return
        if self._process is not None:
            self._process.ending = True
        for number in (signal.SIGINT, signal.SIGTERM):
            if self._quiet(slot):
                return
            if grace_s > 0 and slot.launcher is not None and not slot.launcher.gone:
                slot.signal(number)
                if await self._quiet_within(slot, grace_s / 2):
                    return
        await slot.renew()
        if self._process is not None:
            self._process.close()

    async def destroy(self) -> None:
        slot = self._slot
        if slot is None:
            return
        if self._process is not None:
            self._process.ending = True
        clean = not self._condemned and self._quiet(slot)
        if not clean:
            self._condemned = True
            await slot.raze()
        self._given_back(slot, clean)

    def abandon(self) -> None:
        """Nobody has it, and nobody will destroy it: end it, now or in a later `look_after`."""
        self._condemned = True
        self.look_after()

    def look_after(self) -> None:
        """Called now and then: go on ending what a `destroy` could not, wake a launcher that was stopped."""
        slot = self._slot
        if slot is None:
            return
        if not self._condemned:
            slot.wake()
        elif slot.raze_once():
            self._given_back(slot, False)

    def _given_back(self, slot: Slot, clean: bool) -> None:
        if self._slot is None:
            return
        self._slot = None
        self._close_pipes()
        slot.leave()
        self._give_back(self, slot, clean)

    def _quiet(self, slot: Slot) -> bool:
        return (self._process is None or self._process.exited) and slot.clean()

    async def _quiet_within(self, slot: Slot, limit_s: float) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit_s
        pause = 0.001
        while loop.time() < deadline:
            await asyncio.sleep(min(pause, max(0.0, deadline - loop.time())))
            if self._quiet(slot):
                return True
            pause = min(pause * 2, 0.05)
        return False

    def _put_aside(self, process: StepProcess) -> None:
        process.forget_sink()
        self._earlier = [one for one in (*self._earlier, process) if one.open]

    def _close_pipes(self) -> None:
        for process in (*self._earlier, self._process):
            if process is not None:
                process.close()
        self._earlier = []
        self._process = None
