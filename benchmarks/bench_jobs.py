"""Durable no-op jobs from end to end: submit, decide, commit, assign, agent process, result, commit.

A job is a run of its own with one `run:` step. Only the provider is a dummy: the agent is a real process over the real
socket, the store commits with fsync, and a job counts when its end is stored. The baseline is what the same machine
does of bare durable work in the same run: SQLite with one fsynced commit for each job's three appends, unbatched.
"""

from __future__ import annotations

import asyncio
import os
import resource
import tempfile
import time
from typing import Any

import msgspec

WORKFLOW = b"on: push\njobs:\n  noop:\n    runs-on: ubuntu-latest\n    steps:\n      - run: ''\n"
OUTSTANDING = 1_000


async def _measure(home_path: str, jobs: int, rate: float | None = None) -> dict[str, float]:
    from relevo.assembly.embedded import open_engine
    from relevo.assembly.home import Home
    from relevo.domain import commands as c
    from relevo.orchestrator.plans import SharedContexts, digest_of
    from relevo.workflow.reader import read

    loop = asyncio.get_running_loop()
    embedded = await open_engine(Home(home_path), slots=OUTSTANDING, window=OUTSTANDING, provider="dummy")
    orchestrator = embedded.engine.orchestrator
    plan = orchestrator.plans.of(read(WORKFLOW, "noop.yml"))
    shared = msgspec.msgpack.encode(SharedContexts(github={"sha": "0" * 40, "event_name": "push"}))
    digest = digest_of(shared)
    declarations = plan.declarations()
    await embedded.ready()
    finished = loop.create_future()
    submitted = done = 0
    intended: dict[str, float] = {}
    latencies: list[float] = []
    failed = 0
    ended = orchestrator.run_ended

    def submit() -> None:
        nonlocal submitted
        run = f"r{submitted:012d}"
        submitted += 1
        orchestrator.submit(
            c.Submit(run, "noop", "noop", "push", plan.digest, digest, declarations, at_ms=1), plan, shared
        )

    def run_ended(actor: Any) -> None:
        nonlocal done, failed
        failed += actor.run.status.value != "succeeded"
        due = intended.pop(actor.run.id, None)
        if due is not None:
            latencies.append(loop.time() - due)
        ended(actor)
        done += 1
        if rate is None and submitted < jobs:
            submit()
        if done == jobs:
            finished.set_result(None)

    orchestrator.run_ended = run_ended  # type: ignore[method-assign]
    agent_pid = embedded._keeper.who.pid
    cpu = time.process_time() + _cpu_of(agent_pid)
    start = loop.time()
    if rate is None:
        for _ in range(min(OUTSTANDING, jobs)):
            submit()
    else:
        while submitted < jobs:
            due = start + submitted / rate
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            intended[f"r{submitted:012d}"] = due
            submit()
    await finished
    took = loop.time() - start
    cpu = time.process_time() + _cpu_of(agent_pid) - cpu
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    await embedded.close()
    assert failed == 0
    latencies.sort()
    return {
        "jobs_per_s": jobs / took,
        "cpu_us": cpu / jobs * 1e6,
        "rss_mb": rss,
        "p50_ms": latencies[len(latencies) // 2] * 1e3 if latencies else 0.0,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1e3 if latencies else 0.0,
    }


def _cpu_of(pid: int) -> float:
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rsplit(b")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Rows for the harness."""
    from relevo.runtime.loop import run as run_loop

    jobs = 10_000 if quick else 60_000
    found = []
    for rate in (None, 2_500.0, 5_000.0):
        with tempfile.TemporaryDirectory(dir=os.environ.get("RELEVO_BENCH_DIR"), prefix="bench-") as folder:
            measured = run_loop(
                _measure(f"{folder}/home", jobs if rate is None else int(rate * (2 if quick else 6)), rate)
            )
        print(rate, measured)
        found.append(measured)
    return []


if __name__ == "__main__":
    run(quick=True)
