"""Goals rows 14 and 16, and a matrix of 10,000 jobs from end to end: memory, restart, size. What is asked: scale.py."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import Figure
from benchmarks.load import FOLDER
from benchmarks.scale import ask, matrix_of

MB, KB = 1 << 20, 1 << 10


def run(quick: bool = False) -> list[Figure]:
    """Rows for the harness."""
    live, legs, queued = (300, 1_000, 5_000) if quick else (2_000, 10_000, 100_000)
    os.makedirs(FOLDER, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="scale-") as folder:
        idle = ask("idle", f"{folder}/idle", 0)
        run_bytes = ask("runs", f"{folder}/runs", live)["bytes"]
        job_bytes = ask("jobs", f"{folder}/jobs", legs)["bytes"]
        big = ask("matrix", f"{folder}/matrix", legs)
        ask("fill", f"{folder}/queue", queued)
        # each start leaves the home as it was, but for one attempt that was lost
        again = min(
            (ask("restart", f"{folder}/queue", time.monotonic()) for _ in range(1 if quick else 3)),
            key=lambda found: found["seconds"],
        )
        wall, peak = _command(folder, legs // 10)
    both = [idle["engine"], idle["agent"]]
    return [
        _row("idle engine and agent: RSS of both", sum(one["rss"] for one in both) / MB, "MB", "<= 90"),
        _row("  their share of it (PSS)", sum(one["pss"] for one in both) / MB, "MB"),
        _row(f"a live run (of {live:,} that wait)", run_bytes / KB, "kB", "<= 10"),
        _row(f"a queued job (of {legs:,} of a matrix)", job_bytes / KB, "kB", "<= 1"),
        _row(f"matrix of {legs:,} no-op jobs, end to end: wall", big["seconds"], "s"),
        _row("  peak memory of the engine", big["engine"]["peak"] / MB, "MB", "<= 250"),
        _row("  peak memory of the agent", big["agent"]["peak"] / MB, "MB"),
        _row(f"`relevo run` of a matrix of {legs // 10:,} real jobs: wall", wall, "s"),
        _row("  peak memory of its largest process", peak / MB, "MB", "<= 250"),
        _row(f"restart with {queued:,} queued runs: to the first assignment", again["seconds"], "s", "<= 3"),
        _row("  of it until all are taken up", again["loaded"], "s"),
    ]


def _command(folder: str, count: int) -> tuple[float, float]:
    """Seconds, and bytes of the largest process, of a real `relevo run`."""
    Path(folder, "matrix.yml").write_text(matrix_of(count, "':'"))
    environment = os.environ | {"RELEVO_HOME": f"{folder}/command"}
    command = [
        sys.executable,
        "-c",
        "from relevo.cli.main import main; main()",
        "run",
        "matrix.yml",
        "--quiet",
    ]
    begun = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - begun
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * KB


def _row(name: str, value: float, unit: str, goal: str | None = None) -> Figure:
    return {"name": name, "value": value, "unit": unit, "baseline": None, "ratio": None, "goal": goal}


if __name__ == "__main__":
    from benchmarks.harness import table

    print(table(run("--quick" in sys.argv)))
