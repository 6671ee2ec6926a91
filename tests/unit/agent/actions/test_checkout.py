from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from relevo.agent.actions import checkout
from relevo.agent.actions.contract import ActionFailed
from relevo.protocol.snapshot import CONTEXT_KEY, SnapshotHeader, encode_header


def run_git(folder: Path, *arguments: str) -> bytes:
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    for role in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{role}_NAME": "Ada", f"GIT_{role}_EMAIL": "a@example.org"}
    return subprocess.run(["git", *arguments], cwd=folder, env=env, capture_output=True, check=True).stdout


@pytest.fixture
def snapshot(tmp_path: Path, engine: Any) -> str:
    """A snapshot of two commits in the engine; its digest."""
    folder = tmp_path / "project"
    folder.mkdir()
    run_git(folder, "init", "-q", "-b", "main")
    for name in ("first", "second"):
        (folder / name).write_text(name)
        run_git(folder, "add", "-A")
        run_git(folder, "commit", "-q", "-m", name)
    run_git(folder, "tag", "v1", "HEAD^")
    head = run_git(folder, "rev-parse", "HEAD").decode().strip()
    parent = run_git(folder, "rev-parse", "v1").decode().strip()
    pack = subprocess.run(
        ["git", "pack-objects", "--revs", "--stdout", "-q"],
        cwd=folder,
        input=f"{head}\n".encode(),
        capture_output=True,
        check=True,
    ).stdout
    header = SnapshotHeader(head, "main", {"refs/remotes/origin/main": head, "refs/tags/v1": parent})
    engine.blobs["digest"] = encode_header(header) + pack
    return head


@pytest.fixture
def ctx(context: Any, snapshot: str) -> Any:
    def make(**inputs: str) -> Any:
        made = context(**inputs)
        made.github[CONTEXT_KEY] = "digest"
        return made

    return make


async def test_the_workspace_becomes_the_repository(ctx: Any, snapshot: str) -> None:
    used = ctx()
    await checkout.main(used)
    assert sorted(os.listdir(used.workspace)) == [".git", "first", "second"]
    assert used.outputs == {"ref": "refs/heads/main", "commit": snapshot}
    assert run_git(Path(used.workspace), "rev-list", "--count", "HEAD") == b"1\n"
    assert os.listdir(used.temp) == []
    assert used.warnings == []


async def test_with_history_path_and_ref(ctx: Any) -> None:
    used = ctx(path="deep/er", ref="v1", fetch_depth="0")
    await checkout.main(used)
    assert sorted(os.listdir(Path(used.workspace) / "deep" / "er")) == [".git", "first"]
    assert used.outputs["ref"] == "v1"


@pytest.mark.parametrize("value", ["true", "recursive"])
async def test_submodules_are_refused(ctx: Any, value: str) -> None:
    with pytest.raises(ActionFailed, match="git submodule update"):
        await checkout.main(ctx(submodules=value))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"repository": "other/thing"}, "is not the repository of this run"),
        ({"ssh_key": "secret"}, "ssh-key"),
        ({"lfs": "true"}, "git lfs pull"),
        ({"submodules": "perhaps"}, "none of"),
        ({"path": "../outside"}, "outside of the workspace"),
        ({"path": "/etc"}, "outside of the workspace"),
        ({"ref": "nope"}, "no branch, tag or commit 'nope'"),
        ({"fetch_depth": "deep"}, "no whole number"),
        ({"clean": "perhaps"}, "no boolean"),
    ],
)
async def test_what_cannot_be_honoured_is_refused(ctx: Any, inputs: dict[str, str], message: str) -> None:
    used = ctx(**inputs)
    with pytest.raises(ActionFailed, match=message):
        await checkout.main(used)
    assert os.listdir(used.temp) == []


async def test_what_means_the_same_is_taken(ctx: Any) -> None:
    used = ctx(
        repository="Team/Thing",
        token="t",
        submodules="false",
        lfs="false",
        persist_credentials="false",
        path=".",
        set_safe_directory="true",
    )
    await checkout.main(used)
    assert used.warnings == []


async def test_unknown_inputs_are_warned_of(ctx: Any) -> None:
    used = ctx(fetch_dept="0")
    await checkout.main(used)
    assert used.warnings[0].startswith("Unexpected input(s) ['fetch-dept'], valid inputs are ['clean', ")


async def test_a_run_without_snapshot(context: Any) -> None:
    with pytest.raises(ActionFailed, match="without a snapshot"):
        await checkout.main(context())


async def test_a_damaged_or_missing_snapshot(ctx: Any, engine: Any) -> None:
    engine.blobs["digest"] = engine.blobs["digest"][:-30]
    with pytest.raises(ActionFailed, match="index-pack"):
        await checkout.main(ctx())
    del engine.blobs["digest"]
    with pytest.raises(ActionFailed, match="no blob:digest"):
        await checkout.main(ctx())


async def test_two_checkouts_side_by_side_and_one_over_another(ctx: Any) -> None:
    for inputs in ({"path": "a"}, {"path": "b", "ref": "v1"}, {"path": "a", "ref": "v1"}):
        used = ctx(**inputs)
        await checkout.main(used)
    for name in "ab":
        assert sorted(os.listdir(Path(used.workspace) / name)) == [".git", "first"]
