"""Diagnostics of workflow files for programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relevo.workflow.diagnostics import Diagnostic


def as_data(diagnostics: Iterable[Diagnostic]) -> list[dict[str, Any]]:
    """Each as a map. Keys are only added."""
    return [
        {
            "severity": one.severity,
            "path": one.path,
            "line": one.line,
            "column": one.column,
            "message": one.message,
            "hint": one.hint,
        }
        for one in diagnostics
    ]
