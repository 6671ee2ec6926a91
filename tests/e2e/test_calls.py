"""What users do with runs that call workflows: retry, look at logs, select, lose the engine, run what is committed."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

CALLER = """on: workflow_dispatch
jobs:
  first:
    runs-on: ubuntu-latest
    steps: [{run: 'echo first >> $WITNESS'}]
  build:
    needs: first
    strategy: {fail-fast: false, matrix: {n: [1, 2]}}
    uses: ./called.yml
    with: {n: "${{ matrix.n }}"}
  after:
    needs: build
    runs-on: ubuntu-latest
    steps: [{run: 'echo after >> $WITNESS'}]
"""
CALLED = """on:
  workflow_call:
    inputs: {n: {type: number, required: true}}
    outputs: {word: {value: "${{ jobs.good.outputs.word }}"}}
jobs:
  good:
    runs-on: ubuntu-latest
    outputs: {word: "${{ steps.s.outputs.word }}"}
    steps:
      - id: s
        run: echo good${{ inputs.n }} >> $WITNESS; echo word=w${{ inputs.n }} >> $GITHUB_OUTPUT; echo said ${{ inputs.n }}
  flaky:
    needs: good
    runs-on: ubuntu-latest
    steps:
      - run: |
          echo flaky${{ inputs.n }} >> $WITNESS
          test ${{ inputs.n }} = 1 || test $(grep -c flaky2 $WITNESS) -ge 2
  last:
    needs: flaky
    runs-on: ubuntu-latest
    steps: [{run: 'echo last${{ inputs.n }} ${{ needs.flaky.result }} >> $WITNESS'}]
"""


@pytest.fixture
def failed(user):
    """A run that failed in the second leg's call."""
    user.workflow(CALLER)
    user.workflow(CALLED, "called.yml")
    done = user.relevo("run", "w.yml", "--json")
    assert done.code == 1, done.err
    assert done.last["jobs"]["build (2) / flaky"]["status"] == "failed"
    user.witness.write_text("flaky2\n")  # what else was done does not matter any more
    return done


def test_retrying_what_failed_runs_only_that_and_what_waits_for_it(user, failed):
    done = user.relevo("retry", failed.run, "--failed", "--json")
    assert done.code == 0, done.err
    assert done.last["jobs"]["build (2) / flaky"] == {"status": "succeeded", "attempts": 1}
    assert done.last["jobs"]["build (1) / good"] == {"status": "succeeded", "attempts": 0}
    assert done.last["calls"] == {"build (1)": {"status": "succeeded"}, "build (2)": {"status": "succeeded"}}
    assert user.witness.read_text().splitlines() == ["flaky2", "flaky2", "last2 success", "after"]


def test_retrying_one_job_of_a_call(user, failed):
    done = user.relevo("retry", failed.run, "--job", "build (1) / flaky", "--json")
    told = user.witness.read_text().split()
    assert not {"good1", "good2", "first"} & set(told)
    assert told.count("flaky1") == 1
    assert "last1" in told
    assert done.last["jobs"]["build (1) / good"]["attempts"] == 0


def test_retrying_a_call_runs_all_in_it(user, failed):
    user.relevo("retry", failed.run, "--job", "build (1)", "--json")
    told = user.witness.read_text().split()
    assert {"good1", "flaky1", "last1"} <= set(told)
    assert not {"good2", "first"} & set(told)


def test_logs_and_show_take_the_ids_of_jobs_in_calls(user, failed):
    assert user.relevo("logs", failed.run, "build (2) / good", "--raw").out == b"said 2\n"
    of_call = user.relevo("logs", failed.run, "build (1)").out.decode()
    assert "══ build (1) / good" in of_call
    assert "build (2)" not in of_call
    shown = user.relevo("show", failed.run).out.decode()
    assert "build (1) / good  succeeded" in shown
    missing = user.relevo("logs", failed.run, "build (3)")
    assert missing.code == 2
    assert "build (1) / good" in missing.err


SLOW = """on:
  workflow_call:
    inputs: {n: {type: number}}
    outputs: {word: {value: "${{ jobs.a.outputs.word }}"}}
jobs:
  a:
    runs-on: ubuntu-latest
    outputs: {word: "${{ steps.s.outputs.word }}"}
    steps:
      - run: echo begun; while [ ! -e "$WITNESS" ]; do sleep 0.05; done
      - id: s
        run: echo "word=kept ${{ inputs.n }}" >> $GITHUB_OUTPUT
  b:
    needs: a
    runs-on: ubuntu-latest
    steps: [{run: 'echo "${{ inputs.n }} ${{ needs.a.outputs.word }}"'}]
"""
ONE = """on: workflow_dispatch
jobs:
  call:
    uses: ./called.yml
    with: {n: 5}
  after:
    needs: call
    runs-on: ubuntu-latest
    steps: [{run: 'echo "${{ needs.call.outputs.word }}"'}]
"""


def test_a_killed_engine_is_made_up_for_within_a_call_with_the_files_of_then(user):
    user.workflow(ONE)
    user.workflow(SLOW, "called.yml")
    process = user.start("run", "w.yml", "--json")
    event = user.await_event(process, lambda event: event["event"] == "step.started")
    assert event["job"] == "call / a"
    process.send_signal(signal.SIGKILL)
    process.wait()
    # The file of now is of no interest to a run that began with another.
    (user.tree / "called.yml").write_text("no: workflow")
    user.witness.write_text("go")
    done = user.relevo("resume", event["run"], "--json")
    assert done.code == 0, done.err
    assert done.last["jobs"]["call / a"] == {"status": "succeeded", "attempts": 1}
    assert user.relevo("logs", event["run"], "call / b", "--raw").out == b"5 kept 5\n"
    assert user.relevo("logs", event["run"], "after", "--raw").out == b"kept 5\n"


def test_a_cancel_ends_what_is_called_and_lets_always_jobs_run(user):
    user.workflow(ONE)
    called = (
        SLOW.replace("$WITNESS", "/never")
        + """  cleanup:
    needs: [a, b]
    if: always()
    runs-on: ubuntu-latest
    steps: [{run: 'echo "cleaned ${{ needs.a.result }}" >> $WITNESS'}]
"""
    )
    user.workflow(called, "called.yml")
    process = user.start("run", "w.yml", "--json")
    run = user.await_event(process, lambda event: event["event"] == "step.started")["run"]
    assert user.relevo("cancel", run).code == 0
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert user.witness.read_text() == "cleaned cancelled\n"


def test_committed_takes_caller_and_called_from_head(user):
    def git(*args):
        env = {
            **os.environ,
            "GIT_AUTHOR_NAME": "a",
            "GIT_AUTHOR_EMAIL": "a@b",
            "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@b",
        }
        subprocess.run(["git", *args], cwd=user.tree, env=env, check=True, capture_output=True)

    user.workflow(ONE)
    called = "on: {workflow_call: {inputs: {n: {type: number}}, outputs: {word: {value: head}}}}\njobs:\n  a: {runs-on: linux, steps: [{run: 'true'}]}\n"
    user.workflow(called, "called.yml")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "x")
    user.workflow(ONE.replace('}}"', '}} now"'))
    user.workflow(called.replace("head", "tree"), "called.yml")
    for args, said in (((), b"tree now\n"), (("--committed",), b"head\n")):
        done = user.relevo("run", "w.yml", "--json", *args)
        assert done.code == 0, done.err
        assert user.relevo("logs", done.run, "after", "--raw").out == said
