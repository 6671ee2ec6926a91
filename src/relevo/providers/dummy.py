"""Workers without processes: they obey the text of the step's script. For tests, simulation and benchmarks.

One instruction a line; an empty script exits 0 at once. Blank lines and `#` lines are skipped.

| line | effect |
|---|---|
| `print TEXT` | output: the text and a newline |
| `print-bytes N` | output: N bytes, the alphabet over and over |
| `sleep S` | seconds of the loop's time (virtual on a virtual loop) |
| `exit N`, `signal N` | end so |
| `hang` | until it is ended |
| `ignore-term` | from here on only SIGKILL ends it |
| `lose-worker [N]` | the worker goes away under it; with N: only in the first N attempts of the job |
| `fail-create [N]` | there is no worker for it (start raises WorkerUnavailable) |
| `not-found` | its program is not there (start raises FileNotFoundError) |

Anything else is printed back as not known, and exits 127 as a shell does.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Final

from relevo.domain.ids import AttemptKey
from relevo.providers.contract import Command, Exit, Sink, WorkerSpec, WorkerUnavailable

_SUCCESS: Final = Exit(0)
_NOT_KNOWN: Final = 127
_CHUNK: Final = 65_536
_ALPHABET: Final = b"abcdefghijklmnopqrstuvwxyz"


class DummyProcess:
    """A script that is being obeyed."""

    __slots__ = (
        "_exit",
        "_ignoring",
        "_lines",
        "_loop",
        "_paused",
        "_sink",
        "_timer",
        "_unsaid",
        "_worker",
        "over",
    )

    def __init__(
        self, worker: DummyWorker, lines: list[str], sink: Sink, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.over = False
        self._worker = worker
        self._lines = lines[::-1]
        self._sink = sink
        self._loop = loop
        self._exit: Exit | None = None
        self._ignoring = False
        self._paused = False
        self._unsaid = 0  #: bytes that `print-bytes` still owes
        self._timer: asyncio.Handle | None = loop.call_soon(self._go_on)

    @property
    def exited(self) -> bool:
        """It has ended; its sink may still be paused."""
        return self._exit is not None

    def signal(self, number: int) -> None:
        if self._exit is None and (number == signal.SIGKILL or not self._ignoring):
            self._end(Exit(None, signal=number))

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            if self._exit is not None:
                self._tell()
            elif self._timer is None:
                self._timer = self._loop.call_soon(self._go_on)

    def kill(self) -> None:
        """End it now, and tell so although it is paused."""
        self._paused = False
        if self._exit is None:
            self._end(Exit(None, signal=signal.SIGKILL))
        else:
            self._tell()

    def _go_on(self) -> None:
        self._timer = None
        while self._exit is None and not self._paused:
            if self._unsaid:
                self._say_bytes()
            elif not self._lines:
                self._end(_SUCCESS)
            else:
                line = self._lines.pop().strip()
                try:
                    if not self._obey(line):
                        return
                except ValueError:
                    self._complain(line)

    def _obey(self, line: str) -> bool:
        """Whether to go on with the next line at once."""
        word, _, rest = line.partition(" ")
        if word == "print":
            self._sink.output(rest.encode("utf-8", "surrogateescape") + b"\n")
        elif word == "print-bytes":
            self._unsaid = int(rest)
        elif word == "sleep":
            self._timer = self._loop.call_later(float(rest), self._go_on)
            return False
        elif word == "hang":
            self._lines.append(line)  # so that a resume hangs again
            return False
        elif word == "exit":
            self._end(Exit(int(rest)))
        elif word == "signal":
            self._end(Exit(None, signal=int(rest)))
        elif word == "ignore-term":
            self._ignoring = True
        elif word == "lose-worker":
            if self._worker.concerned(rest):
                self._worker.lost = True
                self._end(Exit(None, lost=True))
        elif word and not word.startswith("#"):
            self._complain(line)
        return True

    def _complain(self, line: str) -> None:
        self._sink.output(f"dummy: {line}: not known\n".encode("utf-8", "surrogateescape"))
        self._end(Exit(_NOT_KNOWN))

    def _say_bytes(self) -> None:
        size = min(self._unsaid, _CHUNK)
        self._unsaid -= size
        self._sink.output((_ALPHABET * (size // len(_ALPHABET) + 1))[:size])

    def _end(self, exit: Exit) -> None:
        self._exit = exit
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._tell()

    def _tell(self) -> None:
        if not self.over and not self._paused and self._exit is not None:
            self.over = True
            self._sink.ended(self._exit)


class DummyWorker:
    """A place in which scripts are obeyed."""

    __slots__ = ("_attempt", "_gone", "_process", "_provider", "lost")
    warnings = ()

    def __init__(self, provider: DummyProvider, attempt: AttemptKey) -> None:
        self.lost = False
        self._provider = provider
        self._attempt = attempt
        self._process: DummyProcess | None = None
        self._gone = False

    async def start(self, command: Command, sink: Sink) -> DummyProcess:
        if self._gone or self.lost:
            raise WorkerUnavailable(f"the worker of attempt {self._attempt} is gone")
        if self._process is not None and not self._process.over:
            raise RuntimeError(f"a process of attempt {self._attempt} is still running")
        script = command.argv[-1]
        if self._provider.remember:
            self._provider.ran.append((self._attempt, script))
        lines = script.splitlines() if script else []
        if lines:
            word, _, rest = lines[0].strip().partition(" ")
            if word == "fail-create" and self.concerned(rest):
                self.lost = True
                raise WorkerUnavailable(f"no worker for attempt {self._attempt}, as its script says")
            if word == "fail-create":
                del lines[0]
            elif word == "not-found":
                raise FileNotFoundError(2, "No such file or directory, as the script says", "not-found")
        self._process = DummyProcess(self, lines, sink, self._provider.loop)
        return self._process

    async def end(self, grace_s: float) -> None:
        process = self._process
        if process is None or process.over:
            return
        if grace_s > 0:
            for number in (signal.SIGINT, signal.SIGTERM):
                process.signal(number)
                if process.exited:
                    return
                await asyncio.sleep(grace_s / 2)
        process.kill()

    async def destroy(self) -> None:
        if not self._gone:
            self._gone = True
            self._provider.workers.discard(self)
            process, self._process = self._process, None  # which knows its worker: no cycle for the collector
            if process is not None and not process.over:
                process.kill()

    def concerned(self, first_attempts: str) -> bool:
        """Whether an instruction for the first N attempts of a job is one for this attempt."""
        return not first_attempts.strip() or self._attempt.number <= int(first_attempts)


class DummyProvider:
    """A WorkerProvider. Deterministic: what happens depends on the scripts and the loop's time alone."""

    #: scripts come as text in the last item of argv, so that no file has to be written for them
    inline_scripts: Final = True

    def __init__(self, loop: asyncio.AbstractEventLoop, *, remember: bool = True) -> None:
        """`remember`: keep what ran in `ran`."""
        self.loop = loop
        self.remember = remember
        self.ran: list[tuple[AttemptKey, str]] = []  #: attempt and script of every start, in order
        self.workers: set[DummyWorker] = set()  #: made and not destroyed

    @property
    def name(self) -> str:
        return "dummy"

    async def recover(self) -> list[AttemptKey]:
        return []

    async def create(self, spec: WorkerSpec) -> DummyWorker:
        worker = DummyWorker(self, spec.attempt)
        self.workers.add(worker)
        return worker

    def forget(self, attempt: AttemptKey) -> None:
        pass  # nothing outlives this process

    async def close(self) -> None:
        for worker in list(self.workers):
            await worker.destroy()
