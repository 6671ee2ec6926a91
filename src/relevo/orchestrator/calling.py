"""Calls as the orchestrator evaluates them: what comes back from one, and which secrets reach the jobs in it."""

from __future__ import annotations

from typing import Any, Final

from relevo.domain import commands as c
from relevo.domain.calls import status_of_call
from relevo.domain.errors import UserError
from relevo.domain.run import Job, Node, Run
from relevo.domain.states import JobStatus
from relevo.orchestrator.plans import Plan, SharedContexts, inputs_seen, needs_of, tell_defect
from relevo.workflow.calls import called_by, place_of
from relevo.workflow.contexts import strategy_context
from relevo.workflow.evaluate import located
from relevo.workflow.expressions import ExpressionError
from relevo.workflow.handover import NotHandedOver, outputs_of, secrets_of

#: Bytes of a call's outputs at most, all together.
OUTPUTS_LIMIT: Final = 1 << 20


def returned(run: Run, plan: Plan, shared: SharedContexts, index: int, at_ms: int) -> c.ReturnCall:
    """Evaluate the outputs of a call all of whose jobs have ended; the command holds what came of it.

    Of the legs of a matrix the last one counts that succeeded and set a value: others give back nothing.
    """
    job = run.jobs[index]
    template = plan.of(job.node)
    called = template.node.called
    assert called is not None
    contexts = {
        "github": shared.github,
        "inputs": job.decl.inputs,
        "vars": shared.vars,
        "jobs": {node.decl.id: {"result": node.result, "outputs": node.outputs} for node in job.nodes},
    }
    places = called_by((*template.places, place_of(template.node, template.workflow)))
    try:
        outputs = outputs_of(called, contexts)
    except ExpressionError as error:
        return c.ReturnCall(index, error=f"{error}{places}", at_ms=at_ms)
    except Exception as error:
        tell_defect(run.id)
        return c.ReturnCall(index, error=f"a defect of relevo: {error!r}", at_ms=at_ms)
    size = sum(len(name) + len(value) for name, value in outputs.items())
    if size > OUTPUTS_LIMIT:
        said = f"{called.path}: its outputs have {size} bytes, more than {OUTPUTS_LIMIT}{places}"
        return c.ReturnCall(index, error=said, at_ms=at_ms)
    if job.decl.legs > 1:
        outputs = {name: value for name, value in outputs.items() if value} if _succeeded(job) else {}
    return c.ReturnCall(index, outputs, at_ms=at_ms)


def _succeeded(call: Job) -> bool:
    return status_of_call(call) is JobStatus.SUCCEEDED


def secrets_seen(
    run: Run, plan: Plan, shared: SharedContexts, node: Node, secrets: dict[str, str]
) -> dict[str, str]:
    """The secrets of a run that the jobs of a node see: those that each call on the way to it passes on.

    Raises UserError when an expression that passes one fails.
    """
    call = node.call
    if call is None:
        return secrets
    caller = call.node
    had = secrets_seen(run, plan, shared, caller, secrets)
    template = plan.of(caller)
    contexts: dict[str, Any] = {
        "github": shared.github,
        "inputs": inputs_seen(caller, shared),
        "vars": shared.vars,
        "needs": needs_of(run, caller),
        "matrix": call.decl.matrix or None,
        "strategy": strategy_context(caller.fail_fast, call.decl.leg, call.decl.legs, caller.max_parallel),
    }
    try:
        return secrets_of(template.node, had, contexts)
    except NotHandedOver as error:
        place = located(template.workflow, template.node, error.key, str(error))
        raise UserError(f"{place}{called_by(template.places)}") from None
