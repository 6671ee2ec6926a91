"""Reads a workflow file: from its bytes to the checked model, or to all that is wrong with it.

bytes ─nodes─► tree with positions ─check, rules─► diagnostics ─build─► Workflow
"""

from __future__ import annotations

from functools import lru_cache

from relevo.workflow.build import build
from relevo.workflow.check import Findings, check
from relevo.workflow.diagnostics import Diagnostic, WorkflowInvalid
from relevo.workflow.model import Workflow
from relevo.workflow.nodes import MAX_BYTES, Mapping, compose

__all__ = ["Diagnostic", "WorkflowInvalid", "read"]


def read(text: bytes, path: str) -> Workflow:
    """The workflow that a file holds. `path` is only named, not opened.

    The model is immutable and the same one is given for the same text and path.
    Raises WorkflowInvalid with everything that is wrong, found in one pass.
    """
    if len(text) > MAX_BYTES:  # before a huge text is hashed for the cache
        compose(text, path)
    return _read(text, path)


@lru_cache(maxsize=64)
def _read(text: bytes, path: str) -> Workflow:
    from relevo.workflow.language import WORKFLOW
    from relevo.workflow.rules import check_rules

    root, lines = compose(text, path)
    findings = Findings(path, lines)
    check(root, WORKFLOW, findings)
    if isinstance(root, Mapping):
        check_rules(root, findings)
    if any(found.severity == "error" for found in findings.diagnostics):
        raise WorkflowInvalid(findings.diagnostics)
    assert isinstance(root, Mapping)
    return build(root, path, lines, tuple(findings.diagnostics))
