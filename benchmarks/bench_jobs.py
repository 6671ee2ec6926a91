"""Goals rows 1 and 3: durable no-op jobs from end to end, how many, how dear, how soon.

A job is a run of its own with one `run:` step: submit, decide, commit, assign, agent process over its socket, result,
commit. Only the provider is a dummy. Every stored run is checked after the clock has stopped. Baselines, in turn with
ours: a bare durable queue in one process (bare_queue.py), with three commits for each job, and with three for each
batch of a thousand or of whatever is due.
"""

from __future__ import annotations

import sys
from statistics import median
from typing import Any

from benchmarks.bare_queue import Bare, bare_queue
from benchmarks.load import Load, Measured, at, measure


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Rows for the harness."""
    rounds = 2 if quick else 5
    runs = 6_000 if quick else 20_000
    saturated, singly, batched = [], [], []
    for _ in range(rounds):
        saturated.append(measure(Load(runs)))
        singly.append(bare_queue(runs // 10, batch=1))
        batched.append(bare_queue(runs, batch=1_000))
    open_5000, bare_5000 = _open_loop(5_000, rounds, 2 if quick else 5)
    open_2500, bare_2500 = _open_loop(2_500, rounds, 2 if quick else 5)
    open_500, bare_500 = _open_loop(500, rounds, 2 if quick else 10)
    real_600, bare_600 = _open_loop(600, rounds, 2 if quick else 5, real=True)
    return [
        _row(
            "no-op jobs at saturation; beside a bare queue with 3 commits a job",
            "jobs/s",
            [m.runs_per_s for m in saturated],
            [b.jobs_per_s for b in singly],
            ">= 15,000",
        ),
        _row(
            "  CPU a job, all processes; beside a bare queue with 3 commits a batch",
            "µs",
            [m.cpu_us for m in saturated],
            [b.cpu_us for b in batched],
            "<= 70",
        ),
        *_shares(saturated),
        _row(
            "no-op jobs, 5,000/s open loop: CPU a job",
            "µs",
            [m.cpu_us for m in open_5000],
            [b.cpu_us for b in bare_5000],
            "<= 200",
        ),
        *_shares(open_5000),
        *_latency("no-op jobs, 2,500/s", open_2500, bare_2500, "<= 3", "<= 6"),
        *_latency("no-op jobs, 500/s", open_500, bare_500, "<= 3", "<= 6"),
        *_latency("real jobs (bash), 600/s", real_600, bare_600, "<= 4", "<= 12"),
    ]


def _open_loop(
    rate: float, rounds: int, seconds: float, *, real: bool = False
) -> tuple[list[Measured], list[Bare]]:
    load = Load(int(rate * seconds), rate=rate)
    if real:
        # at 600/s two slots would be full: what is measured is how soon a step starts where there is room
        load = Load(
            int(rate * seconds),
            "on: push\njobs:\n  real:\n    runs-on: ubuntu-latest\n    steps:\n      - run: ':'\n",
            provider="process",
            slots=16,
            window=64,
            rate=rate,
            warm=50,
        )
    ours, bare = [], []
    for _ in range(rounds):
        ours.append(measure(load))
        bare.append(bare_queue(load.runs, batch=1_000, rate=rate))
    return ours, bare


def _shares(ours: list[Measured]) -> list[dict[str, Any]]:
    return [
        _row("    of it the load generator", "µs", [m.generator_cpu_us for m in ours]),
        _row("    of it the engine", "µs", [m.engine_cpu_us - m.generator_cpu_us for m in ours]),
        _row("    of it the agent", "µs", [m.agent_cpu_us for m in ours]),
    ]


def _latency(what: str, ours: list[Measured], bare: list[Bare], p50: str, p99: str) -> list[dict[str, Any]]:
    return [
        _row(
            f"{what}: submit to step start, {name}; beside a bare queue's job taken",
            "ms",
            [at(m.started_ms, share) for m in ours],
            [at(b.started_ms, share) for b in bare],
            goal,
        )
        for name, share, goal in (("p50", 0.5, p50), ("p99", 0.99, p99))
    ]


def _row(
    name: str, unit: str, ours: list[float], baseline: list[float] | None = None, goal: str | None = None
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": name,
        "value": median(ours),
        "unit": unit,
        "baseline": None,
        "ratio": None,
        "goal": goal,
        "value_min": min(ours),
        "value_max": max(ours),
    }
    if baseline is not None:
        ratios = [a / b for a, b in zip(ours, baseline, strict=True)]
        row |= {
            "baseline": median(baseline),
            "ratio": median(ratios),
            "ratio_min": min(ratios),
            "ratio_max": max(ratios),
        }
    return row


if __name__ == "__main__":
    from benchmarks.harness import table

    print(table(run("--quick" in sys.argv)))
