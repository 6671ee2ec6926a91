"""What the expressions of a job come to, once its needs have ended: does it run, and as which legs.

In GitHub's order: the job's `if` first, then its matrix, then for each leg its name, labels, time-out and the rest.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Final

from relevo.workflow import templates
from relevo.workflow.concurrency import ConcurrencyWrong, asked_by
from relevo.workflow.concurrency import evaluate as evaluate_concurrency
from relevo.workflow.expressions import ExpressionError, Scope, to_number, to_text
from relevo.workflow.handover import NotHandedOver, inputs_of
from relevo.workflow.matrix import MAX_LEGS, Combination, MatrixInvalid, expand
from relevo.workflow.model import Concurrency, JobNode, Leg, Position, Value, Verdict, Workflow

#: Longest name of a leg (GitHub's limit); a longer one ends in `...`.
MAX_NAME: Final = 100
SKIPPED: Final = Verdict(run=False)
_NO_MATRIX: Final = Combination({}, ())
#: Verdicts of jobs without expressions, by the identity of their node, which the entry keeps alive.
_CONSTANT: Final[dict[int, tuple[JobNode, Verdict]]] = {}
_MAX_CONSTANT: Final = 4096


def evaluate_job(
    node: JobNode,
    *,
    workflow: Workflow,
    github: dict[str, Value],
    inputs: dict[str, Value],
    vars: dict[str, Value],
    needs: dict[str, dict[str, Value]],
    ancestors_ok: bool,
    ancestors_failed: bool,
    run_cancelled: bool,
    taken: Collection[str] = (),
    max_legs: int = MAX_LEGS,
    prefix: str = "",
) -> Verdict:
    """The verdict on a job. Never raises for what a workflow says: then `error` tells, with file, line and column.

    `needs` holds the direct needs: {job: {"result": …, "outputs": {…}}}. `ancestors_ok`: all needs, direct and
    indirect, succeeded; `ancestors_failed`: one of them failed. `taken` are names of legs that the run has already (a
    set or dict of them);
    `max_legs` is how many it may still get; `prefix` is put before their names. Costs about a microsecond for a job without expressions.
    """
    known = known_verdict(node, taken) if not prefix else None
    if known is not None:
        return known if ancestors_ok and not run_cancelled else SKIPPED
    scope = Scope(
        {"github": github, "inputs": inputs, "vars": vars, "needs": needs},
        success=ancestors_ok and not run_cancelled,
        failure=ancestors_failed and not run_cancelled,
        cancelled=run_cancelled,
    )
    step = "if"
    try:
        if not templates.evaluate_condition(node.if_, scope):
            return SKIPPED
        step = "strategy"
        fail_fast, max_parallel, combinations = _strategy(node, scope, max_legs)
        step = ""
        names = Names(taken, prefix)
        legs = _Legs(node, workflow, scope, fail_fast, max_parallel, combinations).build(names)
    except (ExpressionError, MatrixInvalid, _Wrong) as error:
        key = error.key if isinstance(error, _Wrong) else step
        return Verdict(run=True, error=located(workflow, node, key, str(error)))
    if not combinations:
        return Verdict(run=False, warnings=(f"job '{node.id}': nothing is left of its matrix",))
    verdict = Verdict(run=True, legs=legs)
    if not prefix and not names.repeated and _is_constant(node):
        if len(_CONSTANT) >= _MAX_CONSTANT:
            _CONSTANT.clear()
        _CONSTANT[id(node)] = (node, verdict)
    return verdict


def known_verdict(node: JobNode, taken: Collection[str]) -> Verdict | None:
    """What `evaluate_job` would say of a job that needs none, in a run that is not being cancelled, with no prefix: None when that
    has to be evaluated."""
    known = _CONSTANT.get(id(node))
    return known[1] if known is not None and known[0] is node and known[1].legs[0].name not in taken else None


class _Wrong(Exception):
    """A value that a key of the job cannot have."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def located(workflow: Workflow, node: JobNode, key: str, message: str) -> str:
    """A message about a key of a job ('': the job as a whole), with file, line and column."""
    where = f"jobs.{node.id}"
    position: Position = workflow.marks.get(f"{where}.{key}") or node.position
    name = f"{where}.{key}" if key else where
    return f"{workflow.path}:{position.line}:{position.column}: {name}: {message}"


