"""Finds values that strangers choose and that a script would run as its own text.

`${{ github.event.pull_request.title }}` in `run:` is put into the script before the shell reads it. A value is found wherever
its text may come out of the expression: by itself, in format() or join(), as a part of an object in toJSON(); not where only a
comparison looks at it.
Source of the list: GitHub, Security hardening for GitHub Actions, "Understanding the risk of script injections".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from relevo.workflow.expressions import Expression
from relevo.workflow.expressions.paths import ANY, path_of
from relevo.workflow.expressions.syntax import Call, Index, Logic, Name, Node, Spread

_WHO: Final = ("email", "name")
_KNOWN: Final = (
    "github.head_ref",
    *(f"github.event.{what}.{field}" for what in ("issue", "discussion") for field in ("title", "body")),
    *(f"github.event.pull_request.{field}" for field in ("title", "body", "head.ref", "head.label")),
    *(
        f"github.event.pull_request.head.repo.{field}"
        for field in ("default_branch", "description", "homepage")
    ),
    *(f"github.event.{what}.body" for what in ("comment", "review", "review_comment")),
    "github.event.pages.*.page_name",
    "github.event.pages.*.title",
    *(
        f"github.event.{commit}.{field}"
        for commit in ("commits.*", "head_commit", "workflow_run.head_commit")
        for field in ("message", *(f"{role}.{who}" for role in ("author", "committer") for who in _WHO))
    ),
    "github.event.workflow_run.head_branch",
    "github.event.workflow_run.display_title",
    "github.event.workflow_run.head_repository.description",
    "github.event.workflow_run.pull_requests.*.head.ref",
)
_PATHS: Final = frozenset(tuple(path.split(".")) for path in _KNOWN)
#: Functions whose result holds the text of none of their arguments.
_TELLING_NOTHING: Final = frozenset(
    {"contains", "startswith", "endswith", "hashfiles", "success", "failure", "always", "cancelled"}
)


def untrusted(expression: Expression) -> list[str]:
    """The values in an expression that strangers choose and whose text may come out of it, as they are written, each once."""
    return list(dict.fromkeys(_flowing(expression.root, whole=False)))


def _flowing(node: Node, *, whole: bool) -> Iterator[str]:
    # `whole`: an object's contents come out, too
    if isinstance(node, Call):
        if node.function in _TELLING_NOTHING:
            return
        arguments = node.arguments[1::2] + node.arguments[-1:] if node.function == "case" else node.arguments
        for argument in arguments:
            yield from _flowing(argument, whole=whole or node.function == "tojson")
    elif isinstance(node, Logic):
        # `a && b` comes out as a only when that is empty or false
        for operand in node.operands if node.operator == "||" else node.operands[-1:]:
            yield from _flowing(operand, whole=whole)
    elif isinstance(node, (Index, Name, Spread)):
        path = path_of(node)
        if path is None:  # of what a function yields
            yield from _flowing(_target(node), whole=True)
        elif _is_known(path):
            yield ".".join(path)
        elif whole and _holds_known(path):
            yield f"toJSON({'.'.join(path)})"


def _target(node: Node) -> Node:
    while isinstance(node, (Index, Spread)):
        node = node.target
    return node


def _is_known(path: tuple[str, ...]) -> bool:
    return any(len(path) == len(known) and _agree(path, known) for known in _PATHS)


def _holds_known(path: tuple[str, ...]) -> bool:
    return any(len(path) < len(known) and _agree(path, known) for known in _PATHS)


def _agree(path: tuple[str, ...], known: tuple[str, ...]) -> bool:
    # a computed key or a .* may stand for any name
    return all(one == other or ANY in (one, other) for one, other in zip(path, known, strict=False))
