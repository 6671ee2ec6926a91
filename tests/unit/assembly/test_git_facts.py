from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from relevo.assembly import git_facts, github_context
from relevo.assembly.snapshot import (
    Snapshot,
    changed_by,
    changed_paths,
    checkouts,
    comparison_base,
    wants_history,
)
from relevo.domain.errors import UserError
from relevo.orchestrator.api import Submission
from relevo.workflow.model import JobNode, JobSpec, Position, StepSpec, Workflow


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/pallets/click.git", ("pallets", "click")),
        ("https://github.com/pallets/click/", ("pallets", "click")),
        ("git@github.com:pallets/click.git", ("pallets", "click")),
        ("ssh://git@example.org:2222/group/sub/name.git", ("sub", "name")),
        ("/srv/git/name.git", ("", "")),
        ("file:///srv/git/name.git", ("", "")),
        ("../name", ("", "")),
        ("", ("", "")),
    ],
)
def test_owner_and_name(url: str, expected: tuple[str, str]) -> None:
    assert git_facts.split_remote(url) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:pass@host/a/b", "https://host/a/b"),
        ("https://token@host:8443/a/b@c", "https://host:8443/a/b@c"),
        ("git@host:a/b", "git@host:a/b"),
        ("ssh://git@host/a/b", "ssh://git@host/a/b"),
    ],
)
def test_credentials_are_stripped(url: str, expected: str) -> None:
    assert git_facts.strip_credentials(url) == expected


def test_facts_of_a_repository(repository: Path, git: Any) -> None:
    git(repository, "config", "user.name", "Grace Hopper")
    git(repository, "remote", "add", "upstream", "https://example.org/other/thing")
    git(repository, "remote", "add", "origin", "git@example.org:team/thing.git")
    git(repository, "tag", "v1.9")
    git(repository, "tag", "v1.10")
    facts = git_facts.read(str(repository))
    assert (facts.owner, facts.name, facts.actor) == ("team", "thing", "Grace Hopper")
    assert (facts.branch, facts.ref, facts.ref_name, facts.ref_type) == (
        "main",
        "refs/heads/main",
        "main",
        "branch",
    )
    assert facts.tags == ("v1.10", "v1.9")
    assert facts.head is not None
    assert facts.head.message == "First\n\nwith a body"
    assert facts.head.parents == ()
    assert facts.head.timestamp == "2023-11-14T22:13:20+00:00"


def test_the_remote_of_the_branch_comes_first(repository: Path, git: Any) -> None:
    git(repository, "remote", "add", "origin", "https://example.org/me/thing")
    git(repository, "remote", "add", "upstream", "https://example.org/they/thing")
    git(repository, "config", "branch.main.remote", "upstream")
    assert git_facts.read(str(repository)).owner == "they"


def test_a_branch_with_a_slash_and_a_detached_head(repository: Path, git: Any) -> None:
    git(repository, "checkout", "-q", "-b", "feature/x, y".replace(" ", ""))
    assert git_facts.read(str(repository)).branch == "feature/x,y"
    git(repository, "checkout", "-q", "--detach")
    facts = git_facts.read(str(repository))
    assert (facts.ref, facts.ref_name, facts.ref_type) == ("HEAD", "HEAD", "branch")


def test_the_default_branch(repository: Path, git: Any, tmp_path: Path) -> None:
    git(repository, "branch", "-m", "develop")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(clone))
    git(clone, "checkout", "-q", "-b", "topic")
    assert git_facts.read(str(clone)).default_branch == "develop"


def test_a_bare_repository(repository: Path, git: Any, tmp_path: Path) -> None:
    bare = tmp_path / "thing.git"
    git(tmp_path, "clone", "-q", "--bare", str(repository), str(bare))
    found = git_facts.find_repository(str(bare))
    assert found is not None
    assert found.bare
    assert git_facts.read(str(bare)).branch == "main"


def test_what_git_cannot_read_is_told(repository: Path) -> None:
    (repository / ".git" / "HEAD").write_text("nonsense\n")
    with pytest.raises(UserError, match="cannot be read"):
        git_facts.read(str(repository))


def test_changed_paths(repository: Path, git: Any) -> None:
    git(repository, "checkout", "-q", "-b", "topic")
    (repository / "committed").write_text("x")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "Second")
    git(repository, "mv", "run.sh", "moved.sh")
    (repository / "new").write_text("x")
    facts = git_facts.read(str(repository))
    base = comparison_base(facts, "push")
    assert base == git(repository, "rev-parse", "HEAD^")
    assert base == comparison_base(facts, "pull_request")
    assert changed_paths(facts, base) == ["committed", "moved.sh", "new", "run.sh"]
    assert changed_paths(facts, base, committed=True) == ["committed"]
    assert changed_paths(facts, "HEAD") == ["moved.sh", "new", "run.sh"]
    with pytest.raises(UserError, match="no commit 'nope'"):
        changed_paths(facts, "nope")


