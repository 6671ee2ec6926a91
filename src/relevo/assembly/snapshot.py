"""Snapshots: a working tree as one blob, which `actions/checkout` lays out again (format: `protocol/snapshot.py`).

The tree is made as git itself would make it (`git add -A`), but in a git folder of our own (`borrowed_git.py`): nothing is
written to the user's repository, and none of its hooks or filters runs. Files under a filter (Git LFS) are taken as they lie in the working tree when they were changed,
and as they are committed (a pointer) when not.

```
user's index ──copy, with its mtime──► own index ──add -A──► write-tree ─┬─ as HEAD's: the commit is HEAD
user's objects ◄──info/alternates── own git folder                       └─ else: a commit on top of HEAD
                                                   pack-objects ──stream──► blob
```
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import IO, TYPE_CHECKING, Final

from msgspec import Struct

from relevo.assembly import borrowed_git, git_facts
from relevo.domain.errors import InfrastructureError, UserError
from relevo.protocol.snapshot import SnapshotHeader, encode_header
from relevo.runtime import git
from relevo.workflow.build import CHECKOUT, action_name
from relevo.workflow.calls import with_called

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncIterator, Iterable, Sequence

    from relevo.assembly.git_facts import GitFacts
    from relevo.blobs.contract import BlobStore, BlobWriter
    from relevo.workflow.model import StepSpec, Workflow

_CHUNK_BYTES: Final = 1 << 20
#: Commits need a time. Without any commit to take it from: one that zip files (no year before 1980) can hold.
_TIME_WITHOUT_HEAD_S: Final = 946_684_800


class Snapshot(Struct, frozen=True):
    """A snapshot that lies in the blob store."""

    digest: str
    commit: str  #: what checkout lays out, and `github.sha`
    dirty: bool  #: the commit is none of the user's: it holds changes, or the folder has no commits
    facts: GitFacts

    @property
    def sha(self) -> str:
        """The same as `commit`."""
        return self.commit

    @property
    def ref(self) -> str:
        """See GitFacts."""
        return self.facts.ref

    @property
    def ref_name(self) -> str:
        """See GitFacts."""
        return self.facts.ref_name

    @property
    def repository(self) -> str:
        """owner/name."""
        return f"{self.facts.owner}/{self.facts.name}"

    @property
    def default_branch(self) -> str:
        """See GitFacts."""
        return self.facts.default_branch


async def take(
    directory: str,
    *,
    committed: bool,
    history: bool,
    blobs: BlobStore,
    facts: GitFacts | None = None,
) -> Snapshot:
    """Take the working tree that `directory` lies in (`committed`: HEAD instead), with its whole `history` or without.

    `facts`, when they were read already, spare two git processes. Empty folders are not taken, as in any git tree.
    Raises UserError when there is nothing that can be taken, InfrastructureError when the disk or git fails.
    """
    async with taking(directory, committed=committed, history=history, facts=facts) as taken:
        digest = await taken.store(blobs)
    return Snapshot(digest, taken.header.commit, taken.dirty, taken.facts)


@asynccontextmanager
async def taking(
    directory: str, *, committed: bool, history: bool, facts: GitFacts | None = None
) -> AsyncIterator[Taken]:
    """As `take`, before anything is stored: for who needs not all of it."""
    import shutil
    import tempfile

    scratch = await asyncio.to_thread(tempfile.mkdtemp, prefix="relevo-snapshot-")
    try:
        yield await asyncio.to_thread(_prepare, directory, committed, history, scratch, facts)
    except git.GitFailed as error:
        raise _explain(error, directory) from error
    except OSError as error:
        raise InfrastructureError(f"the snapshot of {directory} could not be taken: {error}") from error
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True))


def checkouts(workflow: Workflow, inner: Iterable[StepSpec] = ()) -> list[StepSpec]:
    """The steps that check out, those of called workflows included. `inner`: steps of actions that it uses."""
    jobs = (job for file, _ in with_called(workflow) for job in file.jobs.values())
    steps = (*(step for job in jobs for step in job.spec.steps), *inner)
    return [step for step in steps if action_name(step.uses) == CHECKOUT]


def wants_history(checkouts: Iterable[StepSpec]) -> bool:
    """Whether any checkout may need more than one commit: `fetch-depth` other than 1, or a `ref`."""
    for step in checkouts:
        given = {str(key).lower(): value for key, value in step.with_.items()}
        if str(given.get("fetch-depth", 1)).strip() != "1" or given.get("ref"):
            return True
    return False


def changed_paths(facts: GitFacts, base: str, *, committed: bool = False) -> list[str]:
    """Paths that differ between a commit, branch or tag `base` and the working tree (`committed`: HEAD), for the filters
    of events. Both names of a renamed file. Blocking. Raises UserError when there is no such base.
    """
    import shutil
    import tempfile

    if facts.repository is None or facts.head is None:
        return []
    scratch = tempfile.mkdtemp(prefix="relevo-snapshot-")
    try:
        env = borrowed_git.make(os.path.join(scratch, "git"), facts)
        tree = facts.head.tree if committed else borrowed_git.write_tree(facts, env)
        own = git_facts.environment(facts.repository)
        arguments = ["rev-parse", "--quiet", "--verify", "--end-of-options", f"{base}^{{tree}}"]
        before = git.run(arguments, env=own, cwd=facts.root, accepted=(0, 1, 128)).decode().strip()
        if not before:
            raise UserError(
                f"{facts.root} has no commit {base!r} to compare with", hint="`git fetch` may bring it"
            )
        printed = git.run(
            ["diff-tree", "-r", "-z", "--name-only", "--no-renames", before, tree], env=env, cwd=facts.root
        )
    except git.GitFailed as error:
        raise _explain(error, facts.root) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return [os.fsdecode(path) for path in printed.split(b"\0") if path]


def changed_by(facts: GitFacts, event: str, *, committed: bool = False) -> tuple[str, ...] | None:
    """The paths that an event changes, for its filters; None when that cannot be told. Blocking. Raises UserError."""
    base = comparison_base(facts, event)
    if base is None:
        return None
    changed = changed_paths(facts, base, committed=committed)
    assert facts.head is not None
    if not changed and base == facts.head.sha and facts.head.parents:
        # All of it was pushed before: that push is meant.
        changed = changed_paths(facts, facts.head.parents[0], committed=committed)
    return tuple(changed)


def comparison_base(facts: GitFacts, event: str) -> str | None:
    """What the paths of an event are compared with; None when there is nothing to compare with. Blocking.

    For `pull_request` where the branch left the default branch. For `push` where the branch is on origin; of a branch that is not
    there yet, where it left the default branch; the commit before where all is known to be older.
    """
    if facts.repository is None or facts.head is None:
        return None
    if event.startswith("pull_request"):
        return _fork_point(facts)
    if facts.branch:
        pushed = _commit_of(facts, f"refs/remotes/origin/{facts.branch}")
        if pushed is None and facts.branch != facts.default_branch:
            pushed = _fork_point(facts)
        if pushed is not None:
            return pushed
    return next(iter(facts.head.parents), None)


def _fork_point(facts: GitFacts) -> str | None:
    for name in (f"refs/remotes/origin/{facts.default_branch}", f"refs/heads/{facts.default_branch}"):
        if found := _asked(facts, "merge-base", name, "HEAD"):
            return found
    return None


def _commit_of(facts: GitFacts, name: str) -> str | None:
    return _asked(facts, "rev-parse", "--quiet", "--verify", "--end-of-options", f"{name}^{{commit}}")


def _asked(facts: GitFacts, *arguments: str) -> str | None:
    assert facts.repository is not None
    env = git_facts.environment(facts.repository)
    found = git.run(arguments, env=env, cwd=facts.root, accepted=(0, 1, 128)).decode().strip()
    return found or None


class Taken(Struct):
    """What is about to be packed."""

    header: SnapshotHeader
    facts: GitFacts
    dirty: bool
    git_dir: str
    env: dict[str, str]
    wants: tuple[str, ...]  #: objects that the pack starts from

    def objects(self) -> list[str]:
        """The ids of all objects of the pack. Blocking: a git process. Raises GitFailed."""
        wanted = "".join(f"{sha}\n" for sha in self.wants).encode()
        printed = git.run(
            ["rev-list", "--objects", "--stdin"], env=self.env, cwd=self.facts.root, data=wanted
        )
        return [line.partition(b" ")[0].decode("ascii") for line in printed.splitlines()]

    async def store(self, blobs: BlobStore, objects: Sequence[str] | None = None) -> str:
        """Pack it into a blob; returns the blob's digest. `objects`: only these of its objects. Raises GitFailed, OSError."""
        writer = await blobs.create()
        try:
            await writer.write(encode_header(self.header))
            await self._pack(writer, objects)
        except BaseException:
            await asyncio.shield(writer.abort())
            raise
        return await writer.commit()

    async def _pack(self, writer: BlobWriter, objects: Sequence[str] | None) -> None:
        # The order of objects in a pack is git's; no search for deltas (window 0): it would cost more than it saves here,
        # and what the user's repository has as deltas is taken over as it is.
        arguments = ["pack-objects", "--stdout", "-q", "--delta-base-offset", "--window=0"]
        if objects is None:
            arguments.append("--revs")
        process, complaints = await asyncio.to_thread(
            _start_pack, arguments, self, self.wants if objects is None else objects
        )
        try:
            assert process.stdout is not None
            while chunk := await asyncio.to_thread(process.stdout.read, _CHUNK_BYTES):
                await writer.write(chunk)
            if code := await asyncio.to_thread(process.wait):
                complaints.seek(0)
                raise git.GitFailed(arguments, code, complaints.read(65_536))
        finally:
            process.kill()
            await asyncio.shield(asyncio.to_thread(process.communicate))
            complaints.close()


