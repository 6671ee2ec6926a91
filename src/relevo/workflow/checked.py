"""From a file's bytes to a tree that fits the language, with all remarks on it."""

from __future__ import annotations

from collections.abc import Callable

from relevo.workflow.check import check
from relevo.workflow.diagnostics import Diagnostic, WorkflowInvalid
from relevo.workflow.findings import Findings
from relevo.workflow.grammar import Shape
from relevo.workflow.nodes import Mapping, compose

Rules = Callable[[Mapping, Findings], None]


def compose_checked(
    text: bytes, path: str, shape: Shape, rules: Rules
) -> tuple[Mapping, list[str], tuple[Diagnostic, ...]]:
    """The root, the file's lines, and warnings. Raises WorkflowInvalid with all that is wrong, warnings among it."""
    root, lines = compose(text, path)
    findings = Findings(path, lines)
    check(root, shape, findings)
    if isinstance(root, Mapping):
        rules(root, findings)
    if any(found.severity == "error" for found in findings.diagnostics):
        raise WorkflowInvalid(findings.diagnostics)
    assert isinstance(root, Mapping)
    return root, lines, tuple(findings.diagnostics)
