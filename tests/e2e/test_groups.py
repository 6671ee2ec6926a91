"""Two runs of one concurrency group, as users start them."""

from __future__ import annotations

import signal

WORKFLOW = """on: workflow_dispatch
concurrency: {group: deploy, HOW}
jobs:
  a:
    runs-on: ubuntu-latest
    steps:
      - run: |
          echo begins >> $WITNESS
          while [ ! -e $WITNESS.go ]; do sleep 0.05; done
          echo ends >> $WITNESS
"""


def begun(user, process):
    return user.await_event(process, lambda event: event["event"] == "step.started")


def rest(user, process):
    return user.await_event(process, lambda event: "jobs" in event)


def test_the_second_begins_when_the_first_has_ended_though_the_engine_is_killed(user):
    user.workflow(WORKFLOW.replace("HOW", "queue: max"))
    first = user.start("run", "w.yml", "--json")
    begun_run = begun(user, first)
    second = user.start("run", "w.yml", "--json")
    waiting = user.await_event(second, lambda event: event["event"] == "run.waiting")
    assert waiting["group"] == "deploy"
    told = user.relevo("why", waiting["run"])
    assert told.out.decode() == (
        f"run {waiting['run']} waits for concurrency group 'deploy', which run {begun_run['run']} has\n"
    )
    [wait] = user.relevo("why", waiting["run"], "--json").events[0]["waits"]
    assert (wait["kind"], wait["job"]) == ("group", "")
    assert "waits for concurrency group 'deploy'" in user.relevo("show", waiting["run"]).out.decode()
    first.send_signal(signal.SIGKILL)  # it was the engine; the second takes over
    first.communicate()
    user.witness.with_suffix(".go").touch()
    assert rest(user, second)["status"] == "succeeded"
    assert user.witness.read_text().splitlines() == ["begins", "ends"] * 2
    assert [row["status"] for row in user.relevo("runs", "--json").events] == ["succeeded"] * 2


def test_a_newer_run_cancels_the_one_at_work_and_that_says_why(user):
    user.workflow(WORKFLOW.replace("HOW", "cancel-in-progress: true"))
    first = user.start("run", "w.yml", "--json")
    begun(user, first)
    second = user.start("run", "w.yml", "--json")
    newer = user.await_event(second, lambda event: event["event"] == "run.accepted")["run"]
    cancelled = user.await_event(first, lambda event: event["event"] == "run.cancelling")
    assert cancelled["reason"] == f"run {newer} asked for concurrency group 'deploy' with cancel-in-progress"
    assert rest(user, first)["status"] == "cancelled"
    user.witness.with_suffix(".go").touch()  # not before: a step that ends by itself is not cancelled
    assert rest(user, second)["status"] == "succeeded"


def test_why_of_what_does_not_wait_and_of_what_is_not_there(user):
    user.workflow("on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps: [{run: 'true'}]\n")
    assert user.relevo("run", "w.yml", "--quiet").code == 0
    assert user.relevo("why").out.endswith(b"has ended: succeeded\n")
    assert user.relevo("why", "latest", "a").out.endswith(b"a has ended: succeeded\n")
    wrong = user.relevo("why", "latest", "b")
    assert wrong.code == 2
    assert "has no job 'b'" in wrong.err
    assert "its jobs: a" in wrong.err
