"""How long the command line takes from nothing: `relevo --help`, and `relevo run` of one step in a fresh home.

The baseline is a bare Python that does nothing, in the same run. A run counts when its exit code is 0 and its step has
printed; bytecode is compiled before.
"""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import Comparison, figure, interleave

SOURCE = Path(__file__).parents[1] / "src"
WORKFLOW = "on: push\njobs:\n  hello:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo hello\n"


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Rows: help, and a cold run with a fresh home."""
    rounds = 5 if quick else 21
    compileall.compile_dir(str(SOURCE), quiet=1)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "hello.yml").write_text(WORKFLOW)
        helped = interleave(lambda: _timed(folder, "--help"), lambda: _bare(folder), rounds=rounds)
        ran = interleave(lambda: _cold(folder), lambda: _bare(folder), rounds=rounds)
    return [
        _ms("relevo --help, wall", helped, "<= 80 ms"),
        _ms("relevo run of one step, cold, fresh home, wall", ran, "<= 180 ms and <= 20 x bare Python"),
    ]


def _ms(name: str, compared: Comparison, goal: str) -> dict[str, Any]:
    return figure(name, compared, "ms", goal)


def _timed(folder: str, *arguments: str, home: str = "") -> float:
    """Milliseconds of one command."""
    environment = os.environ | {"PYTHONPATH": str(SOURCE), "RELEVO_HOME": home}
    command = [sys.executable, "-c", "from relevo.cli.main import main; main()", *arguments]
    started = time.perf_counter()
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    took = time.perf_counter() - started
    if arguments[0] == "run" and "│ hello" not in ended.stdout:
        raise RuntimeError(f"the step has not printed: {ended.stdout}")
    return took * 1000


def _cold(folder: str) -> float:
    with tempfile.TemporaryDirectory() as home:
        return _timed(folder, "run", "hello.yml", home=home)


def _bare(folder: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], cwd=folder, check=True)
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    from benchmarks.harness import table

    print(table(run("--quick" in sys.argv)))
