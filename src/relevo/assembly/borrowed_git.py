"""A git folder of our own that borrows a repository's objects, index and ignore rules, and shares nothing else with it.

What is written goes into our folder; the repository's hooks, filters and monitors are unknown there, and nobody asks who
owns it. (git renews the time of borrowed objects that it meets again, so that a clean-up spares them: that is all.)
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from relevo.domain.errors import UserError
from relevo.runtime import git

if TYPE_CHECKING:
    from relevo.assembly.git_facts import GitFacts

#: How the bytes of files become objects and back; the same must hold where they are laid out again.
LAYOUT_KEYS: Final = ("core.autocrlf", "core.eol", "core.symlinks")
_INDEX_KEYS: Final = (*LAYOUT_KEYS, "core.filemode", "core.ignorecase")
_SETTINGS: Final = (
    "core.bigFileThreshold=32m",  # larger files are streamed, not held in memory
    "core.packedGitWindowSize=16m",
    "core.packedGitLimit=64m",
    "core.compression=1",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.splitIndex=false",  # else a shared index would be written beside the user's
    "core.hooksPath=/dev/null",
    "core.safecrlf=false",
    "diff.ignoreSubmodules=dirty",  # else git runs inside of each submodule
    "advice.addEmbeddedRepo=false",
)


def make(folder: str, facts: GitFacts) -> dict[str, str]:
    """Make `folder` such a git folder; returns the environment for git to use it. Blocking."""
    for name in ("objects/info", "refs", "info"):
        os.makedirs(os.path.join(folder, name))
    object_format = facts.config.get("extensions.objectformat", "sha1")
    config = "[core]\n\trepositoryformatversion = 1\n\tbare = false\n"
    config += f"[extensions]\n\tobjectformat = {object_format}\n"
    write(folder, "config", config.encode())
    write(folder, "HEAD", b"ref: refs/heads/snapshot\n")
    excluded = _exclude_itself(folder, facts.root)
    if facts.repository is not None:
        common = facts.repository.common_dir
        write(folder, "objects/info/alternates", _quoted(os.path.join(common, "objects")) + b"\n")
        _copy_index(os.path.join(facts.repository.git_dir, "index"), os.path.join(folder, "index"))
        excluded = contents(os.path.join(common, "info", "exclude")) + b"\n" + excluded
        if attributes := contents(os.path.join(common, "info", "attributes")):
            write(folder, "info/attributes", attributes)
    write(folder, "info/exclude", excluded)
    settings = [*_SETTINGS, *(f"{key}={facts.config[key]}" for key in _INDEX_KEYS if key in facts.config)]
    if ignored := facts.config.get("core.excludesfile"):
        settings.append(f"core.excludesFile={os.path.expanduser(ignored)}")
    return git.isolated(GIT_DIR=folder, GIT_WORK_TREE=facts.root, **_as_environment(settings))


def write_tree(facts: GitFacts, env: dict[str, str]) -> str:
    """The tree of the files as they lie there. Blocking: two git processes. Raises GitFailed, UserError when there are none."""
    if facts.repository is None:
        names = _files_below(facts.root)
        if not names:
            raise UserError(f"{facts.root} holds no files", hint="name the folder of the project")
        listed = b"".join(name + b"\0" for name in names)
        git.run(["update-index", "--add", "-z", "--stdin"], env=env, cwd=facts.root, data=listed)
    else:
        _add_all(facts, env)
    return git.run(["write-tree"], env=env, cwd=facts.root).decode().strip()


def contents(path: str) -> bytes:
    """The bytes of a file, none when it is not there."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return b""


def write(folder: str, name: str, data: bytes) -> None:
    """Write a file of the git folder."""
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data)


def _exclude_itself(folder: str, root: str) -> bytes:
    """A rule that ignores our folder when it lies in the working tree, as it does when that is /tmp."""
    real = os.path.realpath(folder)
    if not real.startswith(root.rstrip("/") + "/"):
        return b""
    relative = re.sub(rb"([\\*?\[ ])", rb"\\\1", os.fsencode(os.path.relpath(real, root)))
    return b"/" + relative + b"/\n"


def _as_environment(settings: list[str]) -> dict[str, str]:
    """Settings as git takes them from the environment, where neither quoting nor a length limit is in the way."""
    env = {"GIT_CONFIG_COUNT": str(len(settings))}
    for index, setting in enumerate(settings):
        env[f"GIT_CONFIG_KEY_{index}"], _, env[f"GIT_CONFIG_VALUE_{index}"] = setting.partition("=")
    return env


def _add_all(facts: GitFacts, env: dict[str, str]) -> None:
    left_out: list[bytes] = []
    while True:
        try:
            git.run(["add", "--all", "--", b":/", *left_out], env=env, cwd=facts.root)
            return
        except git.GitFailed as error:
            # A repository without commits inside of this one cannot be recorded: it is nobody's content yet.
            empty = re.search(r"^error: '(.+)/' does not have a commit checked out$", error.stderr, re.M)
            if empty is None or len(left_out) == 100:
                raise
            left_out.append(b":(top,exclude,literal)" + os.fsencode(empty[1]))


def _files_below(root: str) -> list[bytes]:
    """All files and links below a folder that is no repository, whatever they are called. Repositories below it count as
    folders; what is neither file nor link (sockets, pipes) is left out, as git does."""
    found: list[bytes] = []
    base = os.fsencode(root)
    pending = [base]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.name.lower() == b".git":
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
                    found.append(entry.path[len(base.rstrip(b"/")) + 1 :])
    return found


def _copy_index(source: str, target: str) -> None:
    """Copy the index with its time: git tells by it which entries it must look at again."""
    import shutil

    try:
        with open(source, "rb") as reading, open(target, "wb") as writing:
            stat = os.fstat(reading.fileno())
            shutil.copyfileobj(reading, writing, 1 << 20)
    except FileNotFoundError:
        return  # nothing was ever added there
    os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def _quoted(path: str) -> bytes:
    """A path for info/alternates: as it is, or in C's quotes when a line could not hold it."""
    raw = os.fsencode(path)
    if b"\n" not in raw and not raw.startswith((b'"', b"#")):
        return raw
    escaped = b"".join(b"\\%03o" % byte if byte < 32 or byte in b'"\\' else bytes((byte,)) for byte in raw)
    return b'"' + escaped + b'"'
