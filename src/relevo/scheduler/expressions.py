"""Expressions over labels: `gpu && !zone:b`, `(fast || pool:big) && linux`.

The syntax is that of Jenkins' label expressions: `!` before `&&` before `||`, parentheses. A name holds of a node that answers to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Final

#: A name, ("not", e), ("all", e, …) or ("any", e, …).
Expression = str | tuple["str | Expression", ...]

_TOKENS: Final = re.compile(r"\s*(&&|\|\||[!()]|[^\s&|!()]+)")
#: Longer ones are refused, and so is deeper nesting.
LENGTH_LIMIT: Final = 2_000
DEPTH_LIMIT: Final = 50


def parse(text: str) -> Expression:
    """Read an expression. Raises ValueError, saying where it goes wrong."""
    if len(text) > LENGTH_LIMIT:
        raise ValueError(f"an expression over labels may have {LENGTH_LIMIT} characters")
    reader = _Reader(text)
    found = reader.any_of(0)
    if reader.ahead:
        raise ValueError(f"'{text}': '{reader.ahead}' is not expected there")
    return found


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.ahead = ""
        self._step()

    def _step(self) -> str:
        was = self.ahead
        match = _TOKENS.match(self._text, self._at)
        if match is None:
            if rest := self._text[self._at :].strip():
                raise ValueError(f"'{self._text}': '{rest[0]}' is not expected there; write && and ||")
            self.ahead = ""
        else:
            self.ahead = match[1]
            self._at = match.end()
        return was

    def any_of(self, depth: int) -> Expression:
        parts = [self._all_of(depth)]
        while self.ahead == "||":
            self._step()
            parts.append(self._all_of(depth))
        return parts[0] if len(parts) == 1 else ("any", *parts)

    def _all_of(self, depth: int) -> Expression:
        parts = [self._one(depth)]
        while self.ahead == "&&":
            self._step()
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else ("all", *parts)

    def _one(self, depth: int) -> Expression:
        if depth > DEPTH_LIMIT:
            raise ValueError(f"an expression over labels may be {DEPTH_LIMIT} deep")
        word = self._step()
        if word == "!":
            return ("not", self._one(depth + 1))
        if word == "(":
            found = self.any_of(depth + 1)
            if self._step() != ")":
                raise ValueError(f"'{self._text}': a parenthesis is not closed")
            return found
        if not word or word in {"&&", "||", ")"}:
            raise ValueError(
                f"'{self._text}': a label is missing {f'before {word}' if word else 'at its end'}"
            )
        return word.lower()


def holds(expression: Expression, names: Set[str]) -> bool:
    """Whether it holds of a node that answers to these names."""
    if isinstance(expression, str):
        return expression in names
    kind, *parts = expression
    if kind == "not":
        return not holds(parts[0], names)
    return (all if kind == "all" else any)(holds(part, names) for part in parts)


def select(expression: Expression, nodes_by_name: Mapping[str, int], every: int) -> int:
    """Of which nodes it holds, as a bit set. `every`: all nodes."""
    if isinstance(expression, str):
        return nodes_by_name.get(expression, 0)
    kind, *parts = expression
    if kind == "not":
        return every & ~select(parts[0], nodes_by_name, every)
    found = every if kind == "all" else 0
    for part in parts:
        one = select(part, nodes_by_name, every)
        found = found & one if kind == "all" else found | one
    return found


def text(expression: Expression) -> str:
    """As people write it."""
    if isinstance(expression, str):
        return expression
    kind, *parts = expression
    if kind == "not":
        return f"!{_inner(parts[0])}"
    return (" && " if kind == "all" else " || ").join(_inner(part) for part in parts)


def _inner(expression: Expression) -> str:
    bare = isinstance(expression, str) or expression[0] == "not"
    return text(expression) if bare else f"({text(expression)})"