def _prepare(directory: str, committed: bool, history: bool, scratch: str, facts: GitFacts | None) -> Taken:
    facts = facts or git_facts.read(directory)
    if committed and facts.head is None:
        raise UserError(
            f"nothing is committed in {facts.root}",
            hint="commit something, or leave out --committed to take the files as they are",
        )
    git_dir = os.path.join(scratch, "git")
    env = borrowed_git.make(git_dir, facts)
    if facts.head is not None and (committed or (facts.repository is not None and facts.repository.bare)):
        commit, dirty = facts.head.sha, False
    else:
        tree = borrowed_git.write_tree(facts, env)
        dirty = facts.head is None or tree != facts.head.tree
        commit = _commit(tree, facts, env) if dirty or facts.head is None else facts.head.sha
    refs = _refs(facts, commit, history)
    shallow = _shallow(facts) if history else (commit,)
    with open(os.path.join(git_dir, "shallow"), "w") as file:
        file.writelines(f"{sha}\n" for sha in shallow)
    header = SnapshotHeader(
        commit=commit,
        branch=facts.branch,
        refs=refs,
        tags_at_commit=tuple(tag for tag in facts.tags if not dirty and f"refs/tags/{tag}" in refs),
        shallow=shallow,
        object_format=facts.config.get("extensions.objectformat", "sha1"),
        config={key: facts.config[key] for key in borrowed_git.LAYOUT_KEYS if key in facts.config},
        remote_url=facts.remote_url,
    )
    wants = tuple(dict.fromkeys((commit, *refs.values())))
    return Taken(header, facts, dirty, git_dir, env, wants)