def _is_constant(node: JobNode) -> bool:
    return (
        node.called is None
        and node.if_ is None
        and node.matrix is None
        and node.strategy is None
        and not templates.has_expression(
            [
                node.name,
                node.runs_on,
                node.timeout_minutes,
                node.continue_on_error,
                node.fail_fast,
                node.max_parallel,
                node.concurrency,
            ]
        )
    )


def _strategy(
    node: JobNode, scope: Scope, max_legs: int
) -> tuple[bool, int | None, list[Combination] | tuple[Combination, ...]]:
    fail_fast, max_parallel, matrix = node.fail_fast, node.max_parallel, node.matrix
    if node.strategy is not None:
        strategy = templates.evaluate(node.strategy, scope)
        if not isinstance(strategy, dict):
            raise _Wrong("strategy", f"expected a mapping, the expression yields {_shown(strategy)}")
        fail_fast, max_parallel = strategy.get("fail-fast", True), strategy.get("max-parallel")
        matrix = strategy.get("matrix")
    parallel = templates.evaluate(max_parallel, scope)
    if parallel is not None:
        parallel = _number("strategy", "max-parallel", parallel)
        if parallel < 1:
            raise _Wrong("strategy", f"max-parallel must be at least 1, not {to_text(parallel)}")
        parallel = int(parallel)
    fast = _flag("strategy", templates.evaluate(fail_fast, scope), default=True)
    if matrix is None:
        return fast, parallel, (_NO_MATRIX,)
    evaluated = templates.evaluate(matrix, scope)
    if not isinstance(evaluated, dict):
        raise _Wrong("strategy", f"the matrix must be a mapping, the expression yields {_shown(evaluated)}")
    return fast, parallel, expand(evaluated, max_legs)


