"""What an expression reads, as paths: `steps.build.outputs.version`."""

from __future__ import annotations

from typing import Final

from relevo.workflow.expressions.syntax import Index, Literal, Name, Node, Spread

#: Stands in a path for `.*` and for keys that are computed.
ANY: Final = "*"


def path_of(node: Node) -> tuple[str, ...] | None:
    """The path that a node reads, in lower case; None when it does not begin with a context."""
    if isinstance(node, Name):
        return (node.name,)
    if isinstance(node, Spread):
        before = path_of(node.target)
        return (*before, ANY) if before else None
    if isinstance(node, Index):
        before = path_of(node.target)
        if before is None:
            return None
        if isinstance(node.key, Literal) and isinstance(node.key.value, str):
            return (*before, node.key.value.lower())
        return (*before, ANY)
    return None


def root_column(node: Node) -> int:
    """Where the context of a path stands, 1-based in the source."""
    while isinstance(node, (Index, Spread)):
        node = node.target
    return node.column if isinstance(node, Name) else 1
