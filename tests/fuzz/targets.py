"""What hostile bytes are thrown at. Each target returns quietly for every input, or the program has a fault.

An input may be refused only in the words of the language: WorkflowInvalid with a place, ExpressionError.
"""

from __future__ import annotations

from relevo.workflow.action_reader import ActionFile, read_action, refusal
from relevo.workflow.evaluate import evaluate_job
from relevo.workflow.expressions import ExpressionError, Scope, Value, compile
from relevo.workflow.expressions.functions import MAX_TEXT
from relevo.workflow.model import Workflow
from relevo.workflow.plan import order
from relevo.workflow.reader import WorkflowInvalid, read
from relevo.workflow.support import unsupported

_CONTEXT: dict[str, dict[str, Value]] = {
    "github": {"ref": "refs/heads/main", "event": {"commits": [{"message": "x"}, {"message": None}]}},
    "inputs": {
        "text": "a" * 1000,
        "list": list(range(50)),
        "deep": {"a": {"b": {"c": [1.5, True, None, "x"]}}},
    },
    "env": {"A": "1"},
}
#: The longest value that an expression may yield: a text, or lists of texts that it was given.
_LONGEST = 4 * MAX_TEXT


def scope() -> Scope:
    """Contexts with values of every kind."""
    return Scope(_CONTEXT)


def file(data: bytes) -> None:
    """A workflow file that is read, checked and planned; files that it calls hold the same bytes."""
    try:
        found = read(data, "w.yml", lambda reference: data if reference.startswith("./") else None)
    except WorkflowInvalid as error:
        _check_refusal(error, data)
    else:
        _use(found)


def _check_refusal(refusal: WorkflowInvalid, data: bytes) -> None:
    ends = ("\n", "\r", "\x85", "\u2028", "\u2029")  # of lines, for YAML 1.1
    lines = sum(data.count(end.encode()) for end in ends) + 2
    assert refusal.diagnostics
    assert all(0 <= one.line <= lines and one.message for one in refusal.diagnostics)
    assert str(refusal)


def _use(found: Workflow) -> None:
    order(found)
    assert all(problem.line > 0 for problem in unsupported(found))
    for job in found.jobs.values():
        verdict = evaluate_job(
            job,
            workflow=found,
            github=_CONTEXT["github"],
            inputs=_CONTEXT["inputs"],
            vars={},
            needs={name: {"result": "success", "outputs": {"a": "[1, 2]"}} for name in job.needs},
            ancestors_ok=True,
            ancestors_failed=False,
            run_cancelled=False,
            max_legs=1000,
        )
        assert len(verdict.legs) <= 1000
        assert verdict.error is None or verdict.error


def expression(data: bytes) -> None:
    """An expression that is compiled, checked and evaluated, twice with the same outcome."""
    source = data.decode("utf-8", "replace")
    try:
        compiled = compile(source)
        compiled.check({"github", "inputs", "env"})
        value = compiled.evaluate(scope())
    except ExpressionError as error:
        _check_error(error, source)
    else:
        assert repr(compiled.evaluate(scope())) == repr(value)
        assert not isinstance(value, str) or len(value) <= _LONGEST


def _check_error(error: ExpressionError, source: str) -> None:
    assert 0 <= error.column <= len(source) + 1
    assert str(error)


def action(data: bytes) -> None:
    """An `action.yml`."""
    try:
        found = read_action(ActionFile("action.yml", data))
    except WorkflowInvalid as error:
        _check_refusal(error, data)
    else:
        refused = refusal(found, "./action")
        assert refused is None or refused.line > 0
        assert all(remark.severity == "warning" for remark in found.warnings)


TARGETS = {"file": file, "expression": expression, "action": action}
