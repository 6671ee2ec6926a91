"""What the expressions of a step and of a job's outputs come to. No waiting, and no I/O but that of hashFiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from relevo.agent.masks import Masks
from relevo.agent.prepared import Evaluated, PreparedJob, PreparedStep, evaluated
from relevo.agent.step_contexts import (
    CANCELLED,
    SUCCESS,
    Contexts,
    StepContexts,
    evaluated_env,
    evaluated_name,
)
from relevo.workflow.expressions import ExpressionError, Value
from relevo.workflow.templates import evaluate, evaluate_condition, evaluate_text

OUTPUTS_LIMIT_BYTES: Final = 1 << 20


def evaluate_step(step: PreparedStep, contexts: Contexts) -> Evaluated | None:
    """A step ready to run; None when its condition does not hold.

    Raises ExpressionError, ShellInvalid, ValueError for a time-out that is none, OSError from hashFiles.
    """
    spec, constant = step.spec, step.constant
    if spec.if_ is None:
        if contexts.status != SUCCESS:
            return None
        if constant is not None:
            return constant
    env = constant.env if constant is not None else evaluated_env(spec.env, contexts.scope({}))
    scope = contexts.scope(env)
    if spec.if_ is not None and not evaluate_condition(spec.if_, scope):
        return None
    if constant is not None:
        return constant
    return evaluated(
        evaluated_name(spec, scope),
        env,
        None if spec.run is None else evaluate_text(spec.run, scope),
        None if step.shell is None else evaluate_text(step.shell, scope),
        evaluate_text(step.working_directory, scope),
        evaluate(spec.timeout_minutes, scope),
        evaluate(spec.with_, scope),
    )


def still_wanted(step: PreparedStep, evaluated: Evaluated, contexts: Contexts) -> bool:
    """Whether a step that runs goes on now that the job is cancelled: as its condition says then."""
    if step.spec.if_ is None:
        return False
    try:
        return evaluate_condition(step.spec.if_, contexts.scope(evaluated.env, status=CANCELLED))
    except (ExpressionError, OSError):
        return False


def continues_on_error(step: PreparedStep, env: Mapping[str, str], contexts: Contexts) -> bool:
    """Whether the job goes on as if this step had succeeded. Raises ExpressionError."""
    value = step.spec.continue_on_error
    if value is False:
        return False
    return _boolean(evaluate(value, contexts.scope(env)))


def _boolean(value: Value) -> bool:
    if isinstance(value, str):
        return value.strip().lower() == "true"
    return value is True


def evaluate_outputs(
    job: PreparedJob, contexts: StepContexts, masks: Masks
) -> tuple[dict[str, str], list[str], str]:
    """The job's outputs, warnings about those left out, and what is wrong ("" if nothing).

    An empty output is left out, one that holds a secret is left out with a warning, as on GitHub.
    """
    scope = contexts.scope({}, files=False)
    outputs: dict[str, str] = {}
    warnings: list[str] = []
    size = 0
    for name, template in job.spec.outputs.items():
        try:
            value = evaluate_text(template, scope)
        except ExpressionError as error:
            return {}, warnings, f"Fail to evaluate job outputs: {name}: {error}"
        if not value:
            continue
        if masks.found_in(value):
            warnings.append(f"Skip output '{name}' since it may contain secret.")
            continue
        size += len(name) + len(value.encode("utf-8", "replace"))
        if size > OUTPUTS_LIMIT_BYTES:
            return {}, warnings, f"the outputs of the job are larger than {OUTPUTS_LIMIT_BYTES >> 20} MB"
        outputs[name] = value
    return outputs, warnings, ""
