"""What engine and agent have to say of themselves is in the home, and not between the lines of a run."""

from __future__ import annotations

import json

ONE = """on: push
jobs:
  test:
    runs-on: ubuntu-latest
    steps: [{run: "true"}]
"""


def said(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_engine_and_agent_tell_what_they_do_where_that_is_asked_for(user, tmp_path):
    user.workflow(ONE)
    done = user.relevo("run", "w.yml", "--json", env={"RELEVO_LOG": "info,json"})
    assert (done.code, done.err) == (0, "")
    home = tmp_path / "home"
    ours = [line for line in said(home / "engine.log") if line["level"] == "info"]
    assert {(line["message"], line.get("run"), line.get("agent")) for line in ours} == {
        ("an engine is open, its epoch is 1", None, None),
        ("an agent takes jobs", None, "local"),
        ("a run is asked for", done.run, None),
        ("a run ended: succeeded", done.run, None),
        ("an agent is gone", None, "local"),
        ("an engine is closed", None, None),
    }
    told = [line for line in said(home / "agents" / "local" / "agent.log") if "run" in line]
    assert [(line["message"], line["run"], line["job"], line["attempt"]) for line in told] == [
        ("an attempt begins", done.run, 0, 1),
        ("an attempt ended: succeeded", done.run, 0, 1),
    ]
    assert str(home / "engine.log") in user.relevo("doctor").out.decode()


def test_who_asks_for_nothing_gets_no_file(user, tmp_path):
    user.workflow(ONE)
    done = user.relevo("run", "w.yml", "--json")
    assert (done.code, done.err) == (0, "")
    log = tmp_path / "home" / "engine.log"
    assert not log.exists() or "held" in log.read_text(), "on a machine that stalls it has something to say"


def test_it_goes_to_stderr_too_where_that_is_asked_for(user):
    user.workflow(ONE)
    done = user.relevo("run", "w.yml", "--json", env={"RELEVO_LOG": "info,stderr"})
    assert f'message="a run ended: succeeded" run={done.run}' in done.err


def test_a_word_that_is_none_is_told_before_anything_runs(user):
    user.workflow(ONE)
    done = user.relevo("run", "w.yml", env={"RELEVO_LOG": "loud"})
    assert done.code == 2
    assert "RELEVO_LOG=loud: 'loud' is no word of it" in done.err
