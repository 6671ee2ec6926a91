"""Workflows as the orchestrator uses them: decoded once for each spec, shared by all runs that have it.

Here expressions of jobs are evaluated; the command that results carries the verdict, and events record it.
"""

from __future__ import annotations

from typing import Any, Final
from weakref import WeakValueDictionary

import msgspec
from blake3 import blake3
from msgspec import Struct

from relevo.domain import commands as c
from relevo.domain import events as e
from relevo.domain.run import Node, Run
from relevo.domain.states import JobStatus
from relevo.scheduler.capacity import Reach
from relevo.scheduler.labels import canonical
from relevo.scheduler.queue import Demand
from relevo.workflow.evaluate import evaluate_job, is_constant
from relevo.workflow.model import JobNode, Verdict, Workflow

#: Jobs of one run at most, all matrices together.
JOB_LIMIT: Final = 10_000

_workflow_encoder = msgspec.msgpack.Encoder()
_workflow_decoder = msgspec.msgpack.Decoder(Workflow)


def digest_of(blob: bytes) -> str:
    """What specs and contexts are named by."""
    return blake3(blob).hexdigest()


class SharedContexts(Struct, frozen=True):
    """The contexts that are the same for all jobs of a run."""

    github: dict[str, Any] = {}
    inputs: dict[str, Any] = {}
    vars: dict[str, Any] = {}
    env: dict[str, str] = {}  #: given on the command line
    directory: str = ""  #: where it was submitted from
    skip_unmatched: bool = False
    keep: bool = False
    only: list[str] = []  #: jobs asked for; []: all
    job_limit: int = JOB_LIMIT


class HeldContexts(Struct, frozen=True, weakref=True):
    """Shared contexts, and the bytes that they travel as."""

    decoded: SharedContexts
    blob: bytes


class Carried(Struct, frozen=True):
    """What a retry takes over: the legs of a node that succeeded, and the node's outputs."""

    legs: dict[str, int]  #: name of the leg → attempts it had
    outputs: dict[str, str]


class Plan:
    """A workflow with everything that is derived from it once."""

    __slots__ = ("__weakref__", "blob", "constant", "digest", "nodes", "specs", "workflow")

    def __init__(self, digest: str, blob: bytes) -> None:
        self.digest = digest
        self.blob = blob
        self.workflow = _workflow_decoder.decode(blob)
        self.nodes: list[JobNode] = list(self.workflow.jobs.values())
        #: of nodes without expressions: the verdict, and the legs that it comes to wherever nothing else has a say
        self.constant: dict[int, tuple[Verdict, list[e.JobDecl]]] = {}
        #: job spec of each node as agents get it: (digest, bytes)
        self.specs: list[tuple[str, bytes]] = []
        for node in self.nodes:
            spec = _workflow_encoder.encode(node.spec)
            self.specs.append((digest_of(spec), spec))

    def declarations(self) -> list[e.NodeDecl]:
        """The nodes as a run's first events name them."""
        index = {node.id: position for position, node in enumerate(self.nodes)}
        return [
            e.NodeDecl(
                node.id,
                [index[need] for need in node.needs],
                node.retry.max,
                [code for code in node.retry.on if isinstance(code, int)],
                node.retry.backoff_s,
            )
            for node in self.nodes
        ]


class PlanCache:
    """Plans by digest, held as long as a run holds them."""

    def __init__(self) -> None:
        self._plans: WeakValueDictionary[str, Plan] = WeakValueDictionary()

    def of(self, workflow: Workflow) -> Plan:
        """The plan of a workflow that was just read."""
        blob = _workflow_encoder.encode(workflow)
        return self.decode(digest_of(blob), blob)

    def get(self, digest: str) -> Plan | None:
        return self._plans.get(digest)

    def decode(self, digest: str, blob: bytes) -> Plan:
        """The plan of an encoded workflow."""
        plan = self._plans.get(digest)
        if plan is None:
            plan = self._plans[digest] = Plan(digest, blob)
        return plan


def demand_of(labels: list[str], node: JobNode) -> Demand:
    """What a leg asks of its place."""
    return Demand(frozenset(map(canonical, labels)), node.cpus, node.memory_bytes)


