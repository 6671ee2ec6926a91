"""Warns where a script would run text that strangers choose, and names the safe form.

What is handed over by `env:` and read by the script itself (`"$TITLE"`) is safe; `${{ env.TITLE }}` in the script is not, as
that, too, is put into it before it runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from relevo.workflow import templates
from relevo.workflow.expressions import Expression, ExpressionError, compile
from relevo.workflow.expressions.paths import path_of
from relevo.workflow.findings import Findings
from relevo.workflow.nodes import Mapping, Node, Scalar, plain
from relevo.workflow.untrusted import untrusted

_GITHUB_SCRIPT: Final = "actions/github-script"
#: Inputs that actions run as a script.
_SCRIPT_INPUTS: Final = frozenset({"script", "inlinescript", "run", "command", "commands"})


def check_injection(root: Mapping, job: Mapping, step: Mapping, findings: Findings) -> None:
    """Add a warning for each value that strangers choose and that a script of this step would run."""
    for script, is_javascript in _scripts(step):
        if templates.OPEN in script.text:
            _check_script(script, is_javascript, (step, job, root), findings)


def _scripts(step: Mapping) -> Iterator[tuple[Scalar, bool]]:
    script = step.get("run")
    if isinstance(script, Scalar):
        yield script, False
    uses, inputs = step.get("uses"), step.get("with")
    if isinstance(inputs, Mapping) and isinstance(uses, Scalar):
        is_javascript = uses.text.lower().startswith(_GITHUB_SCRIPT)
        for key, value in inputs.entries:
            if key.text.lower() in _SCRIPT_INPUTS and isinstance(value, Scalar):
                yield value, is_javascript


def _check_script(
    script: Scalar, is_javascript: bool, holders: tuple[Mapping, ...], findings: Findings
) -> None:
    told: set[str] = set()
    for expression, number in _expressions(script):
        for path in dict.fromkeys((*untrusted(expression), *_by_env(expression, holders))):
            if path in told:
                continue
            told.add(path)
            name = _variable(path)
            read = f"process.env.{name}" if is_javascript else f'"${name}"'
            findings.add(
                script,
                f"whoever chooses {path} can run commands here: its text becomes part of the script",
                f"use {read} in the script"
                if path.startswith("env.")
                else f"hand it over by `env: {{{name}: ${{{{ {path} }}}}}}` and use {read} in the script",
                severity="warning",
                source=expression.source,
                number=number,
            )


def _expressions(node: Scalar) -> Iterator[tuple[Expression, int]]:
    try:
        for part in templates.pieces(node.text):
            if not isinstance(part, str):
                yield compile(part.source), part.number
    except ExpressionError:
        return  # reported before


def _by_env(expression: Expression, holders: tuple[Mapping, ...]) -> Iterator[str]:
    # env.NAME, where the nearest `env:` that sets NAME takes it from a stranger
    for node in expression.nodes():
        path = path_of(node)
        if path is None or len(path) != 2 or path[0] != "env":
            continue
        value = next((found for holder in holders if (found := _variable_of(holder, path[1]))), None)
        if value is not None and any(untrusted(inner) for inner, _ in _expressions(value)):
            yield f"env.{path[1].upper()}"


def _variable_of(holder: Mapping, name: str) -> Scalar | None:
    env: Node | None = holder.get("env")
    for key, value in env.entries if isinstance(env, Mapping) else ():
        if key.text.lower() == name and isinstance(value, Scalar) and isinstance(plain(value), str):
            return value
    return None


def _variable(path: str) -> str:
    # a name for the variable: the last word of the path that tells something
    words = [word for word in path.removeprefix("toJSON(").rstrip(")").split(".") if word not in ("*", "env")]
    return (
        "_".join(words[-2:]).upper() if words[-1] in ("body", "name", "title", "ref") else words[-1].upper()
    )
