"""What one attempt costs inside the agent, and how fast a step's output passes through it.

    PYTHONPATH=src python benchmarks/bench_attempt.py [--quick]

Each figure stands beside its baseline, measured in turn (A B A B): the same worker used bare, a plain copy of the same bytes. CPU time
of this process; nothing but the provider is a dummy.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from relevo.agent.attempt import AttemptRun
from relevo.agent.masks import Masks
from relevo.agent.step_log import StepLog
from relevo.agent.workspace import Places
from relevo.domain.ids import AttemptKey
from relevo.protocol.messages import Assignment, JobFacts
from relevo.providers.contract import Command, Exit, WorkerSpec
from relevo.providers.dummy import DummyProvider
from relevo.runtime.clock import SystemClock
from relevo.workflow.contexts import JobContexts
from relevo.workflow.model import JobSpec, Position, StepSpec

SLOTS = 32
CHUNK = 262_144
GITHUB = {
    name: f"some {name}"
    for name in [
        "actor",
        "api_url",
        "event_name",
        "graphql_url",
        "ref",
        "ref_name",
        "ref_protected",
        "ref_type",
        "repository",
        "repository_owner",
        "run_attempt",
        "run_id",
        "run_number",
        "server_url",
        "sha",
        "triggering_actor",
        "workflow",
        "workflow_ref",
        "workflow_sha",
    ]
}


class Silent:
    """A Reporter that takes everything."""

    def __init__(self) -> None:
        self.succeeded = 0
        self.bytes = 0

    def started(self) -> None: ...

    def step_started(self, step: int, name: str) -> None: ...

    def step_finished(self, step: int, name: str, **fields: Any) -> None: ...

    def annotation(self, step: int, level: str, message: str, **fields: Any) -> None: ...

    def log(self, step: int, data: bytes) -> bool:
        self.bytes += len(data)
        return True

    def finished(self, result: str, **fields: Any) -> None:
        self.succeeded += result == "succeeded"


class Sink:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.over = loop.create_future()

    def output(self, data: bytes) -> None: ...

    def ended(self, exit: Exit) -> None:
        self.over.set_result(exit)


async def at_once(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


async def attempts(count: int) -> float:
    """Seconds of CPU for so many attempts of a job with one step that does nothing."""
    loop = asyncio.get_running_loop()
    provider, reporter, clock = DummyProvider(loop, remember=False), Silent(), SystemClock()
    spec = JobSpec("job", Position(1, 1), (StepSpec(Position(2, 1), run=""),))
    contexts = JobContexts(dict(GITHUB), job_name="job")
    places = Places("/nowhere/work", "/nowhere/temp", "/nowhere/tools")

    async def one(job: int) -> None:
        await AttemptRun(
            Assignment("run", job, 1, "bench", "contexts", JobFacts("job")),
            spec,
            contexts,
            provider=provider,
            reporter=reporter,  # type: ignore[arg-type]
            places=places,
            clock=clock,
            loop=loop,
            blocking=at_once,
            secrets={},
        ).run()

    seconds = await in_slots(count, one)
    assert reporter.succeeded == count
    return seconds


async def bare(count: int) -> float:
    """Seconds of CPU for the worker alone."""
    loop = asyncio.get_running_loop()
    provider = DummyProvider(loop, remember=False)

    async def one(job: int) -> None:
        worker = await provider.create(WorkerSpec(AttemptKey("run", job, 1), "/nowhere"))
        sink = Sink(loop)
        await worker.start(Command(["bash", ""], {}, "/nowhere"), sink)
        assert (await sink.over).ok
        await worker.destroy()

    return await in_slots(count, one)


async def in_slots(count: int, one: Callable[[int], Awaitable[None]]) -> float:
    jobs = iter(range(count))

    async def slot() -> None:
        for job in jobs:
            await one(job)

    began = time.process_time()
    await asyncio.gather(*[slot() for _ in range(SLOTS)])
    return time.process_time() - began


def scan(chunk: bytes, times: int) -> float:
    reporter = Silent()
    log = StepLog(0, reporter, Masks([]), lambda scanner, command: None)  # type: ignore[arg-type]
    began = time.process_time()
    for _ in range(times):
        log.scan(chunk)
    seconds = time.process_time() - began
    log.close()
    assert reporter.bytes == len(chunk) * times
    return seconds


def copy(chunk: bytes, times: int) -> float:
    into = bytearray(len(chunk))
    began = time.process_time()
    for _ in range(times):
        into[:] = chunk
    return time.process_time() - began


def run(quick: bool = False) -> list[dict[str, Any]]:
    count, rounds, times = (2_000, 3, 400) if quick else (10_000, 5, 2_000)
    pairs = [(asyncio.run(attempts(count)), asyncio.run(bare(count))) for _ in range(rounds)]
    cost, base = (median(side) / count * 1e6 for side in zip(*pairs, strict=True))
    results = [
        {
            "name": "attempt, one empty step, dummy provider",
            "value": round(cost, 1),
            "unit": "us CPU",
            "baseline": round(base, 1),
            "ratio": round(cost / base, 2),
            "goal": 40.0,
        }
    ]
    line = b"2026-01-01 12:00:00 compiling std::map of foo/bar/baz.c with -O2 -g -Wall ... ok\n"
    chunk = (line * (CHUNK // len(line) + 1))[:CHUNK]
    timed = [(scan(chunk, times), copy(chunk, times)) for _ in range(rounds)]
    speed, plain = (CHUNK * times / median(side) / 1e6 for side in zip(*timed, strict=True))
    results.append(
        {
            "name": "output scanned for commands, no masks",
            "value": round(speed),
            "unit": "MB/s",
            "baseline": round(plain),
            "ratio": round(speed / plain, 3),
            "goal": 500.0,
        }
    )
    return results


if __name__ == "__main__":
    for result in run("--quick" in sys.argv):
        print(result)
