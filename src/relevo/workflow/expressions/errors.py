"""What can be wrong with an expression."""

from __future__ import annotations

from typing import Literal

from relevo.domain.errors import RelevoError

Stage = Literal["lexing", "parsing", "evaluation"]


class ExpressionError(RelevoError):
    """An expression that cannot be read, or that failed when it was evaluated.

    `column` is 1-based within the expression's source, 0 when the error belongs to no place in it; `name` is the
    function or context that cannot be used.
    """

    def __init__(
        self, message: str, *, stage: Stage, column: int = 0, source: str = "", name: str = ""
    ) -> None:
        place = f" (at {column} in `{shorten(source)}`)" if column and source else ""
        super().__init__(message + place)
        self.message = message
        self.stage: Stage = stage
        self.column = column
        self.source = source
        self.name = name


def shorten(source: str, limit: int = 120) -> str:
    """`source` on one line, cut to `limit` characters."""
    line = " ".join(source.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
