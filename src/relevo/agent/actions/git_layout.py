"""Laying a snapshot out as a git repository: the other half of `assembly/snapshot.py`. Blocking; no network, no hooks."""

from __future__ import annotations

import os
from typing import IO, Final

from msgspec import Struct

from relevo.domain.errors import RelevoError
from relevo.protocol.snapshot import (
    HEADER_LIMIT_BYTES,
    MAGIC,
    SnapshotHeader,
    SnapshotInvalid,
    decode_header,
)
from relevo.runtime import git

_REMOTE: Final = "refs/remotes/origin/"


class RefNotThere(RelevoError):
    """The snapshot has no such branch, tag or commit."""

    def __init__(self, ref: str, header: SnapshotHeader) -> None:
        known = sorted({name.removeprefix(_REMOTE).removeprefix("refs/tags/") for name in header.refs})
        shown = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
        super().__init__(
            f"the run's snapshot has no branch, tag or commit {ref!r}; it has {shown or 'only its own commit'}"
        )
        self.ref = ref


class Request(Struct, frozen=True):
    """What is to be laid out."""

    target: str  #: absolute path of the folder
    ref: str = ""  #: branch, tag or full commit id; "": what the snapshot is of
    depth: int = 1  #: 1: without parents, when nothing else is asked; anything else: with all there is
    tags: bool = False
    clean: bool = True  #: remove what lies in the folder; False: only tracked files are overwritten
    sparse: tuple[str, ...] = ()
    sparse_cone: bool = True


class Layout(Struct, frozen=True):
    """What was laid out."""

    commit: str
    branch: str  #: "": detached
    full_history: bool


def lay_out(source: str, request: Request) -> Layout:
    """Make `request.target` a git repository with the snapshot in the file `source`.

    Raises RefNotThere, SnapshotInvalid, GitFailed, OSError; what was begun in the target stays there then.
    """
    with open(source, "rb", buffering=0) as file:
        header = read_header(file)
        _make_room(request)
        git_dir = os.path.join(request.target, ".git")
        _make_git_dir(git_dir, header)
        env = git.isolated(GIT_DIR=git_dir, GIT_WORK_TREE=request.target)
        _unpack(file, env, request.target)
    commit, branch = _resolve(request.ref, header, env, request.target)
    history = request.depth != 1 and commit not in header.shallow
    _write_refs(git_dir, header, request, commit, branch)
    if request.sparse:
        _set_sparse(request, env)
    git.run(
        ["-c", "core.hooksPath=/dev/null", "read-tree", "--reset", "-u", commit],
        env=env,
        cwd=request.target,
    )
    return Layout(commit, branch, history)


def read_header(file: IO[bytes]) -> SnapshotHeader:
    """The header of a snapshot; leaves the file at its pack. Raises SnapshotInvalid."""
    start = file.read(65_536)
    if not start.startswith(MAGIC):
        raise SnapshotInvalid(f"this is no snapshot: it begins with {start[: len(MAGIC)]!r}")
    while (end := start.find(b"\n", len(MAGIC))) < 0:
        more = file.read(1 << 20)
        if not more or len(start) > HEADER_LIMIT_BYTES:
            raise SnapshotInvalid("the snapshot's header has no end")
        start += more
    file.seek(end + 1)
    return decode_header(start[len(MAGIC) : end])


def _make_room(request: Request) -> None:
    import shutil

    os.makedirs(request.target, exist_ok=True)
    with os.scandir(request.target) as entries:
        found = [entry for entry in entries if request.clean or entry.name == ".git"]
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def _make_git_dir(git_dir: str, header: SnapshotHeader) -> None:
    for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info"):
        os.makedirs(os.path.join(git_dir, folder))
    _write(git_dir, "HEAD", f"{header.commit}\n")
    lines = [
        "[core]",
        f"\trepositoryformatversion = {0 if header.object_format == 'sha1' else 1}",
        "\tfilemode = true",
        "\tbare = false",
        "\tlogallrefupdates = true",
    ]
    for key, value in header.config.items():
        section, _, name = key.partition(".")
        lines += [f"[{section}]", f"\t{name} = {_quoted(value)}"]
    if header.object_format != "sha1":
        lines += ["[extensions]", f"\tobjectformat = {header.object_format}"]
    if header.remote_url:
        lines += [
            '[remote "origin"]',
            f"\turl = {_quoted(header.remote_url)}",
            f"\tfetch = +refs/heads/*:{_REMOTE}*",
        ]
    # Steps must not meet a clean-up in the background that outlives them.
    lines += ["[gc]", "\tauto = 0", ""]
    _write(git_dir, "config", "\n".join(lines))


