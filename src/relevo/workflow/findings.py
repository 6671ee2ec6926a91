"""Collects what is wrong with one file, each remark with its place.

A remark stands where its value begins (so that places agree with GitHub's); its excerpt shows the expression that is meant,
wherever in a script that stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from relevo.workflow import templates
from relevo.workflow.diagnostics import Diagnostic, Severity
from relevo.workflow.expressions import ExpressionError
from relevo.workflow.nodes import Node, Scalar

#: A hint, or what makes it when the remark is kept: finding the name that was meant takes its time.
Hint = str | None | Callable[[], "str | None"]
#: Most remarks about one file: nobody reads more, and a hostile file shall not make them.
MAX_FINDINGS: Final = 1000
#: A name, or names with points between.
_WORD: Final = re.compile(r"[\w-]+(?:\.[\w*-]+)*")


class Findings:
    """What was found in one file so far."""

    def __init__(self, path: str, lines: list[str]) -> None:
        self._path = path
        self._lines = lines
        self._diagnostics: list[Diagnostic] = []
        self._wrong: set[tuple[int, int]] = set()  # places of errors
        self._told: set[tuple[int, int, str]] = set()
        self._more = 0

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """What was found; past the first MAX_FINDINGS only how many there are, as an error, so that nothing passes for good."""
        if not self._more:
            return self._diagnostics
        line, column = max((one.line, one.column) for one in self._diagnostics)
        said = f"there are {self._more} more mistakes and warnings"
        return [*self._diagnostics, Diagnostic(self._path, line, column, said, "mend the others first")]

    def add(
        self,
        node: Node,
        message: str,
        hint: Hint = None,
        *,
        severity: Severity = "error",
        source: str = "",
        column: int = 1,
        number: int = 0,
    ) -> None:
        """Remember a remark about a node; with `source` about the expression that its `${{` of that number begins, at that
        1-based column.
        """
        if severity == "error":
            self._wrong.add((node.line, node.column))
        if (node.line, node.column, message) in self._told:
            return
        if len(self._diagnostics) >= MAX_FINDINGS:
            self._more += 1
            return
        self._told.add((node.line, node.column, message))
        hint = hint() if callable(hint) else hint
        place = self._place(node, source, column, number) if source else None
        if place is None:
            width = max(1, len(node.text.split("\n")[0])) if isinstance(node, Scalar) else 1
            place = (node.line, node.column, width)
        line, at, width = place
        excerpt = self._lines[line - 1] if line <= len(self._lines) else ""
        self._diagnostics.append(
            Diagnostic(self._path, node.line, node.column, message, hint, severity, excerpt, width, line, at)
        )

    def add_error(self, node: Node, error: ExpressionError, hint: Hint = None, number: int = 0) -> None:
        """Remember what an expression of a node made fail."""
        self.add(node, str(error), hint, source=error.source, column=max(1, error.column), number=number)

    def is_wrong(self, node: Node) -> bool:
        """Whether an error was found at the place of this node."""
        return (node.line, node.column) in self._wrong

    def _place(self, node: Node, source: str, column: int, number: int) -> tuple[int, int, int] | None:
        # line, column and width in the file; None where the file writes it otherwise (an alias, escapes, folded lines)
        start = source.split("\n", 1)[0].rstrip()
        if not isinstance(node, Scalar) or column > len(start) + 1:
            return None
        found: tuple[int, int] | None = (node.line, node.column - 1)
        if templates.OPEN in node.text:
            found = self._opening(node, number)
        if found is None:
            return None
        line, offset = found
        text = self._lines[line - 1]
        at = text.find(start, offset)
        between = text[offset:at] if at >= 0 else "?"
        if at < 0 or between.removeprefix(templates.OPEN).strip(" \t'\"|>-"):
            return None
        at += column - 1
        word = _WORD.match(text, at)
        return line, at + 1, len(word.group()) if word else 1

    def _opening(self, node: Scalar, number: int) -> tuple[int, int] | None:
        # the line and offset of the node's `${{` of this number
        line, offset = node.line, node.column - 1
        while line <= len(self._lines):
            at = self._lines[line - 1].find(templates.OPEN, offset)
            if at < 0:
                line, offset = line + 1, 0
            elif number:
                number, offset = number - 1, at + 1
            else:
                return line, at
        return None
