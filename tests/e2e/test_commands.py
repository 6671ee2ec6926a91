"""What users do beside `relevo run`: cancel, retry, decide, look, resume, a second terminal, bad input."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest

SLOW = """on: workflow_dispatch
jobs:
  slow:
    runs-on: ubuntu-latest
    steps:
      - run: echo begun; exec sleep 1000
      - {if: always(), run: echo cleaned up >> $WITNESS}
"""
FLAKY = """on: workflow_dispatch
jobs:
  good: {runs-on: ubuntu-latest, steps: [{run: echo good >> $WITNESS}]}
  flaky:
    needs: good
    runs-on: ubuntu-latest
    steps: [{run: 'echo flaky >> $WITNESS; test $(grep -c flaky $WITNESS) -ge 2'}]
"""


def running(event):
    return event["event"] == "step.started"


def test_cancel_from_another_terminal_lets_always_steps_run(user):
    user.workflow(SLOW)
    process = user.start("run", "w.yml", "--json")
    run = user.await_event(process, running)["run"]
    assert user.relevo("cancel", run).code == 0
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b'"status":"cancelled"' in out.splitlines()[-1]
    assert user.witness.read_text() == "cleaned up\n"


def test_interrupt_cancels_the_run(user):
    user.workflow(SLOW)
    process = user.start("run", "w.yml", "--json")
    user.await_event(process, running)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert user.witness.read_text() == "cleaned up\n"


def test_a_second_interrupt_ends_it_at_once(user):
    stubborn = "trap '' INT TERM; touch $WITNESS.deaf; while :; do sleep 0.05; done"
    user.workflow(SLOW.replace("exec sleep 1000", stubborn).replace("echo cleaned up", f"{stubborn}; echo"))
    process = user.start("run", "w.yml", "--json")
    user.await_event(process, running)
    user.until(user.witness.with_suffix(".deaf").exists)
    process.send_signal(signal.SIGINT)
    user.await_event(process, lambda event: event["event"] == "job.cancelling")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert not user.witness.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminal_that_closes_leaves_the_run_and_resume_comes_back(user, number):
    user.workflow("""on: workflow_dispatch
jobs:
  a: {runs-on: ubuntu-latest, steps: [{run: "while [ ! -e $WITNESS.go ]; do sleep 0.02; done; echo done >> $WITNESS"}]}
""")
    process = user.start("run", "w.yml", "--json")
    run = user.await_event(process, running)["run"]
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert f"relevo resume {run}" in err.decode()
    user.witness.with_suffix(".go").touch()
    resumed = user.relevo("resume", "--json")
    assert (resumed.code, resumed.last["status"]) == (0, "succeeded")
    assert resumed.last["jobs"]["a"]["attempts"] == 1
    assert user.witness.read_text() == "done\n"
    again = user.relevo("resume")
    assert again.code == 0
    assert b"nothing to resume" in again.out + again.err.encode()


def test_retry_failed_runs_only_what_did_not_succeed(user):
    user.workflow(FLAKY)
    first = user.relevo("run", "w.yml", "--json")
    assert first.code == 1
    again = user.relevo("retry", first.run, "--failed", "--json")
    assert again.code == 0, again.err
    assert again.run != first.run
    assert {job: found["status"] for job, found in again.last["jobs"].items()} == {
        "good": "succeeded",
        "flaky": "succeeded",
    }
    assert user.witness.read_text().split() == ["good", "flaky", "flaky"]
    assert user.relevo("show", again.run).out.decode().count(first.run) == 1


def test_retry_runs_all_of_it_again(user):
    user.workflow(FLAKY)
    first = user.relevo("run", "w.yml", "--json")
    assert user.relevo("retry", first.run, "--json").code == 0
    assert user.witness.read_text().split() == ["good", "flaky", "good", "flaky"]


NUMBERS = """on: workflow_dispatch
jobs:
  a:
    runs-on: ubuntu-latest
    steps: [{run: 'echo $GITHUB_RUN_ID ${{ github.run_id }} $GITHUB_RUN_NUMBER ${{ github.run_number }} >> $WITNESS'}]
