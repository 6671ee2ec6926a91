"""Snapshot and layout together: what is taken of a working tree is what a job gets."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relevo.agent.actions.git_layout import Layout, RefNotThere, Request, lay_out
from relevo.assembly import borrowed_git
from relevo.assembly import snapshot as snapshots
from relevo.domain.errors import UserError
from relevo.protocol.snapshot import SnapshotInvalid

Tree = Callable[[Path], dict[bytes, tuple[str, bytes]]]


class Places:
    """Takes snapshots of one folder and lays them out in another."""

    def __init__(self, blobs: Any, base: Path) -> None:
        self.blobs = blobs
        self.base = base
        self.count = 0

    async def take(self, folder: Path, **given: Any) -> snapshots.Snapshot:
        given = {"committed": False, "history": False, **given}
        taken = await snapshots.take(str(folder), blobs=self.blobs, **given)
        assert self.blobs.open == 0
        return taken

    def lay_out(self, taken: snapshots.Snapshot, **given: Any) -> tuple[Path, Layout]:
        self.count += 1
        blob = self.base / f"blob-{self.count}"
        blob.write_bytes(self.blobs.held[taken.digest])
        given.setdefault("target", str(self.base / f"out-{self.count}"))
        layout = lay_out(str(blob), Request(**given))
        return Path(given["target"]), layout


@pytest.fixture
def places(blobs: Any, tmp_path: Path) -> Places:
    return Places(blobs, tmp_path)


async def test_a_clean_tree_is_its_head_commit(
    places: Places, repository: Path, git: Any, tree: Tree
) -> None:
    taken = await places.take(repository)
    out, layout = places.lay_out(taken)
    assert taken.commit == git(repository, "rev-parse", "HEAD") == git(out, "rev-parse", "HEAD")
    assert not taken.dirty
    assert tree(out) == tree(repository)
    assert layout == Layout(taken.commit, "main", False)
    assert git(out, "status", "--porcelain", "--ignored") == ""
    assert git(out, "log", "--format=%an %s") == "Ada First"
    assert git(out, "rev-parse", "--abbrev-ref", "HEAD") == "main"
    assert git(out, "rev-parse", "origin/main") == taken.commit
    git(out, "fsck", "--strict")


async def test_changes_become_a_commit_on_top_of_head(
    places: Places, repository: Path, git: Any, tree: Tree
) -> None:
    (repository / ".gitignore").write_text("*.log\n")
    (repository / "noise.log").write_text("ignored")
    (repository / "new file").write_bytes(b"\x00\xff")
    (repository / "run.sh").chmod(0o644)
    (repository / "README").unlink()
    (repository / "link").symlink_to("new file")
    taken = await places.take(repository, history=True)
    out, _ = places.lay_out(taken, depth=0)
    expected = tree(repository)
    del expected[b"noise.log"]
    assert tree(out) == expected
    assert taken.dirty
    assert git(out, "rev-parse", "HEAD^") == git(repository, "rev-parse", "HEAD")
    assert git(out, "status", "--porcelain") == ""
    assert "Working tree on top of" in git(out, "log", "-1", "--format=%s")


async def test_the_repository_is_left_untouched(places: Places, repository: Path) -> None:
    (repository / "README").write_text("staged or not, nobody asked to add it\n")

    def everything() -> dict[str, tuple[int, bytes]]:
        # git renews the time of objects that it meets again, so that a clean-up spares them: no change of content.
        return {
            path: (0 if "/objects/" in path else os.stat(path).st_mtime_ns, Path(path).read_bytes())
            for folder, _, files in os.walk(repository)
            for path in (os.path.join(folder, name) for name in files)
        }

    before = everything()
    await places.take(repository, history=True)
    assert everything() == before


async def test_the_same_bytes_give_the_same_snapshot(places: Places, repository: Path) -> None:
    (repository / "more").write_text("x")
    first = await places.take(repository)
    assert (await places.take(repository)).digest == first.digest
    (repository / "more").write_text("y")
    assert (await places.take(repository)).commit != first.commit


async def test_a_change_within_the_clock_tick_of_the_index_is_seen(
    places: Places, repository: Path, git: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git tells by the index' own time which entries it must look at again: a copy must keep it."""
    readme = repository / "README"
    long_ago = (1_700_000_000, 1_700_000_000)
    os.utime(readme, long_ago)
    git(repository, "update-index", "--refresh")
    readme.write_text("HELLO\n")  # the same size, and, as within one tick, the same time
    os.utime(readme, long_ago)
    os.utime(repository / ".git" / "index", long_ago)
    # The time of the inode cannot be set back, so that git must be told to look away.
    monkeypatch.setattr(borrowed_git, "_SETTINGS", (*borrowed_git._SETTINGS, "core.trustctime=false"))
    out, _ = places.lay_out(await places.take(repository))
    assert (out / "README").read_text() == "HELLO\n"


