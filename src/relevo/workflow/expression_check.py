"""Checks the expressions of a value: whether each can be read, and whether what it names is available where it stands."""

from __future__ import annotations

from functools import partial
from typing import Final

from relevo.workflow import templates
from relevo.workflow.diagnostics import closest
from relevo.workflow.expressions import CONTEXTS, STATUS, Expression, ExpressionError, compile
from relevo.workflow.expressions.functions import ARITY, SPELLING
from relevo.workflow.expressions.lexer import MAX_LENGTH
from relevo.workflow.findings import Findings
from relevo.workflow.nodes import Scalar

_FUNCTIONS: Final = tuple(SPELLING.get(name, name) for name in ARITY)
#: What to do about a context that exists, but not where it is used.
_INSTEAD: Final = {
    "secrets": "put the secret into `env:` and ask for env.NAME",
    "matrix": "the matrix is made after this is decided; put it on a step",
    "steps": "the steps of another job are asked by its `outputs:` and `needs`",
    "jobs": "ask for needs.<job>.outputs here",
}


def check_condition(node: Scalar, allowed: frozenset[str], findings: Findings) -> None:
    """Add what is wrong with an `if:`."""
    if node.value is None:
        return
    if templates.OPEN in node.text:
        parts = check_expressions(node, allowed, findings)
        if parts is not None and len(parts) > 1:
            findings.add(
                node,
                "this condition is always true: text around ${{ }} makes it a text",
                "put the whole condition inside one ${{ }}, or leave ${{ }} out",
                severity="warning",
            )
        return
    _compiled(node, node.text.strip() or "success()", 0, allowed, findings)


def check_text(node: Scalar, allowed: frozenset[str], findings: Findings) -> list[str | Expression] | None:
    """Add what is wrong with a text that holds `${{ }}`, and give its parts; None when something is wrong."""
    if not allowed:
        findings.add(node, "expressions (${{ }}) are not available here")
        return None
    parts = check_expressions(node, allowed, findings)
    if parts is not None and len(parts) > 1 and len(node.text) > MAX_LENGTH:
        findings.add(
            node,
            f"a text with expressions in it may have {MAX_LENGTH} characters, this one has {len(node.text)}",
            "hand values over by `env:` and leave ${{ }} out of the text",
        )
    return parts


def check_expressions(
    node: Scalar, allowed: frozenset[str], findings: Findings
) -> list[str | Expression] | None:
    """Add what is wrong with every expression of a text, and give its parts; None when something is wrong."""
    parts: list[str | Expression] = []
    good = True
    try:
        for part in templates.pieces(node.text):
            if isinstance(part, str):
                parts.append(part)
                continue
            compiled = _compiled(node, part.source, part.number, allowed, findings)
            if compiled is None:
                good = False
            else:
                parts.append(compiled)
    except ExpressionError as error:  # where one begins and ends cannot be told
        findings.add_error(node, error)
        return None
    return parts if good else None


def _compiled(
    node: Scalar, source: str, number: int, allowed: frozenset[str], findings: Findings
) -> Expression | None:
    try:
        expression = compile(source)
        problems = expression.problems(allowed)
    except ExpressionError as error:
        problems = [error]
    for problem in problems:
        findings.add_error(node, problem, partial(_hint, problem, allowed), number)
    return None if problems else expression


def _hint(error: ExpressionError, allowed: frozenset[str]) -> str | None:
    name = error.name
    if error.message.startswith("unknown function"):
        close = closest(name, _FUNCTIONS)
        return f"did you mean '{close}'?" if close else f"functions: {', '.join(_FUNCTIONS)}"
    if error.message.startswith("function"):
        if name in STATUS:
            return f"{name}() stands in `if:` only"
        return "it needs the files of a running job: use it in a step"
    if not name:
        return None
    contexts = sorted(name for name in allowed if name in CONTEXTS)
    if name not in CONTEXTS and (close := closest(name, contexts)):
        return f"did you mean '{close}'?"
    available = (
        f"contexts available here: {', '.join(contexts)}" if contexts else "no context is available here"
    )
    return f"{_INSTEAD[name]}; {available}" if name in _INSTEAD else available
