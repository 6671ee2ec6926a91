"""What really runs: workers that outlive the agent that made them, as processes do, and the record of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from msgspec import Struct

from relevo.domain.events import AttemptEnded
from relevo.domain.ids import AttemptKey
from relevo.protocol import messages as m
from relevo.providers.contract import Command, Exit, Sink, WorkerSpec, WorkerUnavailable
from relevo.providers.dummy import DummyProcess, DummyProvider, DummyWorker
from relevo.testing.sim_disk import Killed
from relevo.testing.sim_host import SimHost
from tests.simulation.plans import MARK

_MARK: Final = re.compile(rf"{MARK} (\d+)( once)?")
_NEEDS: Final = re.compile(r"^needs (\w+) (.*)$", re.MULTILINE)
_FAIL_FIRST: Final = re.compile(r"^fail-first (\d+) (\d+)$", re.MULTILINE)


class Start(Struct):
    """A process that was started."""

    key: AttemptKey
    step: int
    once: bool
    by: str  #: the agent's incarnation
    exit: Exit | None = None


class Truth:
    """The record. `complain` is called with what must never be; `note` with what the trace shows."""

    def __init__(self, complain: Callable[[str, str], None], note: Callable[..., None]) -> None:
        self.complain = complain
        self.note = note
        self.starts: dict[AttemptKey, list[Start]] = {}
        self.running: dict[AttemptKey, Start] = {}
        #: what each incarnation of an agent was handed: one that lost its memory with the power may begin an attempt anew
        self.printed: dict[tuple[AttemptKey, str], list[bytes]] = {}
        #: end records of attempts that were not lost, by who spooled them
        self.reported: dict[AttemptKey, dict[str, m.AttemptFinished]] = {}
        self.started: Callable[[Start], None] = lambda start: None
        self.needs: Callable[[AttemptKey, str, str], None] = lambda key, node, word: None

    def begin(self, key: AttemptKey, step: int, once: bool, by: str) -> Start:
        """A process of an attempt is about to run."""
        for other in self.running:
            if other.run == key.run and other.job == key.job:
                self.complain("one live attempt", f"{key} starts step {step} while {other} runs")
        start = Start(key, step, once, by)
        self.note("start", str(key), step)
        self.started(start)
        self.starts.setdefault(key, []).append(start)
        self.running[key] = start
        return start

    def end(self, start: Start, exit: Exit) -> None:
        """It has ended."""
        if start.exit is None:
            start.exit = exit
            self.running.pop(start.key, None)
            self.note("exit", str(start.key), start.step, exit.code, exit.signal, exit.lost)

    def logs(self, key: AttemptKey, end: AttemptEnded) -> Iterator[list[bytes]]:
        """What was printed in an attempt to whoever reported this end of it. Normally one, none if nobody did."""
        for by, record in self.reported.get(key, {}).items():
            said = (record.result, record.log_size, record.log_digest)
            if said == (end.result, end.log_size, end.log_digest):
                yield self.printed.get((key, by), [])


class _Pipe:
    """Between a process of the machine and the agent that reads it: what is said is heard a turn later, if anyone lives."""

    def __init__(self, truth: Truth, start: Start, sink: Sink, agent: SimHost) -> None:
        self._truth = truth
        self._start = start
        self._sink = sink
        self._agent = agent

    def output(self, data: bytes) -> None:
        """See Sink."""
        self._agent.call_soon(self._hear, data)

    def _hear(self, data: bytes) -> None:
        self._truth.printed.setdefault((self._start.key, self._start.by), []).append(data)
        self._sink.output(data)

    def ended(self, exit: Exit) -> None:
        """See Sink."""
        self._truth.end(self._start, exit)
        self._agent.call_soon(self._sink.ended, exit)


class SimWorker(DummyWorker):
    """A worker that the machine knows by its attempt."""

    def __init__(self, provider: SimProvider, attempt: AttemptKey) -> None:
        super().__init__(provider, attempt)
        self.key = attempt
        self.maker = provider
        self.reluctant = provider.reluctant()

    async def start(self, command: Command, sink: Sink) -> DummyProcess:
        """See Worker."""
        maker = self.maker
        maker.check()
        text = command.argv[-1]
        marked = _MARK.search(text)
        assert marked is not None
        needs = _NEEDS.search(text)
        if needs is not None:
            maker.truth.needs(self.key, needs[1], needs[2])
            text = _NEEDS.sub(r"print @@ needs \1 \2", text)
        fails = _FAIL_FIRST.search(text)
        if fails is not None:
            ending = f"exit {fails[2]}" if self.key.number <= int(fails[1]) else ""
            text = _FAIL_FIRST.sub(ending, text)
        text = text.replace("@@", str(self.key))
        if text.startswith(("fail-create", "not-found")):
            word, _, count = text.partition("\n")[0].partition(" ")
            if word == "not-found" or self.concerned(count):
                return await super().start(Command([text], {}, ""), sink)
        start = maker.truth.begin(self.key, int(marked[1]), bool(marked[2]), maker.by)
        pipe = _Pipe(maker.truth, start, sink, maker.host)
        return await super().start(Command([text], {}, ""), pipe)

    async def destroy(self) -> None:
        """See Worker."""
        self.maker.check()
        if self.reluctant:
            self.reluctant -= 1
            raise WorkerUnavailable("it does not go yet")
        await super().destroy()
        self.maker.machine.workers.pop(self.key, None)
        await asyncio.sleep(0)  # an agent may die before it has told
        self.maker.check()


class Machine:
    """What outlives an agent: its workers and their processes."""

    def __init__(self, host: SimHost) -> None:
        self.host = host
        self.workers: dict[AttemptKey, SimWorker] = {}
        self.named: set[AttemptKey] = set()  #: had a worker, and whoever made it has not forgotten them

    def end(self, key: AttemptKey) -> None:
        """Kill what is left of an attempt."""
        worker = self.workers.pop(key, None)
        if worker is not None and worker._process is not None and not worker._process.over:
            worker._process.kill()


class SimProvider(DummyProvider):
    """The provider of one incarnation of an agent. A dead agent's calls do nothing any more."""

    def __init__(
        self, machine: Machine, host: SimHost, by: str, truth: Truth, reluctant: Callable[[], int]
    ) -> None:
        super().__init__(machine.host, remember=False)
        self.machine = machine
        self.host = host
        self.by = by
        self.truth = truth
        self.reluctant = reluctant
        self.creations_to_fail = 0

    def check(self) -> None:
        """Raise where a dead agent's code is still being unwound."""
        if self.host.dead:
            raise Killed(self.host.name)

    async def recover(self) -> list[AttemptKey]:
        """See WorkerProvider."""
        self.check()
        left = sorted(self.machine.named)
        for key in left:
            self.machine.end(key)
        await asyncio.sleep(0)  # an agent may die before it has told
        self.check()
        return left

    def forget(self, attempt: AttemptKey) -> None:
        """See WorkerProvider."""
        if not self.host.dead:
            self.machine.named.discard(attempt)

    async def create(self, spec: WorkerSpec) -> SimWorker:
        """See WorkerProvider."""
        self.check()
        if self.creations_to_fail:
            self.creations_to_fail -= 1
            raise WorkerUnavailable("no worker is to be had just now")
        worker = SimWorker(self, spec.attempt)
        self.workers.add(worker)
        self.machine.workers[spec.attempt] = worker
        self.machine.named.add(spec.attempt)
        return worker

    async def close(self) -> None:
        """See WorkerProvider."""
        if not self.host.dead:
            await super().close()


def kill_all(machine: Machine) -> None:
    """The machine lost its power: no process of it runs any more."""
    for worker in machine.workers.values():
        process: Any = worker._process
        if process is not None and not process.over:
            process.kill()
