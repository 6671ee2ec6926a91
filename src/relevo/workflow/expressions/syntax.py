"""The syntax tree of an expression."""

from __future__ import annotations

from msgspec import Struct

from relevo.workflow.expressions.values import Value


class Node(Struct, frozen=True, gc=False):
    """Root of all nodes. `depth` is the number of levels below and including it."""


class Literal(Node, frozen=True, gc=False):
    """A constant."""

    value: Value
    depth: int = 1


class Name(Node, frozen=True, gc=False):
    """A context, by its name in lower case."""

    name: str
    column: int
    depth: int = 1


class Index(Node, frozen=True):
    """`target.key`, `target[key]`."""

    target: Node
    key: Node
    depth: int


class Spread(Node, frozen=True):
    """`target.*`."""

    target: Node
    depth: int


class Not(Node, frozen=True):
    """`!operand`."""

    operand: Node
    depth: int


class Compare(Node, frozen=True):
    """`left operator right`."""

    operator: str
    left: Node
    right: Node
    depth: int


class Logic(Node, frozen=True):
    """`a && b && …` or `a || b || …`."""

    operator: str
    operands: tuple[Node, ...]
    depth: int


class Call(Node, frozen=True):
    """A function called, by its name in lower case."""

    function: str
    arguments: tuple[Node, ...]
    column: int
    depth: int
