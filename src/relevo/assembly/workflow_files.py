"""Where the files of a workflow come from: the working tree, or with `--committed` all of them from HEAD."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from relevo.assembly import git_facts
from relevo.runtime import git
from relevo.workflow.calls import LOCAL, Load, local_files
from relevo.workflow.nodes import MAX_BYTES

if TYPE_CHECKING:
    from relevo.assembly.git_facts import GitFacts, Repository
    from relevo.orchestrator.api import Submission


def files_of(submission: Submission, directory: str, facts: GitFacts) -> tuple[bytes, Load]:
    """The workflow file that is meant, and what loads the files that it calls.

    Both are of the same tree: a run of HEAD takes its workflow from HEAD, too, where HEAD has it. Raises UserError.
    """
    if not submission.committed or facts.repository is None or facts.head is None:
        return submission.workflow_text, local_files(directory)
    head = _Head(facts.repository, facts.head.sha, directory)
    if os.path.isabs(submission.workflow_path):
        return submission.workflow_text, head
    try:
        return head(LOCAL + submission.workflow_path) or b"", head
    except OSError:
        return submission.workflow_text, head  # it was given some other way, or is new


class _Head:
    """Loads `./path` from a commit, and nothing else."""

    def __init__(self, repository: Repository, commit: str, directory: str) -> None:
        self._env = git_facts.environment(repository)
        self._commit = commit
        self._directory = directory

    def __call__(self, reference: str) -> bytes | None:
        """See `calls.Load`."""
        if not reference.startswith(LOCAL):
            return None
        path = os.path.normpath(reference)
        if path.startswith(".."):
            raise OSError("it lies outside of the working tree")
        name = f"{self._commit}:./{path}"
        try:
            if int(self._git("cat-file", "-s", name)) > MAX_BYTES:
                return b" " * (MAX_BYTES + 1)  # too large, whatever it holds
            return self._git("cat-file", "blob", name)
        except git.GitFailed:
            raise OSError("HEAD has no such file") from None

    def _git(self, *args: str) -> bytes:
        return git.run(args, env=self._env, cwd=self._directory)
