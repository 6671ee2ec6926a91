"""Reads an action's file, `action.yml`: where it lies, and from its bytes to the checked model, or to all that is wrong.

The same for whoever checks a workflow before it starts and for the agent whose step has come to it.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Final

from msgspec import Struct

from relevo.workflow.diagnostics import Diagnostic, WorkflowInvalid
from relevo.workflow.model import Action
from relevo.workflow.names import COMPOSITE
from relevo.workflow.nodes import MAX_BYTES, compose

FILES: Final = ("action.yml", "action.yaml")
_DOCKERFILES: Final = ("Dockerfile", "dockerfile")
#: Composite actions within composite actions at most, as on GitHub.
MAX_DEPTH: Final = 10


class ActionFile(Struct, frozen=True):
    """The file of a local action."""

    path: str  #: relative to the tree
    text: bytes


def find(root: str, uses: str) -> ActionFile | None:
    """The file that `uses: ./path` means in a tree; None when it is not there (yet). Blocking.

    A folder with nothing but a Dockerfile is a container action: its file is that. Raises OSError for a file that cannot
    be read and for a folder outside of the tree, links followed.
    """
    root = os.path.realpath(root)
    folder = os.path.realpath(os.path.join(root, uses))
    if os.path.commonpath((root, folder)) != root:
        raise OSError("it lies outside of the workspace")
    for name in (*FILES, *_DOCKERFILES):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            shown = os.path.relpath(path, root)
            if name in _DOCKERFILES:
                return ActionFile(shown, b"runs: {using: docker, image: Dockerfile}")
            if os.path.commonpath((root, os.path.realpath(path))) != root:
                raise OSError("it lies outside of the workspace")
            with open(path, "rb") as file:
                return ActionFile(shown, file.read(MAX_BYTES + 1))
    return None


def read_action(file: ActionFile) -> Action:
    """The action that a file holds; the same one for the same file. Raises WorkflowInvalid with all that is wrong."""
    if len(file.text) > MAX_BYTES:  # before a huge text is hashed for the cache
        compose(file.text, file.path)
    return _read(file.text, file.path)


def refusal(action: Action, uses: str) -> Diagnostic | None:
    """Why an action cannot run here, None when it can."""
    if action.using == COMPOSITE:
        return None
    kind = "container" if action.using == "docker" else "JavaScript"
    position = action.marks["runs.using"]
    return Diagnostic(
        action.path,
        position.line,
        position.column,
        f"{uses} is a {kind} action (using: {action.using}): only composite actions run here",
        f"{'call `docker run`' if kind == 'container' else 'call `node`'} in a `run:` step"
        ", or make it `using: composite` with `steps`",
        excerpt=action.marked_lines.get(position.line, ""),
        width=len(action.using),
    )


@lru_cache(maxsize=64)
def _read(text: bytes, path: str) -> Action:
    from relevo.workflow.build import build_action
    from relevo.workflow.checked import compose_checked
    from relevo.workflow.language_action import ACTION
    from relevo.workflow.rules import check_action_rules

    if not text.strip():
        raise WorkflowInvalid(
            [Diagnostic(path, 0, 0, "the file is empty", "an action needs at least `runs:`")]
        )
    root, lines, remarks = compose_checked(text, path, ACTION, check_action_rules)
    return build_action(root, path, lines, remarks)