def _commit(tree: str, facts: GitFacts, env: dict[str, str]) -> str:
    """A commit of `tree` on top of HEAD. The same files on the same HEAD give the same commit."""
    head = facts.head
    name = facts.config.get("user.name", "").strip(" <>\n.,:;\"'\\") or facts.actor
    email = facts.config.get("user.email", "").strip(" <>\n.,:;\"'\\") or f"{_ascii(facts.actor)}@localhost"
    when = f"{head.time_s if head else _TIME_WITHOUT_HEAD_S} +0000"
    who = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", name), ("EMAIL", email), ("DATE", when))
    }
    if head is None:
        message = f"Files of {facts.name}\n"
    else:
        subject = head.message.partition("\n")[0]
        message = f"Working tree on top of {head.sha[:12]}\n\n{subject}\n"
    parents = ["-p", head.sha] if head else []
    printed = git.run(
        ["commit-tree", tree, *parents, "-F", "-"],
        env={**env, **who},
        cwd=facts.root,
        data=message.encode("utf-8", "replace"),
    )
    return printed.decode().strip()


def _refs(facts: GitFacts, commit: str, history: bool) -> dict[str, str]:
    """The refs that checkout makes, as a clone of the user's repository would see them, its own branch at `commit`."""
    refs: dict[str, str] = {}
    if facts.repository is not None and facts.head is not None:
        env = git_facts.environment(facts.repository)
        if history:
            patterns = ["refs/tags", "refs/heads", "refs/remotes/origin"]
        elif commit == facts.head.sha:
            patterns = [f"refs/tags/{tag}" for tag in facts.tags]
        else:
            patterns = []  # the tags are at the parent, which does not come along
        if patterns:
            printed = git.run(
                ["for-each-ref", "--format=%(objectname) %(refname)", *patterns],
                env=env,
                cwd=facts.root,
            )
            refs = _as_cloned(printed)
    if facts.branch:
        refs[f"refs/remotes/origin/{facts.branch}"] = commit
    return refs


