"""A load for the whole engine: an engine in this process, its agent in another, runs submitted and awaited.

Only `submit` and the count of ended runs are the load's own work; all else is what the engine does for anybody. What
that work costs by itself is measured beside, against an engine that does nothing. After the clock has stopped everything that was stored is read again: a job that did not succeed, or was not stored, fails the
measurement.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from typing import Any

import msgspec
from msgspec import Struct

from relevo.assembly.embedded import Embedded, open_engine
from relevo.assembly.home import Home
from relevo.domain import commands as c
from relevo.domain import events as e
from relevo.orchestrator.orchestrator import Orchestrator
from relevo.orchestrator.plans import Plan, PlanCache, SharedContexts, digest_of
from relevo.runtime.loop import run as run_loop
from relevo.workflow.reader import read

#: Runs that are under way at saturation.
OUTSTANDING = 1_000
#: Not on a memory disk: what is fsynced must cost what it costs.
FOLDER = os.environ.get("RELEVO_BENCH_DIR") or os.path.join(os.path.dirname(__file__), "results")


class Load(Struct, frozen=True):
    """What is asked of an engine."""

    runs: int
    workflow: str = "on: push\njobs:\n  noop:\n    runs-on: ubuntu-latest\n    steps:\n      - run: ''\n"
    provider: str = "dummy"
    slots: int = OUTSTANDING
    window: int = OUTSTANDING
    rate: float | None = None  #: runs submitted a second (open loop); None: always `outstanding` under way
    outstanding: int = OUTSTANDING
    warm: int = 500  #: runs before the clock starts


class Measured(Struct):
    """What came of it."""

    seconds: float
    engine_cpu_us: float  #: for each run, the load's own work included
    agent_cpu_us: float  #: for each run, with all children that ended
    steps: int  #: ended, all together
    started_ms: list[float]  #: sorted; from when a run was due to when its first step started; open loop only
    ended_ms: list[float]  #: sorted; to when its end was stored and known; open loop only
    runs_per_s: float = 0.0
    generator_cpu_us: float = 0.0  #: the load's own work for each run, which is part of the engine's

    @property
    def cpu_us(self) -> float:
        return self.engine_cpu_us + self.agent_cpu_us


def measure(load: Load) -> Measured:
    """Put `load` on a fresh engine."""
    os.makedirs(FOLDER, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="load-") as folder:
        return run_loop(_measure(f"{folder}/home", load))


def at(ordered: list[float], share: float) -> float:
    """A percentile of sorted values."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class _Ended(Struct):
    """As much of a run's actor as the generator looks at."""

    id: str