"""


def test_each_run_has_its_own_numbers_and_a_retry_those_of_the_run_that_it_retries(user):
    user.workflow(NUMBERS)
    first, second = user.relevo("run", "w.yml", "--json"), user.relevo("run", "w.yml", "--json")
    assert (first.code, second.code) == (0, 0)
    assert user.relevo("retry", first.run, "--json").code == 0
    one, other, again = (line.split() for line in user.witness.read_text().splitlines())
    assert again == one
    for numbers in (one, other):
        assert numbers[0] == numbers[1]
        assert numbers[2] == numbers[3]
        assert all(number.isdigit() for number in numbers)
    assert one[0] != other[0]
    assert int(one[2]) < int(other[2])


ARTIFACTS = """on: workflow_dispatch
jobs:
  good:
    runs-on: ubuntu-latest
    steps:
      - run: echo x > file
      - {uses: actions/upload-artifact@v4, with: {name: 'good-${{ github.run_attempt }}', path: file}}
  flaky:
    runs-on: ubuntu-latest
    steps:
      - run: echo x > file
      - {uses: actions/upload-artifact@v4, with: {name: 'flaky-${{ github.run_attempt }}', path: file}}
      - run: test ${{ github.run_attempt }} -ge 2
  look:
    needs: [good, flaky]
    if: always()
    runs-on: ubuntu-latest
    steps:
      - {uses: actions/download-artifact@v4, with: {path: all}}
      - run: echo $(ls all) >> $WITNESS
"""


def test_a_retry_sees_the_artifacts_of_jobs_that_were_not_run_again_and_no_others(user):
    user.workflow(ARTIFACTS)
    first = user.relevo("run", "w.yml", "--json")
    assert first.code == 1
    failed = user.relevo("retry", first.run, "--job", "flaky", "--json")
    assert failed.code == 0, failed.err
    assert user.relevo("retry", failed.run, "--job", "look", "--json").code == 0
    assert user.relevo("retry", failed.run, "--json").code == 0
    assert user.witness.read_text().splitlines() == [
        "flaky-1 good-1",
        "flaky-2 good-1",
        "flaky-2 good-1",
        "flaky-3 good-3",
    ]


def agent_of(user) -> int:
    import json

    with open(f"{user.env['RELEVO_HOME']}/agents/local/agent.json") as file:
        return json.load(file)[0]


HELD = """on: workflow_dispatch
jobs:
  deploy:
    runs-on: ubuntu-latest
    steps:
      - relevo: {idempotent: false}
        run: 'echo deployed >> $WITNESS; test $(wc -l < $WITNESS) -ge 2 || exec sleep 1000'
"""


@pytest.mark.parametrize("decision", ["retry", "fail"])
def test_a_step_that_is_not_idempotent_is_never_run_again_unasked(user, decision):
    user.workflow(HELD)
    process = user.start("run", "w.yml", "--json")
    run = user.await_event(process, running)["run"]
    user.until(lambda: user.witness.exists() and user.witness.read_text() == "deployed\n")
    os.kill(agent_of(user), signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == 3
    assert user.witness.read_text() == "deployed\n"
    args = ("retry", run, "--job", "deploy") if decision == "retry" else ("fail", run, "--job", "deploy")
    decided = user.relevo(*args)
    assert decided.code == (0 if decision == "retry" else 1), decided
    assert user.witness.read_text().count("deployed") == (2 if decision == "retry" else 1)


def test_a_second_terminal_takes_over_when_the_first_one_goes(user):
    user.workflow("""on: workflow_dispatch
jobs:
  a: {runs-on: ubuntu-latest, steps: [{run: 'while [ ! -e $WITNESS.go ]; do sleep 0.02; done; echo ${{ github.run_id }} >> $WITNESS'}]}
