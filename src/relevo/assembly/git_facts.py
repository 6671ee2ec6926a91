"""What a repository says of itself: the facts behind the `github` context and the filters of events.

Read with git, from the repository that a folder lies in. Nothing is written there, no hook and no filter is run.
The repository is named explicitly (GIT_DIR), hence git does not mind that somebody else owns it.
"""

from __future__ import annotations

import os
from typing import Final

from relevo.domain.errors import UserError
from relevo.protocol.source import Commit, GitFacts, Repository
from relevo.runtime import git

__all__ = ["Commit", "GitFacts", "Repository", "environment", "find_repository", "read"]

_LOG_FORMAT: Final = "%H%x00%T%x00%P%x00%an%x00%ae%x00%cn%x00%ce%x00%ct%x00%cI%x00%D%x00%B"
_CONFIG: Final = (
    r"^(remote\..*\.url|branch\..*\.remote|user\.(name|email)|init\.defaultbranch"
    r"|core\.(excludesfile|autocrlf|eol|filemode|symlinks|ignorecase|bare)"
    r"|extensions\.objectformat)$"
)


def find_repository(directory: str) -> Repository | None:
    """The repository that a folder lies in, None when there is none. Raises UserError for a `.git` that leads nowhere."""
    folder = os.path.realpath(directory)
    while True:
        marker = os.path.join(folder, ".git")
        if os.path.isdir(marker):
            if _is_git_dir(marker):
                return Repository(folder, marker, _common_dir(marker))
        elif os.path.isfile(marker):
            git_dir = _follow(marker)
            return Repository(folder, git_dir, _common_dir(git_dir))
        elif _is_git_dir(folder) and os.path.isdir(os.path.join(folder, "refs")):
            return Repository(folder, folder, folder, bare=True)
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent


def read(directory: str) -> GitFacts:
    """The facts of the repository that `directory` lies in, or of a plain folder. Blocking: two git processes, ~3 ms.

    Raises UserError when the folder does not exist or the repository cannot be read.
    """
    if not os.path.isdir(directory):
        raise UserError(f"{directory} is no folder", hint="name the folder of the project, or go there first")
    repository = find_repository(directory)
    if repository is not None and _is_foreign(repository, directory):
        repository = None
    if repository is None:
        return plain_folder(directory)
    try:
        return _read_repository(repository)
    except git.GitFailed as error:
        raise UserError(
            f"the repository in {repository.root} cannot be read: {error.stderr}",
            hint="`git status` and `git fsck` there tell more",
        ) from error


def plain_folder(directory: str) -> GitFacts:
    """The facts of a folder that is in no repository, or is taken as such."""
    root = os.path.realpath(directory)
    name = _slug(os.path.basename(root)) or "folder"
    return GitFacts(root, None, None, "main", (), {}, "", "local", name, "main", _login())


def environment(repository: Repository) -> dict[str, str]:
    """For git processes that read the repository itself, with the user's configuration."""
    return git.environment(GIT_DIR=repository.git_dir, GIT_WORK_TREE=repository.root)


def _read_repository(repository: Repository) -> GitFacts:
    env = environment(repository)
    config = _read_config(repository, env)
    head, branch, tags = _read_head(repository, env)
    url = _remote_url(config, branch)
    owner, name = split_remote(url)
    return GitFacts(
        root=repository.root,
        repository=repository,
        head=head,
        branch=branch,
        tags=tags,
        config=config,
        remote_url=url,
        owner=owner or "local",
        name=name or _slug(os.path.basename(repository.root.removesuffix(".git"))) or "repository",
        default_branch=_default_branch(repository, config, branch),
        actor=config.get("user.name") or _login(),
    )


def _read_config(repository: Repository, env: dict[str, str]) -> dict[str, str]:
    printed = git.run(
        ["config", "-z", "--get-regexp", _CONFIG], env=env, cwd=repository.root, accepted=(0, 1)
    )
    config: dict[str, str] = {}
    for item in printed.split(b"\0"):
        key, separator, value = item.partition(b"\n")
        if key:
            # A key without `=` is a boolean that is true.
            config[os.fsdecode(key)] = os.fsdecode(value) if separator else "true"
    return config


