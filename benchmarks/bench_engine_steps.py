"""Goals row 2: real steps through the whole engine, two slots, beside `xargs -P2` with the very same bash line.

Each step is `bash -e` of a script file that does nothing. Its output is captured, its end is stored; xargs does neither. The
engine starts and stops outside of the clock, and every stored step is checked after it (load.py).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import Figure, figure, interleave
from benchmarks.load import Load, measure

SLOTS = 2
#: What the engine writes into the script of a step.
LINE = ":"
HEAD = "on: push\njobs:\n  job:\n    runs-on: ubuntu-latest\n    steps:\n"
STEPS = 250


def run(quick: bool = False) -> list[Figure]:
    """Rows: many steps a job, one step a job."""
    rounds, count = (2, 500) if quick else (5, 2_000)
    many = _load(count // STEPS, STEPS, warm=SLOTS)
    one = _load(count, 1, warm=50)
    return [
        figure(
            f"steps through the engine, {STEPS} a job",
            interleave(lambda: _ours(many, STEPS), lambda: _xargs(count), rounds=rounds, warm=False),
            "steps/s",
            f">= 0.75 x xargs -P{SLOTS}",
        ),
        figure(
            "steps through the engine, one a job",
            interleave(lambda: _ours(one, 1), lambda: _xargs(count), rounds=rounds, warm=False),
            "steps/s",
            f">= 0.70 x xargs -P{SLOTS}",
        ),
    ]


def _load(runs: int, steps: int, *, warm: int) -> Load:
    """Runs of one job. Slots and window are what `relevo run` takes on a machine with two processors."""
    workflow = HEAD + f"      - run: '{LINE}'\n" * steps
    return Load(runs, workflow, provider="process", slots=SLOTS, window=SLOTS, outstanding=100, warm=warm)


def _ours(load: Load, steps: int) -> float:
    return load.runs * steps / measure(load).seconds


def _xargs(count: int) -> float:
    bash = shutil.which("bash") or "bash"
    numbers = "".join(f"{number}\n" for number in range(count)).encode()
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "step.sh")
        script.write_text(LINE)
        command = ["xargs", "-P", str(SLOTS), "-n", "1", bash, "-e", str(script)]
        started = time.perf_counter()
        subprocess.run(command, input=numbers, check=True, stdout=subprocess.DEVNULL)
        return count / (time.perf_counter() - started)


if __name__ == "__main__":
    from benchmarks.harness import table

    print(table(run("--quick" in sys.argv)))