def test_a_push_is_compared_with_what_origin_has(repository: Path, git: Any, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(clone))

    def commit(name: str) -> None:
        (clone / name).write_text(name)
        git(clone, "add", "-A")
        git(clone, "commit", "-q", "-m", name)

    def changed(**options: Any) -> tuple[str, ...] | None:
        return changed_by(git_facts.read(str(clone)), "push", **options)

    (clone / "draft").write_text("x")
    assert changed() == ("draft",)
    commit("one")
    commit("two")
    assert changed() == ("draft", "one", "two")
    git(clone, "push", "-q", "origin", "HEAD:refs/heads/elsewhere")
    git(clone, "update-ref", "refs/remotes/origin/main", "HEAD")
    assert changed() == ("two",)  # all of it is there: the last push is meant
    (clone / "three").write_text("x")
    assert changed() == ("three",)
    assert changed(committed=True) == ("two",)
    git(clone, "checkout", "-q", "-b", "topic")
    commit("four")
    commit("five")
    assert changed() == ("five", "four", "three")  # a new branch: since it left the default one
    git(clone, "update-ref", "refs/remotes/origin/topic", "HEAD^")
    assert changed() == ("five",)
    git(clone, "checkout", "-q", "--detach")
    assert changed() == ("five",)


def test_there_is_nothing_to_compare_a_first_commit_with(repository: Path, tmp_path: Path) -> None:
    assert comparison_base(git_facts.read(str(repository)), "push") is None
    assert comparison_base(git_facts.read(str(tmp_path)), "push") is None


def _workflow(**with_: Any) -> Workflow:
    step = StepSpec(Position(1, 1), uses="Actions/Checkout@v4", with_=with_)
    spec = JobSpec("a", Position(1, 1), (step,))
    node = JobNode("a", Position(1, 1), spec)
    return Workflow("w.yml", None, None, {}, {}, None, {"a": node})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, False),
        ({"fetch-depth": 1}, False),
        ({"fetch-depth": 0}, True),
        ({"Fetch-Depth": "0"}, True),
        ({"fetch-depth": "${{ inputs.depth }}"}, True),
        ({"ref": "v1"}, True),
        ({"ref": ""}, False),
    ],
)
def test_when_history_is_needed(given: dict[str, Any], expected: bool) -> None:
    assert wants_history(checkouts(_workflow(**given))) is expected
    inner = StepSpec(Position(1, 1), uses="actions/checkout@v4", with_=given)
    assert wants_history(checkouts(_workflow(), [inner])) is expected


def _context(folder: Path, event: str = "push", snapshot: bool = True, **given: Any) -> dict[str, Any]:
    facts = git_facts.read(str(folder))
    taken = Snapshot("digest", "c" * 40, True, facts) if snapshot else None
    submission = Submission(".github/workflows/ci.yml", b"", event=event, inputs={"level": "3"})
    return github_context.build(
        submission, facts, taken, run_id=github_context.number_of("01ABC"), run_number="7", **given
    )


def test_the_context_of_a_push(repository: Path, git: Any) -> None:
    git(repository, "remote", "add", "origin", "https://github.com/team/thing.git")
    github = _context(repository, workflow_name="CI", run_attempt=2)
    head = git(repository, "rev-parse", "HEAD")
    assert github["repository"] == "team/thing"
    assert github["repository_owner"] == "team"
    assert github["ref"] == "refs/heads/main"
    assert github["sha"] == "c" * 40 == github["event"]["after"] == github["event"]["head_commit"]["id"]
    assert github["event"]["before"] == head
    assert github["event"]["head_commit"]["message"] == "First\n\nwith a body"
    assert (github["server_url"], github["api_url"]) == ("https://github.com", "https://api.github.com")
    assert (github["workflow"], github["run_number"], github["run_attempt"]) == ("CI", "7", "2")
    assert github["run_id"].isdigit()
    assert github["token"] == ""
    assert github["workflow_ref"] == "team/thing/.github/workflows/ci.yml@refs/heads/main"
    assert github["relevo_snapshot"] == "digest"


def test_the_context_of_a_pull_request(repository: Path, git: Any) -> None:
    git(repository, "checkout", "-q", "-b", "topic")
    git(repository, "remote", "add", "origin", "ssh://git@code.example.org:2222/team/thing.git")
    github = _context(repository, "pull_request")
    assert (github["head_ref"], github["base_ref"]) == ("topic", "main")
    assert github["event"]["pull_request"]["base"]["ref"] == "main"
    assert github["event"]["pull_request"]["title"] == "First"
    assert github["server_url"] == "https://code.example.org"


def test_the_context_of_a_plain_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    github = _context(tmp_path, "workflow_dispatch", snapshot=False)
    assert github["event"]["inputs"] == {"level": "3"}
    assert github["repository"].startswith("local/")
    assert github["sha"] == "0" * 40
    assert "relevo_snapshot" not in github
    assert github["server_url"] == "https://localhost"