class _Legs:
    """Makes the legs of one job; what holds no expression is evaluated once for all of them."""

    def __init__(
        self,
        node: JobNode,
        workflow: Workflow,
        scope: Scope,
        fail_fast: bool,
        max_parallel: int | None,
        combinations: Collection[Combination],
    ) -> None:
        self._node = node
        self._workflow = workflow
        self._scope = scope
        self._fail_fast = fail_fast
        self._max_parallel = max_parallel
        self._combinations = combinations
        self._has_matrix = node.matrix is not None or node.strategy is not None

    def build(self, names: Names) -> tuple[Leg, ...]:
        node, total = self._node, len(self._combinations)
        varies = templates.has_expression([node.runs_on, node.timeout_minutes, node.continue_on_error])
        groups = asked_by(node)
        asks = bool(groups) and templates.has_expression([value for value, _ in groups])
        named = templates.has_expression(node.name)
        strategy = {
            "fail-fast": self._fail_fast,
            "job-total": total,
            "max-parallel": self._max_parallel or total,
        }
        fixed: tuple[tuple[str, ...], float, bool] | None = None
        legs: list[Leg] = []
        for index, combination in enumerate(self._combinations):
            scope = self._scope
            if varies or named or asks or node.called is not None:
                contexts = {
                    **scope.contexts,
                    "strategy": {**strategy, "job-index": index},
                    "matrix": combination.values if self._has_matrix else None,
                }
                scope = Scope(contexts)
            if fixed is None or varies:
                fixed = (self._labels(scope), self._timeout(scope), self._continue_on_error(scope))
            labels, timeout_s, continue_on_error = fixed
            inputs, error = self._handed_over(scope)
            legs.append(
                Leg(
                    name=names.unique(self._name(scope, combination, named)),
                    matrix=combination.values,
                    index=index,
                    total=total,
                    labels=labels,
                    timeout_s=timeout_s,
                    continue_on_error=continue_on_error,
                    max_parallel=self._max_parallel,
                    fail_fast=self._fail_fast,
                    inputs=inputs,
                    error=error,
                    groups=self._groups(groups, scope, inputs) if groups and error is None else (),
                )
            )
        return tuple(legs)

    def _groups(
        self, asked: list[tuple[Value, bool]], scope: Scope, inputs: dict[str, Value]
    ) -> tuple[Concurrency, ...]:
        groups = []
        for value, called in asked:
            seen = Scope({**scope.contexts, "inputs": inputs}) if called else scope
            try:
                groups.append(evaluate_concurrency(value, seen))
            except (ExpressionError, ConcurrencyWrong) as error:
                said = f"{self._node.called.path}: {error}" if called and self._node.called else str(error)
                raise _Wrong("uses" if called else "concurrency", said) from None
        return tuple(groups)

    def _handed_over(self, scope: Scope) -> tuple[dict[str, Value], str | None]:
        node = self._node
        if node.called is None:
            return {}, None
        try:
            return inputs_of(node, node.called, scope), None
        except NotHandedOver as error:
            return {}, located(self._workflow, node, error.key, str(error))

    def _name(self, scope: Scope, combination: Combination, named: bool) -> str:
        base = self._node.name or self._node.id
        if named:
            try:
                base = templates.evaluate_text(base, scope)
            except ExpressionError as error:
                raise _Wrong("name", str(error)) from None
        name = " ".join(base.split()) or self._node.id
        # a name that is an expression says itself what tells the legs apart
        if combination.segments and not (named and base.strip()):
            name = f"{name} ({', '.join(' '.join(text.split()) for text in combination.segments)})"
        return name if len(name) <= MAX_NAME else name[: MAX_NAME - 3] + "..."

    def _labels(self, scope: Scope) -> tuple[str, ...]:
        if self._node.uses is not None:
            return ()
        try:
            value = templates.evaluate(self._node.runs_on, scope)
        except ExpressionError as error:
            raise _Wrong("runs-on", str(error)) from None
        group: Value = None
        if isinstance(value, dict):
            group, value = value.get("group"), value.get("labels", [])
        items = value if isinstance(value, list) else [value]
        labels = [to_text(item).strip() for item in items]
        if any(isinstance(item, (list, dict)) for item in items) or not all(labels):
            raise _Wrong("runs-on", f"expected labels, the value is {_shown(value)}")
        if group:
            labels.append(f"group:{to_text(group)}")
        if not labels:
            raise _Wrong("runs-on", "there is no label left")
        return tuple(dict.fromkeys(labels))

    def _timeout(self, scope: Scope) -> float:
        try:
            value = templates.evaluate(self._node.timeout_minutes, scope)
        except ExpressionError as error:
            raise _Wrong("timeout-minutes", str(error)) from None
        minutes = _number("timeout-minutes", "the time-out", value)
        if minutes <= 0:
            raise _Wrong("timeout-minutes", f"the time-out must be above 0, not {to_text(value)}")
        return minutes * 60.0

    def _continue_on_error(self, scope: Scope) -> bool:
        try:
            value = templates.evaluate(self._node.continue_on_error, scope)
        except ExpressionError as error:
            raise _Wrong("continue-on-error", str(error)) from None
        return _flag("continue-on-error", value, default=False)


class Names:
    """Gives each leg a name that no other of the run has."""

    def __init__(self, taken: Collection[str], prefix: str) -> None:
        self._prefix = prefix
        self._taken = taken
        self._given: set[str] = set()
        self._next: dict[str, int] = {}
        self.repeated = False  #: some name had to be changed

    def unique(self, name: str) -> str:
        found = name = self._prefix + name
        while found in self._given or found in self._taken:
            self.repeated = True
            number = self._next.get(name, 1) + 1
            self._next[name] = number
            found = f"{name} #{number}"
        self._given.add(found)
        return found


def _number(key: str, what: str, value: Value) -> float:
    # a text with a number in it is taken as well: inputs of workflow_dispatch are texts
    number = math.nan if isinstance(value, bool) or value in (None, "") else to_number(value)
    if not math.isfinite(number):
        raise _Wrong(key, f"{what} must be a number, not {_shown(value)}")
    return number


def _flag(key: str, value: Value, *, default: bool) -> bool:
    if value is None or value == "":
        return default
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise _Wrong(key, f"expected true or false, not {_shown(value)}")


def _shown(value: Value) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = to_text(value)
    return f"'{text[:60]}'" if text else "an empty value"
