"""Workflow files and expressions: read, evaluate, expand.

The baseline of reading is PyYAML's C composer over the same text: the least that any reader with positions pays.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import yaml

from benchmarks.harness import interleave
from relevo.workflow.evaluate import evaluate_job
from relevo.workflow.expressions import Scope
from relevo.workflow.model import Workflow
from relevo.workflow.plan import order
from relevo.workflow.reader import read
from relevo.workflow.templates import evaluate_condition

_HEAD = "name: CI\non:\n  push:\n    branches: [main]\njobs:\n"
_JOB = """  job{number}:
    runs-on: ubuntu-latest
    strategy:
      matrix:
        python: ['3.11', '3.12']
        os: [ubuntu-latest, macos-latest]
    env:
      FOO: bar
    steps:
      - uses: actions/checkout@v4
        with:
          fetch-depth: 0
      - name: Run it
        if: github.ref == 'refs/heads/main' && matrix.os == 'x'
        run: |
          echo ${{{{ matrix.python }}}} {salt}
          echo hi
      - name: Test
        run: pytest -q ${{{{ github.sha }}}}
        env:
          A: b
          C: ${{{{ matrix.os }}}}
"""
_CONDITION = "github.ref == 'refs/heads/main' && matrix.os == 'x' && contains(github.event_name, 'pu')"
_MATRIX = b"""
on: push
jobs:
  big:
    runs-on: ${{ matrix.a }}
    strategy: {matrix: {a: "${{ fromJSON(inputs.l) }}", b: "${{ fromJSON(inputs.l) }}"}}
  plain: {runs-on: x}
"""


def _file(salt: int) -> bytes:
    # the salt makes each text a new one: equal texts and expressions are read once
    return (_HEAD + "".join(_JOB.format(number=number, salt=salt) for number in range(13))).encode()


def _read_and_plan(text: bytes) -> None:
    # what happens to a file before anything starts: read, checked, ordered, and a verdict on each of its jobs
    workflow = read(text, "ci.yml")
    for name in order(workflow):
        evaluate_job(workflow.jobs[name], **_asked(workflow))


def _asked(workflow: Workflow) -> dict[str, Any]:
    return {
        "workflow": workflow,
        "github": {},
        "inputs": {"l": json.dumps([str(number) for number in range(100)])},
        "vars": {},
        "needs": {},
        "ancestors_ok": True,
        "ancestors_failed": False,
        "run_cancelled": False,
    }


def _plan_of_many() -> tuple[float, float]:
    """Seconds and megabytes that `relevo plan --json` of 10,000 jobs takes, start-up and all."""
    values = json.dumps(list(range(100)))
    text = f"on: push\njobs: {{big: {{runs-on: x, strategy: {{matrix: {{a: {values}, b: {values}}}}}}}}}\n"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "w.yml").write_text(text)
        start = perf_counter()
        with subprocess.Popen(
            [sys.executable, "-m", "relevo.cli.main", "plan", "w.yml", "--json"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
        ) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
    return perf_counter() - start, usage.ru_maxrss / 1024


def _timed(call: Any, count: int) -> float:
    start = perf_counter()
    for _ in range(count):
        call()
    return (perf_counter() - start) / count


def run(quick: bool = False) -> list[dict[str, Any]]:
    """The figures; times are of one call."""
    count = 5 if quick else 30
    salts = iter(range(10**9))
    reading = interleave(
        lambda: _timed(lambda: _read_and_plan(_file(next(salts))), count) * 1e3,
        lambda: (
            _timed(lambda: yaml.compose(_file(next(salts)).decode(), Loader=yaml.CSafeLoader), count) * 1e3
        ),
        rounds=3 if quick else 7,
    )
    scope = Scope({"github": {"ref": "refs/heads/main", "event_name": "push"}, "matrix": {"os": "x"}})
    condition_us = _timed(lambda: evaluate_condition(_CONDITION, scope), 20_000) * 1e6
    workflow = read(_MATRIX, "matrix.yml")
    asked = _asked(workflow)
    assert len(evaluate_job(workflow.jobs["big"], **asked).legs) == 10_000
    matrix_s = min(_timed(lambda: evaluate_job(workflow.jobs["big"], **asked), 1) for _ in range(3))
    plain_us = _timed(lambda: evaluate_job(workflow.jobs["plain"], **asked), 20_000) * 1e6
    plan_s, plan_mb = _plan_of_many()
    return [
        {
            "name": "workflow: read, check and plan 300 lines",
            "value": round(reading.ours.median, 3),
            "unit": "ms",
            "baseline": round(reading.baseline.median, 3),
            "ratio": round(reading.ratio.median, 2),
            "goal": "<= 15 ms",
        },
        _figure("workflow: evaluate an if", condition_us, "µs", "<= 10 µs"),
        _figure("workflow: verdict on a job without expressions", plain_us, "µs", "<= 5 µs"),
        _figure("workflow: expand a matrix of 10,000", matrix_s, "s", "<= 1 s"),
        _figure("workflow: relevo plan of a matrix of 10,000, start-up and all", plan_s, "s", "<= 1 s"),
        _figure("workflow: its memory", plan_mb, "MB", "<= 200 MB"),
    ]


def _figure(name: str, value: float, unit: str, goal: str) -> dict[str, Any]:
    return {
        "name": name,
        "value": round(value, 3),
        "unit": unit,
        "baseline": None,
        "ratio": None,
        "goal": goal,
    }


if __name__ == "__main__":
    for figure in run():
        print(figure)