def needs_of(run: Run, node: Node) -> dict[str, dict[str, Any]]:
    """The `needs` context of a node: result and outputs of each job that it needs directly."""
    return {
        run.nodes[index].decl.id: {"result": run.nodes[index].result, "outputs": run.nodes[index].outputs}
        for index in node.decl.needs
    }


def evaluate_node(
    run: Run,
    plan: Plan,
    shared: SharedContexts,
    index: int,
    *,
    cancelled: bool | None = None,
) -> Verdict:
    """What the expressions of a node come to. `cancelled`: None for what the run is."""
    node = run.nodes[index]
    results = [ancestor.result for ancestor in run.ancestors(node)] if node.decl.needs else ()
    return evaluate_job(
        plan.nodes[index],
        workflow=plan.workflow,
        github=shared.github,
        inputs=shared.inputs,
        vars=shared.vars,
        needs=needs_of(run, node) if node.decl.needs else {},
        ancestors_ok=all(result == "success" for result in results),
        ancestors_failed="failure" in results,
        run_cancelled=run.cancelling if cancelled is None else cancelled,
        taken=run.job_names if cancelled is None else (),
        max_legs=shared.job_limit - len(run.jobs),
    )


def expand(
    run: Run,
    plan: Plan,
    shared: SharedContexts,
    index: int,
    carried: dict[str, Carried],
    at_ms: int,
    reach: Reach | None = None,
) -> c.ExpandNode:
    """Evaluate a ready node; the command holds what came of it. A leg that is beyond `reach` fails at once."""
    try:
        verdict = evaluate_node(run, plan, shared, index)
    except Exception as error:
        # Were it raised, the run would be read again and come to the same: nothing of it would ever end.
        _tell_defect(run.id)
        verdict = Verdict(False, error=f"a defect of relevo: {error!r}")
    known = plan.constant.get(index)
    if known is not None and known[0] is verdict and not carried:
        return c.ExpandNode(
            index, known[1], verdict.legs[0].fail_fast, verdict.legs[0].max_parallel, at_ms=at_ms
        )
    node = plan.nodes[index]
    command = _command(run, node, index, verdict, shared, carried.get(node.id), at_ms, reach)
    if verdict.run and is_constant(node, verdict) and not (command.ends or carried):
        plan.constant[index] = (verdict, command.jobs)
    return command


def _command(
    run: Run,
    node: JobNode,
    index: int,
    verdict: Verdict,
    shared: SharedContexts,
    carried: Carried | None,
    at_ms: int,
    reach: Reach | None,
) -> c.ExpandNode:
    name = node.id
    if verdict.error is not None:
        return _unrun(index, name, JobStatus.FAILED, verdict.error, at_ms)
    if not verdict.run:
        status = JobStatus.CANCELLED if run.cancelling else JobStatus.SKIPPED
        return _unrun(index, name, status, "", at_ms, verdict.warnings)
    first = verdict.legs[0]
    jobs = [
        e.JobDecl(
            leg.name,
            list(leg.labels),
            leg.matrix,
            leg.index,
            leg.total,
            leg.timeout_s,
            leg.continue_on_error,
        )
        for leg in verdict.legs
    ]
    ends: dict[int, tuple[str, str]] = {}
    if carried is not None:
        message = "succeeded in the run that this one retries"
        ends = {
            position: (JobStatus.SUCCEEDED.value, message)
            for position, job in enumerate(jobs)
            if job.name in carried.legs
        }
    outputs = carried.outputs if carried is not None and ends else {}
    if reach is not None:
        end = (JobStatus.SKIPPED if shared.skip_unmatched else JobStatus.FAILED).value
        for position, job in enumerate(jobs):
            refusal = reach.refusal(demand_of(job.labels, node))
            if refusal and position not in ends:
                ends[position] = (end, refusal)
    return c.ExpandNode(
        index,
        jobs,
        first.fail_fast,
        first.max_parallel,
        ends,
        outputs,
        verdict.warnings,
        at_ms,
    )


def _unrun(
    index: int,
    name: str,
    status: JobStatus,
    message: str,
    at_ms: int,
    warnings: tuple[str, ...] = (),
) -> c.ExpandNode:
    ends = {0: (status.value, message)}
    return c.ExpandNode(index, [e.JobDecl(name)], ends=ends, warnings=warnings, at_ms=at_ms)


def _tell_defect(run: str) -> None:
    import logging

    logging.getLogger(__name__).exception("run %s", run)
