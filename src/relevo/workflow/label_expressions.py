"""Expressions over labels: `gpu && !zone:b`, `(fast || pool:big) && linux`.

The syntax is that of Jenkins' label expressions: `!` before `&&` before `||`, parentheses. A name holds of a node that answers to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Final

from relevo.workflow.labels import EXCLUSIVE, OWN_PREFIXES, canonical

#: A name, ("not", e), ("all", e, …) or ("any", e, …).
Expression = str | tuple["str | Expression", ...]

_TOKENS: Final = re.compile(r"\s*(&&|\|\||[!()]|[^\s&|!()]+)")
#: Longer ones are refused, and so is deeper nesting.
LENGTH_LIMIT: Final = 2_000
DEPTH_LIMIT: Final = 50
#: So many names and parts are looked at to find out whether one contradicts itself: some ten milliseconds.
LOOKS_LIMIT: Final = 20_000


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
        return canonical(word)


def holds(expression: Expression, names: Set[str]) -> bool:
    """Whether it holds of a node that answers to these names."""
    if isinstance(expression, str):
        return expression in names
    kind, *parts = expression
    if kind == "not":
        return not holds(parts[0], names)
    return (all if kind == "all" else any)(holds(part, names) for part in parts)


def never_holds(expression: Expression, names: Set[str] = frozenset()) -> bool:
    """Whether it can hold of no node that answers to these names, whatever else that answers to.

    A node is in one pool and one zone and has one architecture. False also where finding out would take too long.
    """
    return not _Search(names).may_hold(expression, {})


class _Search:
    """Looks for names by which an expression holds: assumes one after the other (DPLL without its refinements)."""

    def __init__(self, names: Set[str]) -> None:
        self._names = names
        self._left = LOOKS_LIMIT

    def may_hold(self, expression: Expression, assumed: dict[str, bool]) -> bool:
        if self._left < 0:
            return True
        self._open = ""
        found = self._value(expression, assumed)
        if found is not None:
            return found
        name = self._open
        return any(self.may_hold(expression, {**assumed, name: held}) for held in (True, False))

    def _value(self, expression: Expression, assumed: dict[str, bool]) -> bool | None:
        self._left -= 1
        if isinstance(expression, str):
            return self._holds(expression, assumed)
        kind, *parts = expression
        values = [self._value(part, assumed) for part in parts]
        if kind == "not":
            return None if values[0] is None else not values[0]
        decisive = kind == "any"
        if decisive in values:
            return decisive
        return None if None in values else not decisive

    def _holds(self, name: str, assumed: dict[str, bool]) -> bool | None:
        if name in self._names:
            return True
        if name in assumed:
            return assumed[name]
        group = _exclusive(name)
        if group is not None:
            held = (*self._names, *(other for other, held in assumed.items() if held))
            self._left -= len(held)
            if any(_exclusive(other) == group for other in held):
                return False
        self._open = name
        return None


def _exclusive(name: str) -> object:
    """What a node has one of at most; None for other labels."""
    for prefix in OWN_PREFIXES:
        if name.startswith(prefix):
            return prefix
    return next((group for group in EXCLUSIVE if name in group), None)


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


def lacking(expression: Expression, names: Set[str]) -> Expression:
    """Of one that does not hold of a node the part that keeps it from holding: of `a && b` what of these does not."""
    if isinstance(expression, str) or expression[0] != "all":
        return expression
    parts = [lacking(part, names) for part in expression[1:] if not holds(part, names)]
    return parts[0] if len(parts) == 1 else ("all", *parts)


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