def _read_head(repository: Repository, env: dict[str, str]) -> tuple[Commit | None, str, tuple[str, ...]]:
    arguments = ["-c", "i18n.logOutputEncoding=UTF-8", "log", "-1", "--no-show-signature", "--decorate=full"]
    try:
        printed = git.run([*arguments, f"--format={_LOG_FORMAT}"], env=env, cwd=repository.root)
    except git.GitFailed as error:
        if "does not have any commits yet" not in error.stderr:
            raise
        unborn = git.run(["symbolic-ref", "--short", "HEAD"], env=env, cwd=repository.root)
        return None, unborn.decode("utf-8", "replace").strip(), ()
    fields = printed.decode("utf-8", "replace").removesuffix("\n").split("\0", 10)
    sha, tree, parents, author, author_mail, committer, committer_mail, time_s, iso, decoration, message = (
        fields
    )
    branch, tags = _split_decoration(decoration)
    commit = Commit(
        sha,
        tree,
        tuple(parents.split()),
        author,
        author_mail,
        committer,
        committer_mail,
        int(time_s),
        iso,
        message.rstrip("\n"),
    )
    return commit, branch, tags


def _split_decoration(decoration: str) -> tuple[str, tuple[str, ...]]:
    """Branch and tags of `%D`. A ref's name holds no space, so that `, ` separates safely."""
    branch = ""
    tags = []
    for item in decoration.split(", "):
        if item.startswith("HEAD -> refs/heads/"):
            branch = item.removeprefix("HEAD -> refs/heads/")
        elif item.startswith("tag: refs/tags/"):
            tags.append(item.removeprefix("tag: refs/tags/"))
    return branch, tuple(sorted(tags, key=_version_key, reverse=True))


def _version_key(tag: str) -> tuple[tuple[int, str], ...]:
    import re

    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"\d+|\D+", tag))


def _remote_url(config: dict[str, str], branch: str) -> str:
    names = [key[len("remote.") : -len(".url")] for key in config if key.startswith("remote.")]
    preferred = (config.get(f"branch.{branch}.remote", ""), "origin", *names)
    for name in preferred:
        if url := config.get(f"remote.{name}.url"):
            return strip_credentials(url)
    return ""


def strip_credentials(url: str) -> str:
    """A remote's URL without the user name and password of an http(s) one."""
    scheme, separator, rest = url.partition("://")
    if not separator or not scheme.lower().startswith("http"):
        return url
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def split_remote(url: str) -> tuple[str, str]:
    """(owner, name) of a remote's URL: its last two parts. ("", "") when it has not that shape, as a path has not."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme != "file":
        path = rest.partition("/")[2]
    elif not separator and ":" in url and "/" not in url.partition(":")[0]:
        path = url.partition(":")[2]  # git@host:owner/name
    else:
        return "", ""
    parts = [part for part in path.removesuffix("/").removesuffix(".git").split("/") if part]
    return (parts[-2], parts[-1]) if len(parts) >= 2 else ("", "")


def _default_branch(repository: Repository, config: dict[str, str], branch: str) -> str:
    try:
        with open(os.path.join(repository.common_dir, "refs", "remotes", "origin", "HEAD")) as file:
            told = file.read().strip()
    except (OSError, UnicodeDecodeError):
        told = ""
    prefix = "ref: refs/remotes/origin/"
    if told.startswith(prefix):
        return told.removeprefix(prefix)
    return branch if branch in ("main", "master", "trunk") else config.get("init.defaultbranch", "main")


def _is_foreign(repository: Repository, directory: str) -> bool:
    """Whether a repository further up ignores this very folder: a home kept in git does not own the projects in it."""
    folder = os.path.realpath(directory)
    if folder == repository.root or repository.bare or _within(folder, repository.git_dir):
        return False
    env = environment(repository)
    try:
        git.run(["check-ignore", "-q", "--", folder], env=env, cwd=repository.root)
    except git.GitFailed:
        return False
    return True


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + os.sep)


def _is_git_dir(path: str) -> bool:
    return os.path.lexists(os.path.join(path, "HEAD")) and (
        os.path.isdir(os.path.join(path, "objects")) or os.path.isfile(os.path.join(path, "commondir"))
    )


def _follow(marker: str) -> str:
    """The repository that a `.git` file names."""
    with open(marker, "rb") as file:
        told = file.read(8_192)
    target = os.fsdecode(told.removeprefix(b"gitdir:").strip())
    path = os.path.normpath(os.path.join(os.path.dirname(marker), target))
    if not told.startswith(b"gitdir:") or not _is_git_dir(path):
        raise UserError(
            f"{marker} leads to no repository ({target or 'it is empty'})",
            hint="the worktree or submodule was moved: `git worktree repair` mends it; or remove that file",
        )
    return path


def _common_dir(git_dir: str) -> str:
    try:
        with open(os.path.join(git_dir, "commondir"), "rb") as file:
            told = os.fsdecode(file.read().strip())
    except FileNotFoundError:
        return git_dir
    return os.path.normpath(os.path.join(git_dir, told))


def _slug(name: str) -> str:
    return "".join(char if char.isalnum() or char in "._-" else "-" for char in name).strip("-.")


def _login() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user-{os.getuid()}"