def _as_cloned(printed: bytes) -> dict[str, str]:
    refs: dict[str, str] = {}
    branches: dict[str, str] = {}
    for line in printed.splitlines():
        sha, _, raw = line.partition(b" ")
        try:
            name = raw.decode()
        except UnicodeDecodeError:
            continue  # nobody can name it in a workflow file
        if name.startswith("refs/heads/"):
            branches["refs/remotes/origin/" + name.removeprefix("refs/heads/")] = sha.decode()
        elif name != "refs/remotes/origin/HEAD":
            refs[name] = sha.decode()
    return {**branches, **refs}


def _shallow(facts: GitFacts) -> tuple[str, ...]:
    if facts.repository is None:
        return ()
    return tuple(borrowed_git.contents(os.path.join(facts.repository.common_dir, "shallow")).decode().split())


def _start_pack(
    arguments: list[str], taken: Taken, named: Sequence[str]
) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    import subprocess

    wants = os.path.join(taken.git_dir, "wants")
    borrowed_git.write(taken.git_dir, "wants", "".join(f"{sha}\n" for sha in named).encode())
    complaints = open(os.path.join(taken.git_dir, "complaints"), "w+b")  # noqa: SIM115 the caller closes it
    with open(wants, "rb") as source:
        process = subprocess.Popen(
            ["git", *arguments],
            env=taken.env,
            cwd=taken.facts.root,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=complaints,
        )
    return process, complaints


def _explain(error: git.GitFailed, directory: str) -> UserError:
    hint = "`git status` and `git fsck` there tell more"
    if "Permission denied" in error.stderr:
        hint = "make the file readable, or name it in .gitignore"
    elif "missing" in error.stderr or "bad object" in error.stderr or "Could not read" in error.stderr:
        hint = "objects are missing (a partial clone?): `git fetch --refetch` brings them"
    return UserError(f"the working tree in {directory} cannot be taken: {error.stderr or error}", hint=hint)


def _ascii(name: str) -> str:
    return "".join(char if char.isascii() and char.isalnum() else "-" for char in name) or "relevo"