class _Nobody:
    """An engine that does nothing: each run has ended as soon as it is submitted."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    @property
    def stored(self) -> _Nobody:
        """Where an orchestrator has its plans."""
        return self

    def submit(self, submit: c.Submit, plan: Plan, shared: bytes) -> None:
        self._loop.call_soon(self.run_ended, _Ended(submit.run))

    def run_ended(self, actor: Any) -> None:
        """The generator puts itself in this place."""


class _Generator:
    """Submits runs and counts those that ended."""

    def __init__(self, orchestrator: Orchestrator | _Nobody, plans: PlanCache, load: Load) -> None:
        self._orchestrator = orchestrator
        self._loop = asyncio.get_running_loop()
        self._load = load
        self._plan = plans.of(read(load.workflow.encode(), "load.yml"))
        self._declarations = self._plan.declarations()
        self._shared = msgspec.msgpack.encode(SharedContexts(github={"sha": "0" * 40, "event_name": "push"}))
        self._digest = digest_of(self._shared)
        self._told = self._orchestrator.run_ended
        self._orchestrator.run_ended = self._run_ended  # type: ignore[method-assign]
        self._submitted = self._ended = self._wanted = 0
        self._closed_loop = True
        self._all_ended: asyncio.Future[None] | None = None
        self.due: dict[str, float] = {}  #: loop time at which each run should have been submitted
        self.ended_ms: list[float] = []

    async def saturate(self, runs: int) -> None:
        """So many runs, as many under way as the load says."""
        self._closed_loop = True
        done = self._begin(runs)
        for _ in range(min(self._load.outstanding, runs)):
            self._submit()
        await done

    async def at_rate(self, runs: int, rate: float) -> None:
        """So many runs a second, whatever becomes of them."""
        self._closed_loop = False
        done = self._begin(runs)
        start = self._loop.time()
        for number in range(runs):
            due = start + number / rate
            wait_s = due - self._loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self.due[self._submit()] = due
        await done

    def _begin(self, runs: int) -> asyncio.Future[None]:
        self._wanted = self._submitted + runs
        self._all_ended = self._loop.create_future()
        return self._all_ended

    def _submit(self) -> str:
        run = f"r{self._submitted:012d}"
        self._submitted += 1
        self._orchestrator.submit(
            c.Submit(
                run,
                "load",
                "load",
                "push",
                self._plan.digest,
                self._digest,
                self._declarations,
                at_ms=time.time_ns() // 1_000_000,
            ),
            self._plan,
            self._shared,
        )
        return run

    def _run_ended(self, actor: Any) -> None:
        due = self.due.get(actor.id)
        if due is not None:
            self.ended_ms.append((self._loop.time() - due) * 1e3)
        self._told(actor)
        self._ended += 1
        if self._closed_loop and self._submitted < self._wanted:
            self._submit()
        if self._ended == self._wanted:
            assert self._all_ended is not None
            self._all_ended.set_result(None)


async def _measure(home: str, load: Load) -> Measured:
    embedded = await open_engine(Home(home), slots=load.slots, window=load.window, provider=load.provider)
    try:
        await embedded.ready()
        orchestrator = embedded.engine.orchestrator
        generator = _Generator(orchestrator, orchestrator.stored.plans, load)
        if load.warm:
            await generator.saturate(load.warm)
        agent = embedded.agent_pid
        assert agent is not None
        cpu = time.process_time(), cpu_s(agent)
        start = time.perf_counter()
        if load.rate is None:
            await generator.saturate(load.runs)
        else:
            await generator.at_rate(load.runs, load.rate)
        seconds = time.perf_counter() - start
        engine_cpu, agent_cpu = time.process_time() - cpu[0], cpu_s(agent) - cpu[1]
        started_ms, steps = await _check(embedded, load, generator.due)
    finally:
        await embedded.close()
    return Measured(
        seconds,
        engine_cpu / load.runs * 1e6,
        agent_cpu / load.runs * 1e6,
        steps,
        started_ms,
        sorted(generator.ended_ms),
        load.runs / seconds,
        await _own_cpu_us(load),
    )


async def _own_cpu_us(load: Load) -> float:
    """CPU of the load itself for each run."""
    generator = _Generator(_Nobody(), PlanCache(), load)
    cpu = time.process_time()
    if load.rate is None:
        await generator.saturate(load.runs)
    else:
        await generator.at_rate(load.runs, load.rate)
    return (time.process_time() - cpu) / load.runs * 1e6


async def _check(embedded: Embedded, load: Load, due: dict[str, float]) -> tuple[list[float], int]:
    """Read all that was stored. Raises AssertionError when a run is missing, or did not succeed."""
    wall_of_loop = time.time() - asyncio.get_running_loop().time()
    started: list[float] = []
    succeeded: set[str] = set()
    steps = 0
    async for batch in embedded.engine.parts.store.scan():
        for stored in batch:
            for event in e.decode(stored.events):
                if isinstance(event, e.StepStarted) and event.step == 0 and stored.stream in due:
                    # whole milliseconds, rounded down: count the whole of the last one
                    started.append(event.at_ms + 1 - (due[stored.stream] + wall_of_loop) * 1e3)
                elif isinstance(event, e.StepEnded):
                    assert event.outcome == "success", event
                    steps += 1
                elif isinstance(event, e.RunEnded):
                    assert event.status == "succeeded", event
                    assert stored.stream not in succeeded, f"{stored.stream} ended twice"
                    succeeded.add(stored.stream)
    assert len(succeeded) == load.runs + load.warm, f"{len(succeeded)} of {load.runs + load.warm} runs"
    return sorted(started), steps


def cpu_s(pid: int) -> float:
    """CPU seconds of a process, and of its children that ended."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields: list[Any] = file.read().rsplit(b")", 1)[1].split()
    children = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime((~pid << 3) | 2) + children  # CPUCLOCK_SCHED: in ns, where stat counts ticks
