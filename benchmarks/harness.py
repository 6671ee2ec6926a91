"""How benchmarks are found, run and told.

A benchmark is a file `bench_<name>.py` with `run(quick) -> list of figures`. A figure is a map:
name, value, unit, baseline (the other program's value in the same run, or None), ratio (value / baseline, or None),
goal (what it is to reach, as text or number). More keys are kept as they are.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent
REQUIRED = ("name", "value", "unit", "baseline", "ratio", "goal")

Figure = dict[str, Any]


class Spread(NamedTuple):
    """What several rounds gave."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(min(values), median(values), max(values))


class Comparison(NamedTuple):
    """Ours and the baseline, measured in turns; ratios are of neighbours in time."""

    ours: Spread
    baseline: Spread
    ratio: Spread


def interleave(
    ours: Callable[[], float], baseline: Callable[[], float], *, rounds: int = 3, warm: bool = True
) -> Comparison:
    """Run both in turns (A B A B …), so that what disturbs the machine disturbs both; each call returns its value."""
    if warm:
        ours()
        baseline()
    pairs = [(ours(), baseline()) for _ in range(rounds)]
    return Comparison(
        Spread.of([a for a, _ in pairs]),
        Spread.of([b for _, b in pairs]),
        Spread.of([a / b for a, b in pairs]),
    )


def figure(name: str, compared: Comparison, unit: str, goal: str | float | None) -> Figure:
    """A comparison as a figure, with the spread of its ratio."""
    return {
        "name": name,
        "value": compared.ours.median,
        "unit": unit,
        "baseline": compared.baseline.median,
        "ratio": compared.ratio.median,
        "goal": goal,
        "ratio_min": compared.ratio.low,
        "ratio_max": compared.ratio.high,
    }


def names() -> list[str]:
    """The benchmarks there are, in order of the alphabet."""
    return sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))


def run_here(name: str, *, quick: bool) -> list[Figure]:
    """Run one benchmark in this process. Raises ValueError when a figure lacks a key."""
    figures: list[Figure] = importlib.import_module(f"benchmarks.bench_{name}").run(quick)
    for found in figures:
        lacking = [key for key in REQUIRED if key not in found]
        if lacking:
            raise ValueError(f"bench_{name}: figure {found.get('name', '?')!r} lacks {', '.join(lacking)}")
    return figures


def run_apart(name: str, *, quick: bool) -> list[Figure] | str:
    """Run one benchmark in a process of its own, so that none warms or burdens another; text says what went wrong."""
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "benchmarks", "--report-to", str(writing), name]
    with subprocess.Popen(command + ["--quick"] * quick, pass_fds=[writing], cwd=FOLDER.parent) as process:
        os.close(writing)
        with open(reading, "rb") as answer:
            told = answer.read()
    if process.returncode != 0:
        return f"bench_{name} ended with {process.returncode}"
    figures: list[Figure] = json.loads(told)
    return figures


def write(figures: list[Figure], path: Path) -> None:
    """Keep the figures, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(figures, indent=1) + "\n")
    temporary.replace(path)


def table(figures: list[Figure]) -> str:
    """The figures for people."""
    head = ("what", "value", "unit", "baseline", "ratio", "goal")
    rows = [head] + [
        (
            found["name"],
            number(found["value"]),
            found["unit"],
            number(found["baseline"]),
            _ratio(found),
            number(found["goal"]),
        )
        for found in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in (1, 3) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def number(value: float | str | None) -> str:
    """A value with as many digits as mean something."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _ratio(found: Figure) -> str:
    text = number(found["ratio"])
    if "ratio_min" in found and found["ratio"] is not None:
        text += f" ({number(found['ratio_min'])} to {number(found['ratio_max'])})"
    return text
