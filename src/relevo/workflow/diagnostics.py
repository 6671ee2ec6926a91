"""What is wrong with a file, and where."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable
from typing import Final, Literal

from msgspec import Struct

from relevo.domain.errors import UserError

Severity = Literal["error", "warning"]
_WIDEST_EXCERPT: Final = 160
_MOST_TOLD: Final = 25
_MOST_COMPARED: Final = 100
_LONGEST_COMPARED: Final = 100


class Diagnostic(Struct, frozen=True):
    """One remark about one place of a file."""

    path: str
    line: int  #: 1-based; 0: the file as a whole
    column: int  #: 1-based, in characters
    message: str
    hint: str | None = None
    severity: Severity = "error"
    excerpt: str = ""  #: the text of that line
    width: int = 1  #: how many characters of it are meant
    #: where in the file `excerpt` stands, when that is not `line` and `column`: within a script, the expression that is meant
    excerpt_line: int = 0
    excerpt_column: int = 0

    def __str__(self) -> str:
        """`file:line:col: message`, the line with a caret below, and the hint."""
        place = f"{self.path}:{self.line}:{self.column}" if self.line else self.path
        said = self.message if self.severity == "error" else f"warning: {self.message}"
        lines = [f"{place}: {said}"]
        if self.line and self.excerpt.strip():
            lines += _excerpt(self)
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


def _excerpt(diagnostic: Diagnostic) -> list[str]:
    # a long line is cut so that the place stays in sight; tabs would move the caret
    text = diagnostic.excerpt.replace("\t", " ")
    column = (diagnostic.excerpt_column or diagnostic.column) - 1
    start = max(0, column - _WIDEST_EXCERPT // 2) if len(text) > _WIDEST_EXCERPT else 0
    text = text[start : start + _WIDEST_EXCERPT].rstrip()
    carets = "^" * max(1, min(diagnostic.width, len(text) - (column - start)))
    margin = f"{diagnostic.excerpt_line or diagnostic.line:>5} | "
    return [f"{margin}{text}", f"{' ' * (len(margin) - 2)}| {' ' * (column - start)}{carets}"]


class WorkflowInvalid(UserError):
    """A workflow file that cannot be run; `diagnostics` holds all that was found, in order of the file, and of files as they
    came."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        found = list(diagnostics)
        paths = list(dict.fromkeys(one.path for one in found))
        self.diagnostics = tuple(sorted(found, key=lambda one: (paths.index(one.path), one.line, one.column)))
        super().__init__("\n".join(map(str, self.diagnostics)))


def did_you_mean(name: str, known: Collection[str]) -> str | None:
    """A hint that names what `name` was probably meant to be, else all that there is if that is short."""
    close = closest(name, known)
    if close:
        return f"did you mean '{close}'?"
    return f"known here: {', '.join(sorted(known))}" if 0 < len(known) <= _MOST_TOLD else None


def closest(name: str, known: Iterable[str]) -> str | None:
    """Which of the known names `name` was probably meant to be, whatever the case; None when none is like it.

    Of very many names only the first ones of like length are looked at.
    """
    import difflib

    wanted = name[:_LONGEST_COMPARED].lower()
    alike = (one for one in known if abs(len(one) - len(wanted)) <= 1 + len(wanted) // 2)
    names = {one.lower(): one for one in sorted(itertools.islice(alike, _MOST_COMPARED))}
    close = difflib.get_close_matches(wanted, names, n=1, cutoff=0.6)
    return names[close[0]] if close else None