""")
    first = user.start("run", "w.yml", "--json", "--jobs", "2")
    user.await_event(first, running)
    second = user.start("run", "w.yml", "--json")
    user.await_event(second, running)
    first.kill()
    first.wait()
    user.witness.with_suffix(".go").touch()
    out, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert b'"status":"succeeded"' in out.splitlines()[-1]
    assert user.relevo("resume", "--json").code == 0
    assert len(user.witness.read_text().split()) == 2


def test_a_living_engine_shows_its_actors_and_what_it_counts(user):
    user.workflow(SLOW)
    process = user.start("run", "w.yml", "--json")
    run = user.await_event(process, running)["run"]
    actors = user.relevo("actors").out.decode()
    for path in ("/scheduler", "/orchestrator", f"/orchestrator/{run}", "/workers/local"):
        assert path in actors
    counted = user.relevo("metrics").out.decode()
    assert "relevo_runs_accepted_total 1" in counted
    assert "relevo_runs_live 1" in counted
    assert "relevo_store_commit_seconds_bucket" in counted
    for once in ("queue_wait", "attempt_start"):
        assert f"relevo_{once}_seconds_count 1" in counted
    assert "relevo_attempt_run_seconds_count 0" in counted, "it runs still"
    for name in ("process_resident_memory_bytes", "process_open_fds", "relevo_actors"):
        assert re.search(rf"^{name} [1-9]", counted, re.MULTILINE), name
    for counted_by_now in (
        "relevo_store_commit_appends_count",
        'relevo_gc_pause_seconds_count{generation="2"}',
    ):
        assert f"\n{counted_by_now} " in counted
    assert run not in counted
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert user.relevo("metrics").code == 2


def test_db_check_finds_all_well_after_runs(user):
    user.workflow(FLAKY)
    user.relevo("run", "w.yml")
    checked = user.relevo("db", "check")
    assert checked.code == 0
    assert "all is well" in checked.out.decode()


def test_prune_removes_old_runs_with_their_logs(user):
    user.workflow("on: workflow_dispatch\njobs:\n  a: {runs-on: ubuntu-latest, steps: [{run: echo x}]}\n")
    runs = [user.relevo("run", "w.yml", "--json").run for _ in range(3)]
    pruned = user.relevo("prune", "--keep", "1")
    assert pruned.out.decode().split() == runs[:2]
    home = user.env["RELEVO_HOME"]
    assert os.listdir(f"{home}/logs") == [runs[2]]
    assert user.relevo("show", runs[0]).code == 2
    assert user.relevo("show", runs[2]).code == 0
    assert user.relevo("db", "check").code == 0


BAD_INPUT = {
    "no such file": (["run", "nothing.yml"], None, "nothing.yml"),
    "no workflow at all": (["run"], None, "workflow"),
    "not yaml": (["run", "w.yml"], "on: [push\njobs: {", "w.yml:"),
    "not a mapping": (["run", "w.yml"], "- a\n- b\n", "w.yml:1:1"),
    "no jobs": (["run", "w.yml"], "on: push\n", "jobs"),
    "an event that does not start it": (
        ["run", "w.yml", "--event", "release"],
        "on: push\njobs: {a: {runs-on: ubuntu-latest, steps: [{run: x}]}}\n",
        "release",
    ),
    "an unknown job": (["run", "w.yml", "--job", "zzz"], SLOW, "zzz"),
    "a secret that is not set": (["run", "w.yml", "--secret", "NOT_SET_ANYWHERE"], SLOW, "NOT_SET_ANYWHERE"),
    "a run where there is none yet": (["show", "zzz"], None, "no run yet"),
    "a cancel of an unknown run": (["cancel", "zzz"], None, "zzz"),
    "an unknown option": (["run", "--zzz"], None, "--zzz"),
    "an unknown command": (["zzz"], None, "zzz"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_told_and_nothing_starts(user, name):
    args, text, part = BAD_INPUT[name]
    if text is not None:
        user.workflow(text)
    done = user.relevo(*args)
    assert done.code == 2, done
    assert part in done.err
    assert not user.witness.exists()


def test_a_home_that_cannot_be_written_is_told(user, tmp_path):
    user.workflow(SLOW)
    (tmp_path / "file").write_text("")
    done = user.relevo("run", "w.yml", env={"RELEVO_HOME": str(tmp_path / "file" / "home")})
    assert done.code == 2
    assert "RELEVO_HOME" in done.err


def test_a_home_of_a_newer_program_is_left_alone(user):
    import apsw

    user.workflow("on: workflow_dispatch\njobs:\n  a: {runs-on: ubuntu-latest, steps: [{run: echo x}]}\n")
    assert user.relevo("run", "w.yml").code == 0
    connection = apsw.Connection(f"{user.env['RELEVO_HOME']}/relevo.db")
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    for args in (["run", "w.yml"], ["runs"], ["show", "latest"]):
        done = user.relevo(*args)
        assert done.code == 2, (args, done)
        assert "999" in done.err


def test_more_jobs_than_the_limit_are_refused_with_how_to_raise_it(user):
    user.workflow("""on: workflow_dispatch
