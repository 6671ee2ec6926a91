"""From the source of an expression to its tokens."""

from __future__ import annotations

import math
import re
from typing import Final, NamedTuple

from relevo.workflow.expressions.errors import ExpressionError
from relevo.workflow.expressions.values import NAN, Value, parse_number

#: Longest source that is read, in characters (GitHub's limit).
MAX_LENGTH: Final = 21_000

_BOUNDARY = r"\s()\[\],!><=&|"
_TOKEN: Final = re.compile(
    rf"""\s*(?:
        (?P<string>'(?:[^']|'')*')
      | (?P<symbol>&&|\|\||[!=<>]=|[!<>()\[\],*])
      | (?P<number>[-+0-9][^{_BOUNDARY}]*)
      | (?P<dot>\.)
      | (?P<word>[^'{_BOUNDARY}.*][^{_BOUNDARY}.]*)
      | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_DOTTED_NUMBER: Final = re.compile(rf"\.[^{_BOUNDARY}]*")
_REST: Final = re.compile(r"\S\S?[^\s()\[\],.!><=&|]*")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_CONSTANTS: Final[dict[str, Value]] = {
    "true": True,
    "false": False,
    "null": None,
    "NaN": NAN,
    "Infinity": math.inf,
}
#: After these a point begins a number, else it dereferences.
_BEFORE_NUMBER: Final = frozenset({"", ",", "(", "[", "!", "==", "!=", "<", "<=", ">", ">=", "&&", "||"})


class Token(NamedTuple):
    """One token. `kind` is "value" (with its value), "name", "end", or the symbol itself."""

    kind: str
    text: str
    column: int  #: 1-based
    value: Value = None


def tokens(source: str) -> list[Token]:
    """All tokens of a source, the last one of kind "end". Raises ExpressionError."""
    if len(source) > MAX_LENGTH:
        raise ExpressionError(f"the expression is longer than {MAX_LENGTH} characters", stage="lexing")
    found: list[Token] = []
    previous = ""
    position = 0
    while True:
        match = _TOKEN.match(source, position)
        if match is None:
            raise _unexpected(source, position + len(source[position:]) - len(source[position:].lstrip()))
        group = match.lastgroup or "end"
        start = match.start(group)
        text = match.group(group)
        position = match.end()
        if group == "dot" and previous in _BEFORE_NUMBER:
            number = _DOTTED_NUMBER.match(source, start)
            assert number is not None
            group, text, position = "number", number.group(), number.end()
        token = _token(group, text, start, previous, source)
        found.append(token)
        if group == "end":
            return found
        previous = token.kind


def _token(group: str, text: str, start: int, previous: str, source: str) -> Token:
    column = start + 1
    if group == "word":
        if not _NAME.match(text):
            raise _unexpected(source, start, text)
        if previous != "." and text in _CONSTANTS:
            return Token("value", text, column, _CONSTANTS[text])
        return Token("name", text, column)
    if group == "string":
        return Token("value", text, column, text[1:-1].replace("''", "'"))
    if group == "number":
        number = parse_number(text)
        if math.isnan(number):
            raise _unexpected(source, start, text)
        return Token("value", text, column, number)
    return Token(group if group == "end" else text, text, column)


def _unexpected(source: str, start: int, text: str | None = None) -> ExpressionError:
    if text is None:
        if source[start] == "'":
            text = source[start:]
        else:
            rest = _REST.match(source, start)
            text = rest.group() if rest else source[start]
    message = f"unexpected symbol {text!r}" if "'" not in text else f"unexpected symbol {text}"
    if text.startswith("'"):
        message = f"a string that begins with {text[:20]} is not closed"
    elif '"' in text:
        message += "; strings stand in single quotes"
    return ExpressionError(message, stage="lexing", column=start + 1, source=source)
