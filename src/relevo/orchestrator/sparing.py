"""Which jobs a cancellation spares: those whose condition, asked again, says that they go on (`if: always()`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relevo.domain.states import JOB_ENDS
from relevo.orchestrator.plans import evaluate_node

if TYPE_CHECKING:
    from relevo.orchestrator.run_actor import RunActor


def spared(actor: RunActor) -> frozenset[int]:
    """Indexes of the nodes that go on. Only those with a condition of their own are asked."""
    found = set()
    for node in actor.run.nodes:
        if actor.plan.of(node).node.if_ is None or all(job.status in JOB_ENDS for job in node.jobs):
            continue
        verdict = evaluate_node(actor.run, actor.plan, actor.contexts.decoded, node.index, cancelled=True)
        if verdict.run and verdict.error is None:
            found.add(node.index)
    return frozenset(found)
