"""Reads a workflow file: from its bytes to the checked model, or to all that is wrong with it.

bytes ─nodes─► tree with positions ─check, rules─► diagnostics ─build─► Workflow ─calls─► with what it calls
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from relevo.workflow.build import build
from relevo.workflow.calls import Limits, Load, follow
from relevo.workflow.checked import compose_checked
from relevo.workflow.diagnostics import Diagnostic, WorkflowInvalid
from relevo.workflow.model import Workflow
from relevo.workflow.nodes import MAX_BYTES, compose

__all__ = ["Diagnostic", "WorkflowInvalid", "read"]


_LIMITS: Final = Limits()


def read(text: bytes, path: str, load: Load | None = None, limits: Limits = _LIMITS) -> Workflow:
    """The workflow that a file holds. `path` is only named, not opened.

    With `load` the reusable workflows that its jobs call are read and checked, too (`calls.local_files` loads those of a
    working tree); without, calls are left as they are. The model is immutable; without `load` the same one is given for
    the same text and path. Raises WorkflowInvalid with everything that is wrong with the file; with its calls, only when
    the file itself is good.
    """
    workflow = _read_file(text, path)
    if workflow.size_bytes > limits.size_bytes:
        said = f"the workflow is larger than {limits.size_bytes} bytes when it is read"
        raise WorkflowInvalid([Diagnostic(path, 0, 0, said, "split it, or move scripts to files")])
    return workflow if load is None else follow(workflow, load, _read_file, limits)


def _read_file(text: bytes, path: str) -> Workflow:
    if len(text) > MAX_BYTES:  # before a huge text is hashed for the cache
        compose(text, path)
    return _read(text, path)


@lru_cache(maxsize=64)
def _read(text: bytes, path: str) -> Workflow:
    from relevo.workflow.language import WORKFLOW
    from relevo.workflow.rules import check_rules

    root, lines, remarks = compose_checked(text, path, WORKFLOW, check_rules)
    return build(root, path, lines, remarks)
