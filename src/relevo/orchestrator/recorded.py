"""What the runs of a store were as a load: to be simulated on other machines, or by other policies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf

from relevo.domain import events as e
from relevo.domain.errors import UserError
from relevo.domain.evolution import evolve
from relevo.domain.run import Node, Run
from relevo.domain.stored import Stored
from relevo.orchestrator.plans import Plan, demand_of
from relevo.orchestrator.stored_runs import UNREADABLE, StoredRuns
from relevo.scheduler.simulation.workload import JOB_LIMIT, Job, Workload
from relevo.store.contract import EventStore, RunRow

#: Run rows that are read at a time.
PAGE = 500


async def recorded(store: EventStore, since_ms: int) -> tuple[Workload, int]:
    """The jobs of all runs that were accepted since then and that had a worker, and how many runs could not be read.

    A job's duration is that of its last attempt, from when its worker was being made. It is submitted with its run, and needs what
    it needed; its tenant is the repository, as in an engine. What never ran, or still does, is left out, and so is `max-parallel`. Raises UserError.
    """
    stored = StoredRuns(store)
    jobs: list[Job] = []
    unreadable = 0
    for row in reversed(await _rows(store, since_ms)):
        try:
            history = await store.read(row.run)
            found = await _jobs_of(row, history, stored, len(jobs))
        except UNREADABLE:
            unreadable += 1  # `relevo db check` names it
            continue
        jobs += found
        if len(jobs) > JOB_LIMIT:
            raise UserError(
                f"more than {JOB_LIMIT:,} jobs were recorded in that time", hint="ask for less: --last 1d"
            )
    if not jobs:
        raise UserError(
            "no job was run in that time", hint="ask for more: --last 90d; `relevo runs` lists runs"
        )
    return Workload(jobs), unreadable


async def _rows(store: EventStore, since_ms: int) -> list[RunRow]:
    """Newest first."""
    found: list[RunRow] = []
    before: str | None = None
    while page := await store.runs(before=before, limit=PAGE):
        found += [row for row in page if row.created_ms >= since_ms]
        if page[-1].created_ms < since_ms:
            break
        before = page[-1].run
    return found


async def _jobs_of(row: RunRow, history: Sequence[Stored], stored: StoredRuns, base: int) -> list[Job]:
    """`base`: how many jobs there are already."""
    run = Run()
    begun: dict[tuple[int, int], int] = {}
    took_ms: dict[int, int] = {}
    for append in history:
        for event in e.decode(append.events):
            evolve(run, event)
            match event:
                case e.AttemptStarting() | e.AttemptStarted():
                    begun.setdefault((event.job, event.number), event.at_ms or append.at_ms)
                case e.AttemptEnded():
                    since = begun.get((event.job, event.number))
                    if since is not None:
                        took_ms[event.job] = max(0, (event.at_ms or append.at_ms) - since)
    assert run.accepted is not None
    plan = await stored.plan(run.accepted.spec)
    contexts = await stored.contexts(run.accepted)
    tenant = str(contexts.decoded.github.get("repository", ""))
    place = {index: base + position for position, index in enumerate(sorted(took_ms))}
    return [_job(row, run, plan, tenant, index, took_ms[index], place) for index in place]


def _job(
    row: RunRow, run: Run, plan: Plan, tenant: str, index: int, took_ms: int, place: dict[int, int]
) -> Job:
    assert run.accepted is not None
    job = run.jobs[index]
    node = plan.of(job.node).node
    return Job(
        name=job.decl.name,
        run=run.id,
        submit_s=(run.accepted.at_ms or row.created_ms) / 1000,
        duration_s=took_ms / 1000,
        tenant=tenant,
        demand=demand_of(job.decl.labels, node),
        priority=run.accepted.priority + _priority(plan, job.node),
        needs=tuple(sorted(_awaited(run, _needs(run, job.node), place))),
        deadline_s=_deadline_s(plan, job.node),
        preemptible=node.may_be_preempted,
    )


def _priority(plan: Plan, node: Node) -> int:
    """Its own, and those of the jobs that call the file it stands in."""
    own = plan.of(node).node.priority
    return own if node.call is None else own + _priority(plan, node.call.node)


def _deadline_s(plan: Plan, node: Node) -> float:
    """The earliest of its own, and those of the jobs that call the file it stands in."""
    own = plan.of(node).node.deadline_s
    own_s = inf if own is None else own
    return own_s if node.call is None else min(own_s, _deadline_s(plan, node.call.node))


def _needs(run: Run, node: Node) -> list[Node]:
    """What a node waits for: what it needs, and what the calls need that it stands in."""
    found = [run.nodes[need] for need in node.needs]
    return found if node.call is None else found + _needs(run, node.call.node)


def _awaited(run: Run, nodes: Iterable[Node], place: dict[int, int]) -> set[int]:
    """The jobs that ran of these nodes, and of what they call; for a node of which none ran those that it waited for."""
    found: set[int] = set()
    seen: set[int] = set()
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if node.index in seen:
            continue
        seen.add(node.index)
        ran = {place[job.index] for job in node.jobs if job.index in place}
        inner = [called for job in node.jobs for called in job.nodes]
        found |= ran
        pending += inner if inner else [] if ran else _needs(run, node)
    return found
