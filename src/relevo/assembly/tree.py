"""The working tree of a submission, as admission asks of it: the one that lies here, or one that a client told of.

WorkingTree   reads the disk; a client that gathers a Source records what was read of it (gathering.py)
ToldTree      knows what a Source says, and never looks at this machine
NoTree        of a run that needs none: nothing is looked for
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from relevo.assembly import git_facts, snapshot
from relevo.assembly.snapshot import Snapshot
from relevo.assembly.workflow_files import files_of
from relevo.domain.errors import UserError
from relevo.workflow.action_reader import ActionFile
from relevo.workflow.action_reader import find as find_action
from relevo.workflow.calls import LOCAL

if TYPE_CHECKING:
    from relevo.blobs.contract import BlobStore
    from relevo.orchestrator.api import Submission
    from relevo.protocol.source import GitFacts, Source


class Tree(Protocol):
    """What there is to know of a tree; asked for only what a workflow needs of it."""

    @property
    def facts(self) -> GitFacts:
        """Of its repository."""

    @property
    def directory(self) -> str:
        """Where it lies, absolute; "" when that is elsewhere."""

    @property
    def workflow_text(self) -> bytes:
        """The workflow file that is meant: with `committed` that of HEAD, where HEAD has it."""

    def load(self, reference: str) -> bytes | None:
        """A called workflow; see `calls.Load`."""

    def find_action(self, uses: str) -> ActionFile | None:
        """A local action's file; see `local_actions.Find`."""

    def changed(self, event: str) -> tuple[str, ...] | None:
        """The paths that an event changes; see `snapshot.changed_by`. Blocking: some git processes."""

    async def snapshot(self, *, history: bool) -> Snapshot:
        """A snapshot of it in the engine's blobs, with all commits (`history`) or one. Raises UserError, InfrastructureError."""


class WorkingTree:
    """A tree on this machine. Blocking: two git processes, ~3 ms. Raises UserError when it cannot be read."""

    def __init__(self, submission: Submission, directory: str, blobs: BlobStore | None = None) -> None:
        """`blobs`: where snapshots go."""
        self.directory = directory
        self.facts = git_facts.read(directory)
        self.workflow_text, self.load = files_of(submission, directory, self.facts)
        self._committed = submission.committed
        self._blobs = blobs

    def find_action(self, uses: str) -> ActionFile | None:
        """See Tree."""
        return find_action(self.directory, uses)

    def changed(self, event: str) -> tuple[str, ...] | None:
        """See Tree."""
        return snapshot.changed_by(self.facts, event, committed=self._committed)

    async def snapshot(self, *, history: bool) -> Snapshot:
        """See Tree."""
        assert self._blobs is not None
        return await snapshot.take(
            self.directory, committed=self._committed, history=history, blobs=self._blobs, facts=self.facts
        )


class ToldTree:
    """A tree that a client told of."""

    directory = ""

    def __init__(self, submission: Submission, source: Source, blobs: BlobStore) -> None:
        self.facts = source.facts
        self.workflow_text = submission.workflow_text
        self._source = source
        self._blobs = blobs

    def load(self, reference: str) -> bytes | None:
        """See Tree."""
        if not reference.startswith(LOCAL):
            return None
        text = self._source.workflows.get(reference)
        if text is None:
            raise OSError("there is no such file")
        return text

    def find_action(self, uses: str) -> ActionFile | None:
        """See Tree."""
        told = self._source.actions.get(uses)
        return None if told is None else ActionFile(told.path, told.text)

    def changed(self, event: str) -> tuple[str, ...] | None:
        """See Tree."""
        return self._source.changed

    async def snapshot(self, *, history: bool) -> Snapshot:
        """See Tree."""
        from relevo.assembly.joining import join

        joined = await join(self._source.snapshot, self._blobs)
        return Snapshot(joined.digest, joined.commit, False, self.facts)


class NoTree:
    """An empty folder, which stands for no tree. What it says is known, whatever repository it may lie in."""

    def __init__(self, submission: Submission) -> None:
        self.directory = submission.directory
        self.facts = _plain_folder(submission.directory)
        self.workflow_text = submission.workflow_text

    def load(self, reference: str) -> bytes | None:
        """See Tree."""
        if not reference.startswith(LOCAL):
            return None
        raise OSError("there is no such file")

    def find_action(self, uses: str) -> ActionFile | None:
        """See Tree."""
        return None

    def changed(self, event: str) -> tuple[str, ...] | None:
        """See Tree."""
        return None

    async def snapshot(self, *, history: bool) -> Snapshot:
        """See Tree."""
        raise UserError(
            "a step checks out, and the run has no working tree",
            hint="`directory` names one on the server's machine; `relevo run` brings its own where RELEVO_SERVER is set",
        )


@lru_cache(maxsize=4)
def _plain_folder(directory: str) -> GitFacts:
    return git_facts.plain_folder(directory)


def tree_of(submission: Submission, blobs: BlobStore) -> Tree:
    """The tree that a submission means. Raises UserError when it cannot be read."""
    if submission.treeless:
        return NoTree(submission)
    if submission.source is not None:
        return ToldTree(submission, submission.source, blobs)
    return WorkingTree(submission, submission.directory or os.getcwd(), blobs)
