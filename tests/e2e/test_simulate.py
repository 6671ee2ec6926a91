"""The load that real runs have left in a home, simulated."""

from __future__ import annotations

import json

import pytest

PIPELINE = """on: workflow_dispatch
name: pipeline
jobs:
  build: {runs-on: ubuntu-latest, steps: [{run: sleep 0.3}]}
  test:
    needs: build
    runs-on: [self-hosted, linux]
    strategy: {matrix: {leg: [1, 2]}}
    steps: [{run: 'sleep 0.1'}]
  never: {if: false, needs: test, runs-on: ubuntu-latest, steps: [{run: 'true'}]}
  report: {if: always(), needs: never, runs-on: ubuntu-latest, steps: [{run: 'true'}]}
"""


def test_recorded_runs_become_a_load(user):
    user.workflow(PIPELINE)
    runs = [user.relevo("run", "w.yml", "--json").run for _ in range(2)]
    exported = user.relevo("simulate", "--from-home", "--export", "load.jsonl")
    assert exported.code == 0, exported.err
    assert exported.err == "8 jobs written to load.jsonl\n"
    jobs = [json.loads(line) for line in (user.tree / "load.jsonl").read_text().splitlines()]
    assert [job["run"] for job in jobs] == [run for run in runs for _ in range(4)]
    assert {job["tenant"] for job in jobs} == {"local/tree"}
    first = {job["job"]: job for job in jobs[:4]}
    names = {job["job"].partition(" ")[0]: job for job in jobs[:4]}
    assert set(names) == {"build", "test", "report"}
    assert names["build"]["submit"] == 0
    assert 0.3 <= names["build"]["duration"] < 20
    assert names["build"]["labels"] == ["ubuntu-*"]
    assert sorted(names["test"]["labels"]) == ["linux", "self-hosted"]
    assert names["test"]["needs"] == ["build"]
    # Of `never` no job ran: who waited for it waits for what it waited for.
    assert sorted(first[need]["duration"] >= 0.1 for need in names["report"]["needs"]) == [True, True]
    told = user.relevo("simulate", "--from-home", "--agents", "1:slots=1", "--json", "--policy", "relevo")
    assert told.code == 0, told.err
    (result,) = json.loads(told.out)["policies"]
    assert result["ended"] == 8
    work_s = sum(job["duration"] for job in jobs)
    assert result["makespan_s"] >= work_s - 1e-6
    again = user.relevo("simulate", "load.jsonl", "--agents", "1:slots=1", "--json", "--policy", "relevo")
    assert json.loads(again.out)["policies"][0]["wait"] == pytest.approx(result["wait"])


def test_a_span_in_which_nothing_ran_is_told(user):
    user.workflow(PIPELINE)
    assert user.relevo("run", "w.yml", "--json", "--job", "build").code == 0
    told = user.relevo("simulate", "--from-home", "--last", "1ms")
    assert told.code == 2
    assert "no job was run in that time" in told.err