async def test_committed_takes_head(places: Places, repository: Path) -> None:
    (repository / "README").write_text("changed\n")
    (repository / "new").write_text("x")
    taken = await places.take(repository, committed=True)
    out, _ = places.lay_out(taken)
    assert (out / "README").read_text() == "hello\n"
    assert not (out / "new").exists()
    assert not taken.dirty


async def test_no_commits_yet(places: Places, tmp_path: Path, git: Any) -> None:
    folder = tmp_path / "fresh"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "trunk")
    (folder / "a").write_text("a")
    taken = await places.take(folder)
    out, layout = places.lay_out(taken)
    assert (out / "a").read_text() == "a"
    assert layout.branch == "trunk"
    assert taken.facts.head is None
    assert git(out, "rev-list", "--count", "HEAD") == "1"
    with pytest.raises(UserError, match="nothing is committed"):
        await places.take(folder, committed=True)


async def test_detached_head_at_a_tag(places: Places, repository: Path, git: Any) -> None:
    git(repository, "tag", "v1.2.0")
    git(repository, "tag", "-a", "v1.10.0", "-m", "a tag with a message")
    git(repository, "checkout", "-q", "--detach")
    taken = await places.take(repository)
    assert (taken.ref, taken.ref_name, taken.facts.ref_type) == ("refs/tags/v1.10.0", "v1.10.0", "tag")
    out, layout = places.lay_out(taken)
    assert layout.branch == ""
    assert git(out, "describe") == "v1.10.0"
    assert git(out, "rev-parse", "--abbrev-ref", "HEAD") == "HEAD"


async def test_a_folder_that_is_no_repository(places: Places, tmp_path: Path, tree: Tree, git: Any) -> None:
    folder = tmp_path / "plain"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "x").write_text("x")
    (folder / ".gitignore").write_text("*\n")
    (folder / "inner" / ".git").mkdir(parents=True)
    (folder / "inner" / "kept").write_text("kept")
    os.mkfifo(folder / "pipe")
    taken = await places.take(folder)
    out, _ = places.lay_out(taken)
    assert tree(out) == {
        b"deep/er/x": ("file", b"x"),
        b".gitignore": ("file", b"*\n"),
        b"inner/kept": ("file", b"kept"),
    }
    assert taken.repository == "local/plain"
    assert git(out, "status", "--porcelain") == ""


