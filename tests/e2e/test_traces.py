"""The trace of a run as users get it, and what its steps are told of it."""

from __future__ import annotations

import json
import signal

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ACTION = """name: a
description: a
runs:
  using: composite
  steps:
    - {shell: bash, run: "echo inner $TRACEPARENT $TRACESTATE >> $WITNESS"}
"""
TOLD = """on: push
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: echo first $TRACEPARENT $TRACESTATE >> $WITNESS
      - uses: ./act
      - run: echo own $TRACEPARENT >> $WITNESS
        env: {TRACEPARENT: mine}
"""
WAITS = """on: push
jobs:
  waits:
    runs-on: ubuntu-latest
    steps:
      - run: echo before $TRACEPARENT >> $WITNESS
      - run: |
          echo $TRACEPARENT > in-hand
          while ! test -e $WITNESS.go; do sleep 0.05; done
          echo meanwhile $TRACEPARENT >> $WITNESS
      - run: echo after $TRACEPARENT >> $WITNESS
  then:
    needs: waits
    runs-on: ubuntu-latest
    steps:
      - run: echo then $TRACEPARENT >> $WITNESS
"""


def told(user):
    return [line.split() for line in user.witness.read_text().splitlines()]


def steps_of(user, run):
    """By name: how often each step's span is there, and its TRACEPARENT."""
    trace = json.loads(user.relevo("trace", run).out)
    return trace, [
        (event["name"], f"00-{trace['otherData']['trace_id']}-{event['args']['span_id']}-01")
        for event in trace["traceEvents"]
        if event.get("cat") == "step"
    ]


def test_steps_are_told_the_span_that_they_are(user):
    (user.tree / "act").mkdir()
    user.workflow(ACTION, "act/action.yml")
    user.workflow(TOLD)
    done = user.relevo("run", "w.yml", "--json", env={"TRACEPARENT": GIVEN, "TRACESTATE": "a=b"})
    assert done.code == 0, done.err
    (_, first, state), (_, inner, inner_state), own = told(user)
    assert own == ["own", "mine"], "a workflow's own variable stands"
    assert (state, inner_state) == ("a=b", "a=b")
    trace, steps = steps_of(user, done.run)
    assert trace["otherData"]["trace_id"] == GIVEN.split("-")[1]
    assert [parent for name, parent in steps if name.startswith("Run echo first")] == [first]
    assert [parent for name, parent in steps if name == "Run ./act"] == [inner]


def test_without_a_parent_or_with_one_that_is_none_the_run_has_a_trace_of_its_own(user):
    user.workflow(TOLD.replace("- uses: ./act", "- run: 'true'"))
    ids = set()
    for env in ({}, {"TRACEPARENT": "nonsense", "TRACESTATE": "a=b"}):
        user.witness.unlink(missing_ok=True)
        done = user.relevo("run", "w.yml", "--json", env=env)
        trace, steps = steps_of(user, done.run)
        line = told(user)[0]
        assert line[1:] == [parent for name, parent in steps if name.startswith("Run echo first")]
        ids.add(trace["otherData"]["trace_id"])
    assert len(ids) == 2


def test_a_run_that_another_engine_ends_is_one_trace(user):
    user.workflow(WAITS)
    process = user.start("run", "w.yml", "--json")
    run = user.await_event(process, lambda event: event["event"] == "step.started" and event["step"] == 1)[
        "run"
    ]
    live, before = steps_of(user, run)
    assert not live["otherData"]["complete"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    user.witness.with_suffix(".go").touch()
    done = user.relevo("resume", run, "--json")
    assert done.code == 0, done.err
    trace, steps = steps_of(user, run)
    assert trace["otherData"]["complete"]
    assert steps[:2] == before, "what one engine told another one tells, too"
    assert len(set(steps)) == len(steps) == 4
    assert [line[1] for line in told(user)] == [parent for _, parent in steps]


def test_a_run_writes_its_trace_at_its_end(user):
    user.workflow(TOLD.replace("- uses: ./act", "- run: exit 3"))
    done = user.relevo("run", "w.yml", "--json", "--trace", "t.json")
    assert done.code == 1
    assert (user.tree / "t.json").read_bytes() == user.relevo("trace", "-o", "-").out
    user.relevo("trace", done.run[:17], "-o", "again.json")
    assert (user.tree / "t.json").read_bytes() == (user.tree / "again.json").read_bytes()


def test_a_trace_that_cannot_be_written_is_said_before_anything_runs(user):
    user.workflow(TOLD)
    done = user.relevo("run", "w.yml", "--trace", "nowhere/t.json")
    assert done.code == 2
    assert "there is no folder nowhere" in done.err
    assert not user.witness.exists()
    assert user.relevo("trace").code == 2
