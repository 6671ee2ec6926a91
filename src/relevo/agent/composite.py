"""How a step runs that uses a local composite action: the steps in the action's file, one after another, as one step.

    uses: ./path ─► workspace/path/action.yml, read now ─► inputs ─► inner steps, each by its `if` ─► outputs
                                                              └─ which may use composite actions themselves

The file is read when the step's turn comes: a checkout has brought it, or an earlier step made it. Inner steps share the
step's log and its time-out. When the job is cancelled, those inner steps still run that ask for it (`always()`,
`cancelled()`). Source: actions/runner, CompositeActionHandler.cs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from relevo.agent.actions.contract import ActionFailed
from relevo.agent.composite_contexts import CompositeContexts
from relevo.agent.evaluation import continues_on_error, evaluate_step
from relevo.agent.prepared import Evaluated, PreparedStep, name_of, prepare_inner
from relevo.agent.shells import ShellInvalid
from relevo.agent.step_contexts import CANCELLED, FAILURE, SKIPPED, SUCCESS
from relevo.agent.steps import StepEnd, StepRunner, Turn
from relevo.workflow.action_reader import MAX_DEPTH, find, read_action, refusal
from relevo.workflow.diagnostics import Diagnostic, WorkflowInvalid
from relevo.workflow.expressions import ExpressionError, Scope
from relevo.workflow.model import Action, ActionInput
from relevo.workflow.templates import evaluate_text


async def run_composite(runner: StepRunner, turn: Turn) -> StepEnd:
    """Run a step with `uses: ./path` to its end. Raises WorkerUnavailable, and Interrupted before its first inner step."""
    uses = turn.step.spec.uses or ""
    workspace = turn.contexts.folders.workspace
    try:
        action = await runner.blocking(_load, workspace, uses, turn.contexts.depth)
        inputs = await _inputs(runner, action, turn)
    except WorkflowInvalid as error:
        return _invalid(error.diagnostics, turn)
    except (ActionFailed, ExpressionError, OSError) as error:
        return _failed(turn, f"{uses}: {error}")
    steps = prepare_inner(action.steps, turn.step)
    if not all(step.spec.idempotent for step in steps):
        await runner.intend(turn.step)
    folder = os.path.join(workspace, os.path.dirname(action.path))
    contexts = CompositeContexts(turn.contexts, turn.evaluated.env, inputs, folder)
    end = StepEnd(SUCCESS)
    for step in steps:
        if runner.timed_out or runner.activity.last:
            break
        if runner.activity.interrupted:  # the job was cancelled, and what asks for that still runs
            contexts.status = CANCELLED
            runner.activity.end()
            runner.activity.begin()
        await _run_inner(runner, turn, step, contexts, action, end)
    end.outcome = contexts.status
    _set_outputs(action, turn, contexts, end)
    return end


def _load(workspace: str, uses: str, depth: int) -> Action:
    # blocking; raises ActionFailed, WorkflowInvalid, OSError
    if depth >= MAX_DEPTH:
        raise ActionFailed(f"composite actions are nested deeper than {MAX_DEPTH} levels")
    file = find(workspace, uses)
    if file is None:
        raise ActionFailed(
            "there is no action.yml or action.yaml in that folder of the workspace."
            " Run actions/checkout before this step, or make the file in a step before it"
        )
    action = read_action(file)
    wrong = refusal(action, uses)
    if wrong is not None:
        raise WorkflowInvalid([wrong])
    return action


# --- inputs and outputs ---------------------------------------------------------------------------------------


async def _inputs(runner: StepRunner, action: Action, turn: Turn) -> dict[str, str]:
    # the `inputs` context: what was given, defaults for the rest; raises ExpressionError, OSError
    given = turn.evaluated.inputs
    known = {one.name.lower(): one for one in action.inputs}
    absent = [one for name, one in known.items() if name not in given]
    unexpected = {name: value for name, value in given.items() if name not in known}
    for name, one in known.items():
        if one.deprecation and name in given:
            _warn(turn, f"Input '{one.name}' has been deprecated with message: {one.deprecation}")
        if one.required and one.default is None and name not in given:
            _warn(turn, f"Input '{one.name}' is required and was not given: it is empty")
    if unexpected:
        given_too, valid = "', '".join(unexpected), "', '".join(one.name for one in action.inputs)
        _warn(turn, f"Unexpected input(s) '{given_too}', valid inputs are ['{valid}']")
    scope = turn.contexts.scope({})
    if any("hashfiles" in str(one.default).lower() for one in absent):
        defaults = await runner.blocking(_defaults, absent, scope)
    else:
        defaults = _defaults(absent, scope)
    return {one.name: given[name] for name, one in known.items() if name in given} | defaults | unexpected


def _defaults(inputs: list[ActionInput], scope: Scope) -> dict[str, str]:
    return {one.name: evaluate_text(one.default, scope) for one in inputs}


def _set_outputs(action: Action, turn: Turn, contexts: CompositeContexts, end: StepEnd) -> None:
    # also those of an action that has failed
    scope = contexts.scope({}, files=False)
    for name, value in action.outputs.items():
        try:
            turn.record.outputs[name] = evaluate_text(value, scope)
        except ExpressionError as error:
            message = f"{action.path}: the output '{name}': {error}"
            turn.record.annotate("error", message)
            if end.outcome == SUCCESS:
                end.outcome, end.message = FAILURE, message


# --- inner steps ----------------------------------------------------------------------------------------------


async def _run_inner(
    runner: StepRunner,
    turn: Turn,
    step: PreparedStep,
    contexts: CompositeContexts,
    action: Action,
    whole: StepEnd,
) -> None:
    """Run one inner step, if its condition holds, and take into the contexts and the whole what it came to."""
    env: Mapping[str, str] = {}
    try:
        if step.hashes:
            evaluated = await runner.blocking(evaluate_step, step, contexts)
        else:
            evaluated = evaluate_step(step, contexts)
    except (ExpressionError, ShellInvalid, ValueError, OSError) as error:
        turn.record.annotate("error", str(error))
        end = StepEnd(FAILURE, message=str(error))
        if step.spec.run is None:
            turn.log.write(f"Error: {error}\n".encode("utf-8", "replace"))
    else:
        if evaluated is None:
            if step.spec.id:
                contexts.finish_step(step.spec.id, {}, SKIPPED, SKIPPED)
            return
        env = evaluated.env
        turn.log.write(_headline(step, evaluated).encode("utf-8", "replace"))
        end = await runner.run_within(turn.within(step, evaluated, contexts))
    conclusion = end.outcome
    try:
        if conclusion == FAILURE and continues_on_error(step, env, contexts):
            conclusion = SUCCESS
    except ExpressionError as error:
        end.message = end.message or f"continue-on-error: {error}"
    if step.spec.id:
        contexts.finish_step(step.spec.id, end.outputs, end.outcome, conclusion)
    if end.outcome == FAILURE:
        why = end.message or f"exit code {end.exit_code}"
        if step.spec.run is not None:  # actions have told it
            turn.log.write(f"Error: {why}\n".encode("utf-8", "replace"))
        if conclusion == FAILURE and contexts.status == SUCCESS:
            contexts.status = FAILURE
            place = f"{action.path}:{step.spec.position.line}:{step.spec.position.column}"
            whole.exit_code, whole.message = end.exit_code, f"{place}: {name_of(step.spec)}: {why}"
    elif end.outcome == CANCELLED:
        contexts.status = CANCELLED
    if end.summary:
        whole.summary = runner.summary(whole.summary + end.summary, turn.record)


def _headline(step: PreparedStep, evaluated: Evaluated) -> str:
    """What stands in the log before an inner step's output, folded: what it runs, and with what."""
    lines = [f"::group::{evaluated.name}"]
    if step.spec.run is not None:
        # coloured as on GitHub; so a line of the script is never taken for a command
        lines += [f"\x1b[36;1m{line}\x1b[0m" for line in evaluated.script.splitlines()]
        lines.append(f"shell: {' '.join(evaluated.shells[0].argv)}")
    for title, values in (("with", evaluated.inputs), ("env", evaluated.env)):
        if values:
            lines += [f"{title}:", *(f"  {name}: {value}" for name, value in values.items())]
    return "\n".join([*lines, "::endgroup::", ""])


# --- what goes wrong ------------------------------------------------------------------------------------------


def _warn(turn: Turn, message: str) -> None:
    turn.record.annotate("warning", message)
    turn.log.write(f"Warning: {message}\n".encode())


def _failed(turn: Turn, message: str) -> StepEnd:
    turn.record.annotate("error", message)
    turn.log.write(f"Error: {message}\n".encode("utf-8", "replace"))
    return StepEnd(FAILURE, message=message)


def _invalid(problems: tuple[Diagnostic, ...], turn: Turn) -> StepEnd:
    wrong = [one for one in problems if one.severity == "error"]
    for one in wrong:
        turn.record.annotate("error", one.message, file=one.path, line=one.line, column=one.column)
        turn.log.write(f"{one}\n".encode("utf-8", "replace"))
    return StepEnd(FAILURE, message=str(wrong[0]).partition("\n")[0])
