"""Starting a workflow as an event would, with its filters, in a repository."""

from __future__ import annotations

import os
import subprocess

import pytest

WORKFLOW = """on:
  push:
    branches: [main, 'release/**', '!release/**-alpha']
    paths: ['src/**', '!src/docs/**']
  pull_request:
    types: [opened, closed]
    paths-ignore: ['docs/**']
jobs:
  a:
    runs-on: ubuntu-latest
    steps: [{run: 'echo "${{ github.event_name }} ${{ github.event.action }}"'}]
"""


@pytest.fixture
def repository(user):
    def git(*args):
        who = {f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        subprocess.run(
            ["git", *args], cwd=user.tree, env={**os.environ, **who}, check=True, capture_output=True
        )

    user.workflow(WORKFLOW)
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-qm", "one")
    (user.tree / "src").mkdir()
    (user.tree / "src" / "a.py").write_text("1")
    git("add", ".")
    git("commit", "-qm", "two")
    return git


def said(user, done):
    return user.relevo("logs", done.run, "a", "--raw").out


def test_a_push_starts_by_its_filters(user, repository):
    done = user.relevo("run", "w.yml", "--event", "push", "--json")
    assert done.code == 0, done.err
    assert said(user, done) == b"push \n"
    repository("checkout", "-q", "-b", "release/1-alpha")
    refused = user.relevo("run", "w.yml", "--event", "push", "--json")
    assert refused.code == 2
    assert "the branch 'release/1-alpha' is none of main, release/**, !release/**-alpha" in refused.err
    repository("branch", "-m", "release/1")
    (user.tree / "src" / "docs").mkdir()
    (user.tree / "src" / "docs" / "a.md").write_text("x")
    refused = user.relevo("run", "w.yml", "--event", "push", "--json")
    assert "no changed file is one of src/**, !src/docs/**" in refused.err
    (user.tree / "src" / "a.py").write_text("2")
    assert user.relevo("run", "w.yml", "--event", "push", "--json").code == 0
    repository("commit", "-qam", "three [skip ci]")
    refused = user.relevo("run", "w.yml", "--event", "push", "--json")
    assert "the message of the commit says [skip ci]" in refused.err


def test_a_pull_request_starts_by_its_types(user, repository):
    repository("checkout", "-q", "-b", "topic")
    (user.tree / "new").write_text("x")
    for event, action in (("pull_request", b"opened"), ("pull_request:closed", b"closed")):
        done = user.relevo("run", "w.yml", "--event", event, "--json")
        assert done.code == 0, done.err
        assert said(user, done) == b"pull_request " + action + b"\n"
    for event, why in (
        ("pull_request:labeled", "'labeled' is not among the types opened, closed"),
        ("pull_request:close", "did you mean 'closed'?"),
        ("schedule", "does not start on 'schedule'"),
    ):
        refused = user.relevo("run", "w.yml", "--event", event, "--json")
        assert refused.code == 2
        assert why in refused.err
