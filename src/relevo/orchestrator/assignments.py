"""An attempt as its agent gets it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relevo.orchestrator.plans import needs_of
from relevo.protocol import messages as m

if TYPE_CHECKING:
    from relevo.domain.ids import AttemptKey
    from relevo.orchestrator.run_actor import RunActor


def assignment_of(actor: RunActor, key: AttemptKey) -> tuple[m.Assignment, dict[str, bytes]] | None:
    """The assignment of a run's attempt, and the blobs that it names by digest; None when it is not the job's latest."""
    run, accepted = actor.likeness()
    if key.job >= len(run.jobs):
        return None
    job = run.jobs[key.job]
    if job.number != key.number or accepted is None:
        return None
    template = actor.plan.of(job.node)
    digest, spec = template.spec
    call = job.node.call
    contexts, shared = actor.contexts.travelling
    own = m.JobFacts(
        job.decl.name,
        needs_of(run, job.node) if job.node.needs else {},
        job.decl.matrix,
        job.decl.leg,
        job.decl.legs,
        job.node.fail_fast,
        job.node.max_parallel,
        None if call is None else call.decl.inputs,
    )
    assignment = m.Assignment(
        key.run,
        key.job,
        key.number,
        digest,
        contexts,
        own,
        None,
        job.decl.timeout_s,
        bool(accepted.secrets),
        actor.contexts.keep,
        accepted.run_attempt,
        template.node.cpus,
        template.node.memory_bytes,
        accepted.traceparent,
        accepted.tracestate,
    )
    return assignment, {digest: spec, contexts: shared}
