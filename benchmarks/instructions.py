"""What telemetry costs of a no-op job, in instructions: the clock of a busy machine says nothing of two per cent.

    PYTHONPATH=src python -m benchmarks.instructions

A job's calls into telemetry are counted in an engine that runs some; what a call costs, and what a whole job costs in engine and
agent, is counted by valgrind (cachegrind) as the difference of two runs of which one does more. Nothing in it is a matter of time.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter as Counts
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final
from unittest.mock import patch

#: Calls whose cost is measured, and jobs.
CALLS: Final = 20_000
JOBS: Final = 600
WARM: Final = 200
#: Under valgrind all of it takes some fifty times as long as without.
LONGEST_S: Final = 600
#: What the agent does for an attempt of one step: it has no metrics, and asks whether anybody wants its log.
AGENT: Final = {"log": 1, "step_parent": 1}


def available() -> bool:
    """Whether there is a valgrind."""
    return shutil.which("valgrind") is not None


def share() -> tuple[float, dict[str, float]]:
    """(telemetry's share of a job's instructions, instructions a job: `job`, and each kind of call)."""
    nothing = _instructions("call", "nothing")
    calls = calls_of_a_job() + Counts(AGENT)
    spent = {
        kind: count * (_instructions("call", kind) - nothing) / CALLS for kind, count in sorted(calls.items())
    }
    job = (_instructions("jobs", str(WARM + JOBS)) - _instructions("jobs", str(WARM))) / JOBS
    return sum(spent.values()) / job, {"job": job, **spent}


def calls_of_a_job(jobs: int = 500) -> Counts[str]:
    """How often a no-op job calls into telemetry in the engine, by kind of call."""
    from benchmarks.load import Load, measure
    from relevo.core import metrics

    counts: Counts[str] = Counts()

    def counted(kind: str, call: Any) -> Callable[..., Any]:
        def with_count(*given: Any, **named: Any) -> Any:
            counts[kind if kind != "histogram" or given[1] else "histogram_zero"] += 1
            return call(*given, **named)

        return with_count

    import logging

    with ExitStack() as patched:
        for kind, owner, name in (
            ("counter", metrics.Counter, "inc"),
            ("gauge", metrics.Gauge, "set"),
            ("gauge", metrics.Gauge, "add"),
            ("histogram", metrics.Histogram, "record"),
            ("histogram_ms", metrics.Histogram, "record_ms"),
            ("labels", metrics.Family, "labels"),
            ("log", logging.Logger, "isEnabledFor"),
        ):
            patched.enter_context(patch.object(owner, name, counted(kind, getattr(owner, name))))
        measure(Load(jobs, warm=0))
    for kind in ("counter_by_label", "counter_by_label", "counter_in_place"):
        counts[kind] += jobs  # of runs and attempts that ended, and of runs accepted (orchestrator.py)
    return Counts({kind: count / jobs for kind, count in counts.items()})  # type: ignore[misc]


def _instructions(*argv: str) -> int:
    """All instructions of this module's `main`, and of the processes that it starts."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(
                "valgrind",
                "--tool=cachegrind",
                "--cache-sim=no",
                "--trace-children=yes",
                "--log-file=/dev/null",
            ),
            f"--cachegrind-out-file={folder}/%p",
            *(sys.executable, "-m", "benchmarks.instructions", *argv),
        ]
        env = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL, timeout=LONGEST_S)
        return sum(map(_summary, glob.glob(f"{folder}/*")))


def _summary(path: str) -> int:
    with open(path) as file:
        return next(int(line.split()[1]) for line in file if line.startswith("summary:"))


def _call(kind: str) -> None:
    import gc
    import logging

    from relevo.core.metrics import Registry
    from relevo.telemetry.ids import step_parent

    registry = Registry()
    counter = registry.counter("c", "", ["a"])
    held = counter.labels("1")
    gauge = registry.gauge("g", "").labels()
    histogram = registry.histogram("h", "").labels()
    log = logging.getLogger("relevo.a.b")
    numbers = range(CALLS)
    gc.disable()  # when it looks depends on what was made before
    if kind == "counter":
        for _ in numbers:
            held.inc()
    elif kind == "counter_in_place":
        for _ in numbers:
            held.value += 1
    elif kind == "counter_by_label":
        for _ in numbers:
            counter.of["1"].value += 1
    elif kind == "gauge":
        for _ in numbers:
            gauge.set(1)
    elif kind == "histogram":
        for _ in numbers:
            histogram.record(0.0123)
    elif kind == "histogram_ms":
        for _ in numbers:
            histogram.record_ms(12)
    elif kind == "histogram_zero":
        for _ in numbers:
            histogram.record(0.0)
    elif kind == "labels":
        for _ in numbers:
            counter.labels("1")
    elif kind == "log":
        for _ in numbers:
            log.isEnabledFor(logging.INFO)
    elif kind == "step_parent":
        for number in numbers:
            step_parent("01m8f7wrqq5mat61td", "", number, 1, 0)
    else:
        for _ in numbers:
            pass


def main(what: str, value: str) -> None:
    """What `_instructions` runs."""
    if what == "call":
        _call(value)
    else:
        from benchmarks.load import Load, measure

        # valgrind knows no pidfd_open: nobody waits for the agent's end here
        os.pidfd_open = lambda pid, flags=0: os.pipe()[0]  # type: ignore[assignment]
        measure(Load(int(value), warm=0))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        main(*sys.argv[1:])
    else:
        told, parts = share()
        print(f"{told:.2%} of {parts.pop('job'):,.0f} instructions a job")
        for name, spent in parts.items():
            print(f"  {name}: {spent:,.0f}")
