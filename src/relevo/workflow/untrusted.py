"""Finds values that strangers choose and that a script would run as its own text.

`${{ github.event.pull_request.title }}` in `run:` is put into the script before the shell reads it.
Source of the list: GitHub, Security hardening for GitHub Actions, "Understanding the risk of script injections".
"""

from __future__ import annotations

from typing import Final

from relevo.workflow.expressions import Expression
from relevo.workflow.expressions.syntax import Index, Literal, Name, Node, Spread

_ANY: Final = "*"
_PATHS: Final = frozenset(
    tuple(path.split("."))
    for path in (
        "github.head_ref",
        "github.event.issue.title",
        "github.event.issue.body",
        "github.event.pull_request.title",
        "github.event.pull_request.body",
        "github.event.pull_request.head.ref",
        "github.event.pull_request.head.label",
        "github.event.pull_request.head.repo.default_branch",
        "github.event.discussion.title",
        "github.event.discussion.body",
        "github.event.comment.body",
        "github.event.review.body",
        "github.event.review_comment.body",
        "github.event.pages.*.page_name",
        "github.event.commits.*.message",
        "github.event.commits.*.author.email",
        "github.event.commits.*.author.name",
        "github.event.head_commit.message",
        "github.event.head_commit.author.email",
        "github.event.head_commit.author.name",
        "github.event.workflow_run.head_branch",
        "github.event.workflow_run.head_commit.message",
        "github.event.workflow_run.display_title",
    )
)


def untrusted(expression: Expression) -> str | None:
    """The first value in an expression that a stranger chooses, as a path; None when there is none."""
    for node in expression.nodes():
        path = _path(node)
        if path is not None and any(_same(path, known) for known in _PATHS):
            return ".".join(path)
    return None


def _path(node: Node) -> tuple[str, ...] | None:
    if isinstance(node, Name):
        return (node.name,)
    if isinstance(node, Spread):
        before = _path(node.target)
        return (*before, _ANY) if before else None
    if isinstance(node, Index):
        before = _path(node.target)
        if before is None:
            return None
        if isinstance(node.key, Literal) and isinstance(node.key.value, str):
            return (*before, node.key.value.lower())
        return (*before, _ANY)
    return None


def _same(path: tuple[str, ...], known: tuple[str, ...]) -> bool:
    # a computed key or a .* may stand for any name
    return len(path) == len(known) and all(
        one == other or _ANY in (one, other) for one, other in zip(path, known, strict=True)
    )