async def test_an_empty_folder_and_none_at_all_are_refused(places: Places, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no files"):
        await places.take(tmp_path / "empty")
    with pytest.raises(UserError, match="is no folder"):
        await places.take(tmp_path / "nowhere")


async def test_a_subfolder_stands_for_its_repository(places: Places, repository: Path) -> None:
    (repository / "sub").mkdir()
    (repository / "sub" / "x").write_text("x")
    out, _ = places.lay_out(await places.take(repository / "sub"))
    assert (out / "README").exists()
    assert (out / "sub" / "x").exists()


async def test_a_folder_that_its_repository_ignores_stands_alone(places: Places, repository: Path) -> None:
    (repository / ".gitignore").write_text("*\n")
    (repository / "project").mkdir()
    (repository / "project" / "x").write_text("x")
    out, _ = places.lay_out(await places.take(repository / "project"))
    assert sorted(os.listdir(out)) == [".git", "x"]


async def test_a_linked_worktree(places: Places, repository: Path, git: Any, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(repository, "worktree", "add", "-q", "-b", "side", str(linked))
    (linked / "only here").write_text("x")
    taken = await places.take(linked)
    assert taken.ref_name == "side"
    out, _ = places.lay_out(taken)
    assert (out / "only here").exists()


async def test_a_worktree_that_lost_its_repository_is_named(places: Places, tmp_path: Path) -> None:
    folder = tmp_path / "lost"
    folder.mkdir()
    (folder / ".git").write_text("gitdir: /nowhere/at/all\n")
    with pytest.raises(UserError, match="leads to no repository"):
        await places.take(folder)


async def test_submodules_are_links_without_content(
    places: Places, repository: Path, git: Any, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    shutil.copytree(repository, library)
    git(repository, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "lib")
    git(repository, "commit", "-q", "-m", "with a submodule")
    out, _ = places.lay_out(await places.take(repository))
    assert os.listdir(out / "lib") == []
    assert git(out, "ls-tree", "HEAD", "lib").startswith("160000 commit")


async def test_a_nested_repository_without_commits_is_left_out(
    places: Places, repository: Path, git: Any
) -> None:
    for name in ("nested", "we[i]rd*"):
        (repository / name).mkdir()
        git(repository / name, "init", "-q")
        (repository / name / "x").write_text("x")
    (repository / "new").write_text("x")
    out, _ = places.lay_out(await places.take(repository))
    assert sorted(os.listdir(out)) == [".git", "README", "new", "run.sh"]


async def test_filters_hooks_and_monitors_are_not_run(places: Places, repository: Path, git: Any) -> None:
    witness = repository.parent / "witness"
    (repository / ".gitattributes").write_text("*.bin filter=evil\n")
    (repository / "a.bin").write_bytes(b"raw")
    program = f"touch {witness}; cat"
    for key in ("filter.evil.clean", "filter.evil.smudge", "filter.evil.process", "core.fsmonitor"):
        git(repository, "config", key, program)
    git(repository, "config", "filter.evil.required", "true")
    # The agent's own user may have configured such a program, too.
    shutil.copy(repository / ".git" / "config", Path(os.environ["HOME"]) / ".gitconfig")
    for hook in ("post-index-change", "pre-commit", "post-checkout", "reference-transaction"):
        path = repository / ".git" / "hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\ntouch {witness}\n")
        path.chmod(0o755)
    out, _ = places.lay_out(await places.take(repository))
    assert (out / "a.bin").read_bytes() == b"raw"
    assert not witness.exists()


async def test_the_callers_git_variables_do_not_leak(
    places: Places, repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in a hook, where git sets them."""
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    out, _ = places.lay_out(await places.take(repository))
    assert (out / "README").exists()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_a_repository_of_somebody_else(places: Places, repository: Path) -> None:
    for folder, _, files in os.walk(repository):
        os.chown(folder, 65_534, 65_534)
        for name in files:
            os.chown(os.path.join(folder, name), 65_534, 65_534)
    (repository / "new").write_text("x")
    out, _ = places.lay_out(await places.take(repository, history=True))
    assert (out / "new").exists()


async def test_line_ends_come_out_as_they_were(
    places: Places, repository: Path, git: Any, tree: Tree
) -> None:
    git(repository, "config", "core.autocrlf", "true")
    (repository / "dos.txt").write_bytes(b"a\r\nb\r\n")
    (repository / ".gitattributes").write_bytes(b"*.cmd text eol=crlf\r\n")
    (repository / "x.cmd").write_bytes(b"dir\r\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "line ends")
    (repository / "README").unlink()
    git(repository, "checkout", "-q", "README", "run.sh")
    for name in ("README", "run.sh"):
        (repository / name).unlink()
    git(repository, "checkout", "-q", ".")
    taken = await places.take(repository)
    assert not taken.dirty
    out, _ = places.lay_out(taken)
    assert tree(out) == tree(repository)
    assert git(out, "status", "--porcelain") == ""


async def test_history_branches_and_tags(places: Places, repository: Path, git: Any) -> None:
    git(repository, "tag", "-a", "v1", "-m", "x")
    git(repository, "branch", "release")
    (repository / "b").write_text("b")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "Second")
    taken = await places.take(repository, history=True)
    out, layout = places.lay_out(taken, depth=0)
    assert layout.full_history
    assert git(out, "rev-list", "--count", "HEAD") == "2"
    assert git(out, "describe").startswith("v1-1-g")
    assert git(out, "merge-base", "origin/release", "HEAD") == git(repository, "rev-parse", "v1^{}")
    shallow, layout = places.lay_out(taken, depth=1)
    assert git(shallow, "rev-list", "--count", "HEAD") == "1"
    assert not layout.full_history
    assert git(shallow, "tag") == ""


@pytest.mark.parametrize("name", ["v1", "refs/tags/v1", "release", "refs/heads/release", "SHA"])
async def test_another_ref(places: Places, repository: Path, git: Any, name: str) -> None:
    git(repository, "tag", "-a", "v1", "-m", "x")
    git(repository, "branch", "release")
    first = git(repository, "rev-parse", "HEAD")
    (repository / "b").write_text("b")
    taken = await places.take(repository, history=True)
    out, layout = places.lay_out(taken, depth=0, ref=first if name == "SHA" else name)
    assert layout.commit == first == git(out, "rev-parse", "HEAD")
    assert not (out / "b").exists()
    assert layout.branch == ("release" if "release" in name else "")
    assert git(out, "status", "--porcelain") == ""


@pytest.mark.parametrize("name", ["nope", "f" * 40, "HEAD~1", "--help", "refs/pull/1/merge"])
async def test_a_ref_that_is_not_there_is_named(places: Places, repository: Path, name: str) -> None:
    taken = await places.take(repository)
    with pytest.raises(RefNotThere, match="it has main"):
        places.lay_out(taken, ref=name)


async def test_a_shallow_clone_gives_what_it_has(
    places: Places, repository: Path, git: Any, tmp_path: Path
) -> None:
    for name in "bcd":
        (repository / name).write_text(name)
        git(repository, "add", "-A")
        git(repository, "commit", "-q", "-m", name)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--depth", "2", f"file://{repository}", str(clone))
    out, _ = places.lay_out(await places.take(clone, history=True), depth=0)
    assert git(out, "rev-list", "--count", "HEAD") == "2"
    git(out, "fsck", "--strict")


async def test_credentials_do_not_travel(places: Places, repository: Path, git: Any) -> None:
    git(repository, "remote", "add", "origin", "https://ada:hunter2@git.example.org/team/project.git")
    taken = await places.take(repository)
    assert taken.repository == "team/project"
    assert b"hunter2" not in places.blobs.held[taken.digest]
    out, _ = places.lay_out(taken)
    assert git(out, "remote", "get-url", "origin") == "https://git.example.org/team/project.git"


async def test_ignore_rules_of_the_user_and_of_the_clone(places: Places, repository: Path, git: Any) -> None:
    home = Path(os.environ["HOME"])
    (home / "ignored").write_text("*.swp\n")
    (home / ".gitconfig").write_text("[core]\n\texcludesFile = ~/ignored\n")
    (repository / ".git" / "info").mkdir(exist_ok=True)
    (repository / ".git" / "info" / "exclude").write_text("private")
    for name in ("x.swp", "private", "public"):
        (repository / name).write_text("x")
    out, _ = places.lay_out(await places.take(repository))
    assert sorted(os.listdir(out)) == [".git", "README", "public", "run.sh"]


async def test_the_scratch_folder_inside_of_the_tree_is_not_taken(
    places: Places, tmp_path: Path, git: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "all"
    (folder / "tmp").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    (folder / "a").write_text("a")
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "tmp"))
    out, _ = places.lay_out(await places.take(folder))
    assert sorted(os.listdir(out)) == [".git", "a"]
    assert os.listdir(folder / "tmp") == []


async def test_sockets_are_no_content(
    places: Places, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("sock")
        assert not (await places.take(repository)).dirty


async def test_a_damaged_repository_is_named(places: Places, repository: Path) -> None:
    for path in (repository / ".git" / "objects").glob("??/*"):
        path.chmod(0o600)
        path.write_bytes(b"garbage")
    with pytest.raises(UserError, match="cannot be"):
        await places.take(repository)


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
async def test_a_file_that_cannot_be_read_is_named(places: Places, repository: Path) -> None:
    (repository / "secret").touch(mode=0)
    with pytest.raises(UserError, match=r"secret.*Permission denied"):
        await places.take(repository)


async def test_what_is_no_snapshot_is_refused(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"PK\x03\x04")
    with pytest.raises(SnapshotInvalid, match="no snapshot"):
        lay_out(str(tmp_path / "blob"), Request(target=str(tmp_path / "out")))


async def test_clean_or_not(places: Places, repository: Path, tmp_path: Path) -> None:
    target = tmp_path / "again"
    target.mkdir()
    (target / "left over").write_text("x")
    (target / "README").write_text("changed by a step")
    taken = await places.take(repository)
    places.lay_out(taken, target=str(target), clean=False)
    assert (target / "README").read_text() == "hello\n"
    assert (target / "left over").exists()
    places.lay_out(taken, target=str(target))
    assert not (target / "left over").exists()


async def test_sparse(places: Places, repository: Path, git: Any) -> None:
    for name in ("docs", "src"):
        (repository / name).mkdir()
        (repository / name / "x").write_text(name)
    out, _ = places.lay_out(await places.take(repository), sparse=("docs",))
    assert (out / "docs" / "x").exists()
    assert not (out / "src").exists()
    assert (out / "README").exists()
    assert git(out, "status", "--porcelain") == ""


_name = (
    st.binary(min_size=1, max_size=12)
    .map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_"))
    .filter(lambda raw: raw not in (b".", b"..") and not raw.lower().startswith((b".git", b"git~")))
)
_entry = st.one_of(
    st.tuples(st.just("file"), st.binary(max_size=200)),
    st.tuples(st.just("exec"), st.binary(max_size=200)),
    st.tuples(st.just("link"), _name),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    entries=st.dictionaries(
        st.lists(_name, min_size=1, max_size=3).map(tuple), _entry, min_size=1, max_size=8
    ),
    versioned=st.booleans(),
)
async def test_any_tree_survives(
    blobs: Any, git: Any, tree: Tree, entries: dict[tuple[bytes, ...], tuple[str, bytes]], versioned: bool
) -> None:
    with tempfile.TemporaryDirectory() as base:
        source = Path(base) / "source"
        source.mkdir()
        if versioned:
            git(source, "init", "-q", "-b", "main")
        for parts, (kind, content) in entries.items():
            path = os.path.join(os.fsencode(source), *parts)
            try:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                if kind == "link":
                    os.symlink(content, path)
                    continue
                with open(path, "xb") as file:  # noqa: ASYNC230
                    file.write(content)
            except OSError:
                continue  # one entry lies where another has a folder
            os.chmod(path, 0o755 if kind == "exec" else 0o644)
        expected = tree(source)
        if not expected:
            return
        places = Places(blobs, Path(base))
        out, _ = places.lay_out(await places.take(source))
        assert tree(out) == expected
        assert git(out, "status", "--porcelain") == ""


@pytest.mark.parametrize("name", ["new\nline", '"quoted"', "#comment", "with space: and colon", "ünïcode"])
async def test_a_repository_in_an_odd_place(
    places: Places, repository: Path, git: Any, name: str, tree: Tree
) -> None:
    odd = repository.rename(repository.parent / name)
    (odd / "new").write_text("x")
    taken = await places.take(odd, history=True)
    out, _ = places.lay_out(taken, target=str(odd.parent / f"{name} out"), depth=0)
    assert tree(out) == tree(odd)
    assert git(out, "rev-list", "--count", "HEAD") == "2"


async def test_a_repository_of_sha256_objects(places: Places, tmp_path: Path, git: Any) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main", "--object-format=sha256")
    (folder / "a").write_text("a")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "First")
    (folder / "b").write_text("b")
    out, layout = places.lay_out(await places.take(folder, history=True), depth=0)
    assert len(layout.commit) == 64
    assert git(out, "rev-list", "--count", "HEAD") == "2"
    assert git(out, "status", "--porcelain") == ""


async def test_a_sparse_working_tree(places: Places, repository: Path, git: Any) -> None:
    for name in ("docs", "src"):
        (repository / name).mkdir()
        (repository / name / "x").write_text(name)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "folders")
    git(repository, "sparse-checkout", "set", "docs")
    assert not (repository / "src").exists()
    taken = await places.take(repository)
    assert not taken.dirty  # what is left out of the working tree is not deleted
    out, _ = places.lay_out(taken)
    assert (out / "src" / "x").exists()


async def test_a_conflict_is_taken_as_it_lies_there(places: Places, repository: Path, git: Any) -> None:
    git(repository, "checkout", "-q", "-b", "other")
    (repository / "README").write_text("theirs\n")
    git(repository, "commit", "-q", "-a", "-m", "theirs")
    git(repository, "checkout", "-q", "main")
    (repository / "README").write_text("ours\n")
    git(repository, "commit", "-q", "-a", "-m", "ours")
    with pytest.raises(AssertionError):
        git(repository, "merge", "-q", "other")
    out, _ = places.lay_out(await places.take(repository))
    assert "<<<<<<<" in (out / "README").read_text()


async def test_nothing_is_left_behind(
    places: Places, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    await places.take(repository)
    for path in (repository / ".git" / "objects").glob("??/*"):
        path.chmod(0o600)
        path.write_bytes(b"garbage")
    with pytest.raises(UserError):
        await places.take(repository)
    assert os.listdir(scratch) == []
    assert places.blobs.open == 0