jobs:
  a:
    runs-on: ubuntu-latest
    strategy: {matrix: {x: [1, 2, 3], y: [1, 2]}}
    steps: [{run: "true"}]
""")
    done = user.relevo("run", "w.yml", env={"RELEVO_JOB_LIMIT": "5"})
    assert done.code in (1, 2)
    assert "RELEVO_JOB_LIMIT" in done.out.decode() + done.err
    assert user.relevo("run", "w.yml", env={"RELEVO_JOB_LIMIT": "6"}).code == 0


PYTHON_TEST = "import unittest\n\nclass A(unittest.TestCase):\n    def test_a(self): pass\n"
FIRST = {
    "nothing": ({}, "hello: say hello"),
    "make": ({"Makefile": "test:\n\techo tested\n"}, "make: test"),
    "python": ({"setup.cfg": "", "tests/__init__.py": "", "tests/test_a.py": PYTHON_TEST}, "python: test"),
}


@pytest.mark.parametrize(("files", "told"), FIRST.values(), ids=FIRST)
def test_the_first_workflow_is_good_and_runs(user, files, told):
    for name, text in files.items():
        (user.tree / name).parent.mkdir(exist_ok=True)
        (user.tree / name).write_text(text)
    made = user.relevo("init")
    assert made.code == 0, made
    assert told.encode() in made.out
    assert b"relevo run" in made.out
    assert user.relevo("check").code == 0
    ran = user.relevo("run")
    assert ran.code == 0, ran
    again = user.relevo("init")
    assert again.code == 2
    assert "relevo run .github/workflows/ci.yml" in again.err


CACHES = """
on: workflow_dispatch
jobs:
  a:
    runs-on: ubuntu-latest
    steps:
      - run: mkdir out; head -c 5000 /dev/zero > out/file
      - {uses: actions/cache/save@v4, with: {path: out, key: k}}
"""


def test_caches_are_counted_and_given_back(user):
    user.workflow(CACHES)
    assert user.relevo("run", "w.yml").code == 0
    told = {one["what"]: one["found"] for one in json.loads(user.relevo("doctor", "--json").out)["findings"]}
    assert told["caches"].startswith("1 cache of jobs, 5.")
    assert "1 cache would be removed" in user.relevo("prune", "--cache-size", "0", "--dry-run").err
    assert "cache" not in user.relevo("prune").err
    assert "1 cache removed, 5." in user.relevo("prune", "--cache-size", "0").err
    told = {one["what"]: one["found"] for one in json.loads(user.relevo("doctor", "--json").out)["findings"]}
    assert told["caches"].startswith("0 caches of jobs")


CANCELLED = """
on: workflow_dispatch
jobs:
  a:
    runs-on: ubuntu-latest
    steps:
      - {uses: actions/cache@v4, with: {path: out, key: k}}
      - run: mkdir out; echo data > out/file
      - {name: waits, run: sleep 1000}
"""


def test_a_cancelled_job_leaves_no_cache(user):
    user.workflow(CANCELLED)
    started = user.start("run", "w.yml", "--json")
    event = user.await_event(
        started, lambda event: event["event"] == "step.started" and event["name"] == "waits"
    )
    assert user.relevo("cancel", event["run"]).code == 0
    started.wait(60)
    folder = Path(user.env["RELEVO_HOME"]) / "agents/local/caches"
    assert not list(folder.rglob("*"))
    log = user.relevo("logs", event["run"], "a", "--raw").out.decode()
    assert "The job did not succeed: no cache is saved" in log


def test_a_drained_agent_stays_so_until_it_is_undrained(user):
    user.workflow(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps: [{run: echo ran >> $WITNESS}]\n"
    )
    assert user.relevo("drain", "nobody").code == 2
    assert user.relevo("drain", "--reason", "new kernel").code == 0  # no engine lives after it
    process = user.start("run", "w.yml", "--json")
    run = user.await_event(process, lambda event: event["event"] == "job.queued")["run"]
    told = (user.relevo("why", run, "--json").out for _ in range(100))  # the agent has yet to connect
    assert any(b"is drained (new kernel)" in one for one in told)
    assert not user.witness.exists()
    assert user.relevo("undrain").code == 0
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert user.witness.read_text() == "ran\n"
