"""What an engine elsewhere needs of this working tree: read here, checked here as far as that goes, and sent.

The very functions that admission uses read the workflow here, too, on a tree that notes what was asked of it; the engine then does
the same with what was noted. So nothing is sent that is not needed, and what is wrong with the files is told before anything
is sent.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from relevo.assembly.admission import event_of, read_meant
from relevo.assembly.snapshot import checkouts, taking, wants_history
from relevo.assembly.tree import WorkingTree
from relevo.protocol.source import ActionText, Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relevo.assembly.snapshot import Taken
    from relevo.orchestrator.api import Submission
    from relevo.protocol.source import GitFacts
    from relevo.workflow.action_reader import ActionFile

#: Of a repository's settings, those that contexts show.
_SHOWN_SETTINGS = ("user.name", "user.email")


class Sender(Protocol):
    """Brings snapshots to the engine."""

    async def send(self, taken: Taken) -> Sequence[str]:
        """Bring it there; returns the digests of the parts that it is in: see Source.snapshot."""


class _Noting(WorkingTree):
    """A tree of this machine that notes what a workflow needs of it."""

    def __init__(self, submission: Submission, directory: str) -> None:
        super().__init__(submission, directory)
        self.workflows: dict[str, bytes] = {}
        self.actions: dict[str, ActionText] = {}
        self.changes: tuple[str, ...] | None = None
        load = self.load

        def noted(reference: str) -> bytes | None:
            text = load(reference)
            if text is not None:
                self.workflows[reference] = text
            return text

        self.load = noted

    def find_action(self, uses: str) -> ActionFile | None:
        found = super().find_action(uses)
        if found is not None:
            self.actions[uses] = ActionText(found.path, found.text)
        return found

    def changed(self, event: str) -> tuple[str, ...] | None:
        found = super().changed(event)
        self.changes = None if found is None else tuple(map(_plain, found))
        return self.changes


async def gather(submission: Submission, sender: Sender) -> Submission:
    """The submission with its tree's Source instead of the folder. Raises UserError for all that is wrong here already."""
    tree = _Noting(submission, submission.directory or os.getcwd())
    meant = read_meant(submission, tree)
    event_of(submission, meant.workflow, tree)
    parts: Sequence[str] = ()
    if steps := checkouts(meant.workflow, meant.local.steps):
        async with taking(
            tree.directory, committed=submission.committed, history=wants_history(steps), facts=tree.facts
        ) as taken:
            parts = await sender.send(taken)
    source = Source(_told(tree.facts), tree.workflows, tree.actions, tree.changes, tuple(parts))
    return replace(submission, workflow_text=tree.workflow_text, directory="", source=source)


def _told(facts: GitFacts) -> GitFacts:
    """Without what is this machine's alone, and as text that any encoding holds."""
    config = {key: _plain(facts.config[key]) for key in _SHOWN_SETTINGS if key in facts.config}
    texts = ("branch", "remote_url", "owner", "name", "default_branch", "actor")
    plain = {name: _plain(getattr(facts, name)) for name in texts}
    return replace(
        facts, root="", repository=None, config=config, tags=tuple(map(_plain, facts.tags)), **plain
    )


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
