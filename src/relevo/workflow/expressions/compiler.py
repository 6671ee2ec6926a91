"""From the syntax tree to closures: each node becomes a function of the scope."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from relevo.workflow.expressions.functions import PURE, failed
from relevo.workflow.expressions.syntax import Call, Compare, Index, Literal, Logic, Name, Node, Not, Spread
from relevo.workflow.expressions.values import Value, equal, less, lookup, spread, to_text, truthy

#: Every context that GitHub's language has. One that is absent from a scope is null.
CONTEXTS: Final = frozenset(
    {
        "github",
        "env",
        "vars",
        "job",
        "jobs",
        "steps",
        "runner",
        "secrets",
        "strategy",
        "matrix",
        "needs",
        "inputs",
    }
)


class Scope(Struct):
    """What an expression sees. The status fields may be set anew between steps."""

    contexts: dict[str, Value]  #: by name in lower case
    success: bool = True  #: what success() says
    failure: bool = False
    cancelled: bool = False
    #: hashFiles(): patterns → hash, '' when nothing matched; None where it is not available
    hash_files: Callable[[Sequence[str]], str] | None = None


Run = Callable[[Scope], Value]


def build(node: Node) -> Run:
    """The function that evaluates a tree."""
    match node:
        case Literal(value):
            return lambda scope: value
        case Name(name):
            return _context(name)
        case Index(target, key):
            return _index(target, key)
        case Spread(target):
            of = build(target)
            return lambda scope: spread(of(scope))
        case Not(operand):
            inner = build(operand)
            return lambda scope: not truthy(inner(scope))
        case Compare(operator, left, right):
            return _compare(operator, build(left), build(right))
        case Logic(operator, operands):
            return _logic(operator, tuple(map(build, operands)))
        case Call(function, arguments):
            return _call(function, tuple(map(build, arguments)))
    raise AssertionError(node)


def _context(name: str) -> Run:
    known = name in CONTEXTS

    def run(scope: Scope) -> Value:
        try:
            return scope.contexts[name]
        except KeyError:
            if known:
                return None
            raise failed(f"unknown context '{name}'") from None

    return run


def _index(target: Node, key: Node) -> Run:
    of = build(target)
    if isinstance(key, Literal) and isinstance(key.value, str):
        name = key.value

        def member(scope: Scope) -> Value:
            holder = of(scope)
            # the common case spelled out: an object that has the name just so
            if type(holder) is dict and name in holder:
                return holder[name]
            return lookup(holder, name)

        return member
    at = build(key)
    return lambda scope: lookup(of(scope), at(scope))


def _compare(operator: str, left: Run, right: Run) -> Run:
    if operator == "==":
        return lambda scope: equal(left(scope), right(scope))
    if operator == "!=":
        return lambda scope: not equal(left(scope), right(scope))
    if operator == "<":
        return lambda scope: less(left(scope), right(scope))
    if operator == ">":
        return lambda scope: less(right(scope), left(scope))
    swapped = operator == ">="

    def run(scope: Scope) -> bool:
        one, other = left(scope), right(scope)
        return equal(one, other) or (less(other, one) if swapped else less(one, other))

    return run


def _logic(operator: str, operands: tuple[Run, ...]) -> Run:
    stops_at = operator == "||"

    def run(scope: Scope) -> Value:
        value: Value = None
        for operand in operands:
            value = operand(scope)
            if truthy(value) is stops_at:
                return value
        return value

    return run


def _call(function: str, arguments: tuple[Run, ...]) -> Run:
    if function == "case":
        return _case(arguments)
    if function == "success":
        return lambda scope: scope.success
    if function == "failure":
        return lambda scope: scope.failure
    if function == "cancelled":
        return lambda scope: scope.cancelled
    if function == "always":
        return lambda scope: True
    if function == "hashfiles":
        return _hash_files(arguments)
    pure = PURE[function]
    if len(arguments) == 1:
        only = arguments[0]
        return lambda scope: pure(only(scope))
    if len(arguments) == 2:
        first, second = arguments
        return lambda scope: pure(first(scope), second(scope))
    return lambda scope: pure(*[argument(scope) for argument in arguments])


def _case(arguments: tuple[Run, ...]) -> Run:
    pairs = tuple(zip(arguments[:-1:2], arguments[1::2], strict=True))
    default = arguments[-1]

    def run(scope: Scope) -> Value:
        for condition, value in pairs:
            holds = condition(scope)
            if holds is True:
                return value(scope)
            if holds is not False:
                raise failed("case: a condition must be true or false")
        return default(scope)

    return run


def _hash_files(arguments: tuple[Run, ...]) -> Run:
    def run(scope: Scope) -> str:
        if scope.hash_files is None:
            raise failed("hashFiles is not available here: it needs the files of a running job")
        return scope.hash_files([to_text(argument(scope)) for argument in arguments])

    return run