def _unpack(file: IO[bytes], env: dict[str, str], cwd: str) -> None:
    import subprocess

    # git reads the descriptor from where the header ended.
    done = subprocess.run(
        ["git", "index-pack", "--stdin"], stdin=file, env=env, cwd=cwd, capture_output=True, check=False
    )
    if done.returncode:
        raise git.GitFailed(["index-pack"], done.returncode, done.stderr)


def _resolve(ref: str, header: SnapshotHeader, env: dict[str, str], cwd: str) -> tuple[str, str]:
    """(commit, branch) that a `ref` input means."""
    own = {"", "HEAD", header.commit, header.branch, f"refs/heads/{header.branch}"}
    if ref in own:
        # A commit named by its id leaves HEAD detached, as on GitHub.
        return header.commit, "" if ref == header.commit else header.branch
    if branch := header.refs.get(_REMOTE + ref.removeprefix("refs/heads/")):
        return branch, ref.removeprefix("refs/heads/")
    wanted = header.refs.get("refs/tags/" + ref.removeprefix("refs/tags/"), ref)
    if not _is_object_id(wanted):
        raise RefNotThere(ref, header)
    found = git.run(
        ["rev-parse", "--quiet", "--verify", f"{wanted}^{{commit}}"], env=env, cwd=cwd, accepted=(0, 1, 128)
    )
    if not found:
        raise RefNotThere(ref, header)
    return found.decode().strip(), ""


def _write_refs(git_dir: str, header: SnapshotHeader, request: Request, commit: str, branch: str) -> None:
    refs = dict(header.refs)
    shallow = header.shallow
    if request.depth == 1:
        shallow = (commit,)
        kept = {f"refs/tags/{tag}" for tag in header.tags_at_commit} if commit == header.commit else set()
        refs = {
            name: sha
            for name, sha in refs.items()
            if name in kept or (request.tags and name.startswith("refs/tags/"))
        }
    if branch:
        refs[_REMOTE + branch] = refs[f"refs/heads/{branch}"] = commit
        _write(git_dir, "HEAD", f"ref: refs/heads/{branch}\n")
    else:
        _write(git_dir, "HEAD", f"{commit}\n")
    _write(
        git_dir,
        "packed-refs",
        "# pack-refs with: sorted \n"
        + "".join(f"{refs[name]} {name}\n" for name in sorted(refs, key=str.encode)),
    )
    if shallow:
        _write(git_dir, "shallow", "".join(f"{sha}\n" for sha in shallow))
    if branch and header.remote_url:
        section = branch.replace("\\", "\\\\").replace('"', '\\"')
        with open(os.path.join(git_dir, "config"), "a", encoding="utf-8") as file:
            file.write(
                f'[branch "{section}"]\n\tremote = origin\n\tmerge = {_quoted("refs/heads/" + branch)}\n'
            )


def _set_sparse(request: Request, env: dict[str, str]) -> None:
    mode = "--cone" if request.sparse_cone else "--no-cone"
    patterns = "".join(f"{pattern}\n" for pattern in request.sparse)
    git.run(["sparse-checkout", "set", mode, "--stdin"], env=env, cwd=request.target, data=patterns.encode())


def _is_object_id(text: str) -> bool:
    return len(text) in (40, 64) and all(char in "0123456789abcdef" for char in text)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def _write(folder: str, name: str, text: str) -> None:
    with open(os.path.join(folder, name), "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
