"""What the live view takes of a core: a run of 10,000 jobs, and one step that prints as fast as it can.

    PYTHONPATH=src python benchmarks/bench_view.py [--quick]

The view draws on a pseudo-terminal that a thread of its own reads, which is counted as well. Everything is CPU time of the
process; the same without a view is taken off, so that the figure is the view's own.
"""

from __future__ import annotations

import asyncio
import os
import pty
import sys
import termios
import threading
import time
from collections.abc import Iterator
from typing import Any

from relevo.cli.live.view import LiveView
from relevo.cli.output import Output
from relevo.cli.palette import Palette
from relevo.orchestrator.progress import Progress

JOBS = 10_000
AT_A_TIME = 64
EVENTS_S = 500  #: events a second, as a busy engine brings them
CHUNK = b"2026-01-01 12:00:00 compiling module foo/bar/baz.c with -O2 -g -Wall ...... ok\n" * 800
CHUNKS_S = 200  #: 13 MB/s


def _event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"v": 1, "event": kind, "run": "r1", "at": time.time_ns() // 1_000_000, **fields}


def crowd() -> Iterator[dict[str, Any]]:
    """The events after all jobs were added: they run and end, some fail."""
    for number in range(JOBS):
        yield _event("job.running", job=f"job {number}", attempt=1)
        yield _event("step.started", job=f"job {number}", attempt=1, step=0, name="Test")
        if number >= AT_A_TIME:
            job, status = f"job {number - AT_A_TIME}", "failed" if number % 50 == 0 else "succeeded"
            yield _event("job.finished", job=job, status=status, attempts=1)


async def _play(view: LiveView | None, seconds: float, *, logs: bool) -> float:
    """CPU seconds of playing for so long."""
    progress = Progress("r1")
    first = [_event("run.accepted", workflow="CI", title="CI", trigger="push")]
    first += [
        _event("job.added", job=f"job {number}", name="", needs=[]) for number in range(1 if logs else JOBS)
    ]
    events = crowd()
    if logs:
        first += [next(events), next(events)]
    for event in first:
        progress.apply(event)
        if view is not None:
            view.event(event, progress)
    rate = CHUNKS_S if logs else EVENTS_S
    started, cpu = time.monotonic(), time.process_time()
    done = 0
    while (passed := time.monotonic() - started) < seconds:
        while done < passed * rate:
            done += 1
            if logs:
                if view is not None:
                    view.log("job 0", 0, CHUNK)
                continue
            event = next(events)
            progress.apply(event)
            if view is not None:
                view.event(event, progress)
        await asyncio.sleep(0.005)
    return time.process_time() - cpu


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 65_536):
            pass
    except OSError:
        pass  # the other side was closed


async def _with_view(seconds: float, *, logs: bool) -> float:
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (50, 160))
    reader = threading.Thread(target=_drain, args=(leader,))
    reader.start()
    with os.fdopen(follower, "w") as stream:
        output = Output(stream)
        view = LiveView(output, Palette(True), lambda: (160, 50))
        taken = await _play(view, seconds, logs=logs)
        view.close()
        output.close()
    reader.join()
    os.close(leader)
    return taken


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Shares of one core."""
    seconds = 2.0 if quick else 10.0
    figures = []
    for name, logs in ((f"view of {JOBS:,} jobs", False), ("view of a step that prints 13 MB/s", True)):
        ours = asyncio.run(_with_view(seconds, logs=logs))
        bare = asyncio.run(_play(None, seconds, logs=logs))
        share = max(0.0, ours - bare) / seconds * 100
        figures.append(
            {
                "name": name,
                "value": share,
                "unit": "% of a core",
                "baseline": None,
                "ratio": None,
                "goal": "≤ 5 %",
            }
        )
    return figures


if __name__ == "__main__":
    for figure in run("--quick" in sys.argv):
        print(f"{figure['name']}: {figure['value']:.2f} {figure['unit']} (goal {figure['goal']})")
