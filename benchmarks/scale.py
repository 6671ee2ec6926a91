"""What one engine weighs, and how it bears many jobs: each question is answered by a process of its own, as JSON on stdout.

    python -m benchmarks.scale idle HOME             an engine and its agent that have nothing to do
    python -m benchmarks.scale runs HOME COUNT       so many live runs, submitted as `relevo run` does
    python -m benchmarks.scale jobs HOME COUNT       so many queued jobs of one matrix
    python -m benchmarks.scale matrix HOME COUNT     a matrix of so many jobs that do nothing, to its end
    python -m benchmarks.scale fill HOME COUNT       a home with so many queued runs, whose engine and agent were killed
    python -m benchmarks.scale restart HOME SINCE    seconds from SINCE (CLOCK_MONOTONIC) to the first assignment

Only the provider is a dummy (`idle`: the real one).
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import apsw
import msgspec

from relevo.assembly.embedded import Embedded, open_engine
from relevo.assembly.home import Home
from relevo.domain import commands as c
from relevo.orchestrator.api import Submission
from relevo.orchestrator.plans import SharedContexts, digest_of
from relevo.runtime.loop import run as run_loop
from relevo.workflow.reader import read

JOB = "on: push\njobs:\n  job:\n    runs-on: ubuntu-latest\n    steps:\n      - run: {step}\n"
#: `list` is an array of arrays: a matrix of some thousand legs in a short file.
MATRIX = (
    "on: push\njobs:\n  job:\n    runs-on: ubuntu-latest\n    strategy:\n      matrix:\n"
    "        tens: [{tens}]\n        ones: [{ones}]\n    steps:\n      - run: {step}\n"
)
#: Runs that are being submitted at a time.
BATCH = 500


def ask(question: str, home: str, number: float) -> dict[str, Any]:
    """Have a process answer. Raises CalledProcessError when it could not."""
    command = [sys.executable, "-m", "benchmarks.scale", question, home, str(number)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def memory(pid: int) -> dict[str, int]:
    """Bytes that a process has in memory: rss, its share of them (pss), and the most that it ever had (peak)."""
    found: dict[str, int] = {}
    with open(f"/proc/{pid}/smaps_rollup") as file:
        found |= {words[0]: int(words[1]) << 10 for words in map(str.split, file) if words[2:] == ["kB"]}
    with open(f"/proc/{pid}/status") as file:
        found |= {words[0]: int(words[1]) << 10 for words in map(str.split, file) if words[2:] == ["kB"]}
    return {"rss": found["Rss:"], "pss": found["Pss:"], "peak": found["VmHWM:"]}


async def idle(home: str, _: float) -> dict[str, Any]:
    """Both processes."""
    embedded = await open_engine(Home(home))
    await embedded.ready()
    found = {"engine": memory(os.getpid()), "agent": memory(_agent(embedded))}
    await embedded.close()
    return found


async def runs(home: str, count: float) -> dict[str, Any]:
    """Bytes for each run that waits for its turn."""
    return await _grown(
        home, lambda embedded: _submit(embedded, JOB.format(step="hang"), int(count)), int(count)
    )


async def jobs(home: str, count: float) -> dict[str, Any]:
    """Bytes for each job of a matrix that waits for its turn."""
    return await _grown(
        home, lambda embedded: _submit(embedded, matrix_of(int(count), "hang"), 1), int(count)
    )


async def _grown(home: str, load: Callable[[Embedded], Awaitable[None]], count: int) -> dict[str, Any]:
    embedded = await open_engine(Home(home), slots=1, provider="dummy", window=0)
    await embedded.ready()
    await _submit(embedded, JOB.format(step="hang"), 1)  # what is imported and made once is there
    gc.collect()
    before = _own()
    await load(embedded)
    gc.collect()
    grown = _own() - before
    os.kill(_agent(embedded), signal.SIGKILL)
    return {"bytes": grown / count}


def _own() -> int:
    """Bytes in memory without SQLite's: its page cache fills up to a bound, however many runs there are."""
    return memory(os.getpid())["rss"] - apsw.memory_used()


