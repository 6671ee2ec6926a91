"""The expression language of workflows: what stands between `${{` and `}}`.

    source ─lexer─► tokens ─parser─► syntax tree ─compiler─► closures ─► value

An expression is compiled once and evaluated against a `Scope`. Nothing here does I/O; length, depth and the size of
what functions make are bounded, so that a hostile expression gets an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from relevo.workflow.expressions.compiler import CONTEXTS, Run, Scope, build
from relevo.workflow.expressions.errors import ExpressionError
from relevo.workflow.expressions.functions import SPELLING, STATUS
from relevo.workflow.expressions.parser import parse
from relevo.workflow.expressions.syntax import Call, Compare, Index, Logic, Name, Node, Not, Spread
from relevo.workflow.expressions.values import ExactDict, Value, equal, to_number, to_text, truthy

__all__ = [
    "CONTEXTS",
    "STATUS",
    "ExactDict",
    "Expression",
    "ExpressionError",
    "Scope",
    "Value",
    "compile",
    "equal",
    "to_number",
    "to_text",
    "truthy",
]


class Expression:
    """A compiled expression. Immutable; equal sources share one."""

    __slots__ = ("root", "run", "source")

    def __init__(self, source: str, root: Node, run: Run) -> None:
        self.source = source
        self.root = root
        #: `evaluate` without its guard, for compiled code that calls many
        self.run = run

    def evaluate(self, scope: Scope) -> Value:
        """Its value. Raises ExpressionError."""
        try:
            return self.run(scope)
        except ExpressionError as error:
            if error.source:
                raise
            raise ExpressionError(
                f"{error.message} (in `{self.source.strip()[:200]}`)", stage=error.stage, source=self.source
            ) from None
        except RecursionError:
            raise ExpressionError("a value is nested too deeply", stage="evaluation") from None

    def nodes(self) -> list[Node]:
        """All nodes of its tree."""
        return _walk(self.root)

    def names(self) -> list[tuple[str, int]]:
        """The contexts that it reads, in lower case, each with its 1-based column."""
        return [(node.name, node.column) for node in _walk(self.root) if isinstance(node, Name)]

    def calls(self) -> list[tuple[str, int]]:
        """The functions that it calls, in lower case, each with its 1-based column."""
        return [(node.function, node.column) for node in _walk(self.root) if isinstance(node, Call)]

    def asks_status(self) -> bool:
        """Whether success(), failure(), always() or cancelled() stands in it."""
        return any(name in STATUS for name, _ in self.calls())

    def check(self, allowed: Iterable[str]) -> None:
        """Raises ExpressionError when it names a context, hashFiles or a status function that is not in `allowed`."""
        for problem in self.problems(allowed):
            raise problem

    def problems(self, allowed: Iterable[str]) -> list[ExpressionError]:
        """What `check` would raise, all of it."""
        names = {name.lower() for name in allowed}
        found = [
            self._refused("context", name, column, known=name in CONTEXTS)
            for name, column in self.names()
            if name not in names
        ]
        found += [
            self._refused("function", SPELLING.get(name, name), column, known=True)
            for name, column in self.calls()
            if (name in STATUS or name == "hashfiles") and name not in names
        ]
        return sorted(found, key=lambda problem: problem.column)

    def _refused(self, what: str, name: str, column: int, *, known: bool) -> ExpressionError:
        message = f"{what} '{name}' is not available here" if known else f"unknown {what} '{name}'"
        return ExpressionError(message, stage="parsing", column=column, source=self.source, name=name)


def _walk(root: Node) -> list[Node]:
    found = [root]
    for node in found:
        match node:
            case Index(target, key):
                found += (target, key)
            case Spread(below) | Not(below):
                found.append(below)
            case Compare(_, left, right):
                found += (left, right)
            case Logic(_, several) | Call(_, several):
                found.extend(several)
    return found


@lru_cache(maxsize=8192)
def compile(source: str) -> Expression:
    """The compiled form of a source (without `${{ }}`); a blank one is null. Cached. Raises ExpressionError."""
    root = parse(source)
    return Expression(source, root, build(root))