async def matrix(home: str, count: float) -> dict[str, Any]:
    """Seconds from submission to the stored end, and the peaks of memory."""
    embedded = await open_engine(Home(home), provider="dummy")
    await embedded.ready()
    begun = time.perf_counter()
    run = await embedded.api.submit(_submission(matrix_of(int(count), "''")))
    succeeded, last = 0, ""
    async for event in embedded.api.events(run):
        succeeded += event["event"] == "job.finished" and event["status"] == "succeeded"
        last = event["event"]
    seconds = time.perf_counter() - begun
    assert (succeeded, last) == (int(count), "run.finished"), (succeeded, last)
    found = {"seconds": seconds, "engine": memory(os.getpid()), "agent": memory(_agent(embedded))}
    await embedded.close()
    return found


async def fill(home: str, count: float) -> dict[str, Any]:
    """Straight into the orchestrator: the files are read once. Each run has contexts of its own, as runs have."""
    embedded = await open_engine(Home(home), slots=1, provider="dummy", window=0)
    await embedded.ready()
    orchestrator = embedded.engine.orchestrator
    plan = orchestrator.stored.plans.of(read(JOB.format(step="hang").encode(), "load.yml"))
    declarations = plan.declarations()
    pending: list[asyncio.Future[bool]] = []
    for number in range(int(count)):
        shared = msgspec.msgpack.encode(SharedContexts(github={"run_id": str(number), "event_name": "push"}))
        submit = c.Submit(
            f"r{number:017d}",
            "load",
            "load",
            "push",
            plan.digest,
            digest_of(shared),
            declarations,
            at_ms=time.time_ns() // 1_000_000,
        )
        pending.append(orchestrator.submit(submit, plan, shared))
        if len(pending) == BATCH:
            await asyncio.gather(*pending)
            pending.clear()
    await asyncio.gather(*pending)
    found = {"engine": memory(os.getpid())}
    os.kill(_agent(embedded), signal.SIGKILL)
    return found


async def restart(home: str, since: float) -> dict[str, Any]:
    """To the moment in which the first assignment is handed to the agent's connection."""
    embedded = await open_engine(Home(home), slots=1, provider="dummy", window=0)
    loaded = time.monotonic() - since
    manager = embedded.engine.manager
    first: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    send = manager.send

    def sent(*arguments: Any) -> None:
        send(*arguments)
        if not first.done():
            first.set_result(time.monotonic() - since)

    manager.send = sent  # type: ignore[method-assign]
    seconds = await first
    found = {"loaded": loaded, "seconds": seconds, "runs": len(embedded.engine.orchestrator.live)}
    os.kill(_agent(embedded), signal.SIGKILL)
    return found


async def _submit(embedded: Embedded, workflow: str, count: int) -> None:
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        await asyncio.gather(*(embedded.api.submit(_submission(workflow)) for _ in range(size)))
    # what was accepted is decided upon in the turns that follow: until every job stands in the queue
    scheduler = embedded.engine.orchestrator.scheduler
    wanted = sum(len(actor.run.jobs) for actor in embedded.engine.orchestrator.live.values()) - 1
    while len(scheduler.queue) < wanted:  # noqa: ASYNC110  # nobody else waits for that
        await asyncio.sleep(0.01)


def _submission(workflow: str) -> Submission:
    return Submission(workflow_path="load.yml", workflow_text=workflow.encode(), directory="/")


def matrix_of(count: int, step: str) -> str:
    """A workflow of so many jobs: whole hundreds."""
    tens = ", ".join(map(str, range(count // 100)))
    return MATRIX.format(tens=tens, ones=", ".join(map(str, range(100))), step=step)


def _agent(embedded: Embedded) -> int:
    pid = embedded.agent_pid
    assert pid is not None
    return pid


def main() -> None:
    """Answer the question of the command line, and leave at once: what it was asked on is thrown away."""
    questions = {one.__name__: one for one in (idle, runs, jobs, matrix, fill, restart)}
    answer = run_loop(questions[sys.argv[1]](sys.argv[2], float(sys.argv[3])))
    print(json.dumps(answer), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
