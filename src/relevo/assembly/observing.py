"""What a living engine can tell of its agents and its queue."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from relevo.orchestrator.api import AgentView, JobAtAgent, QueuedJob, QueueView
from relevo.orchestrator.why import AgentSeen, Room, Scene, places_of, waiting
from relevo.workers.manager import FENCE_MARGIN_S

if TYPE_CHECKING:
    from relevo.assembly.engine import Engine
    from relevo.workers.manager import AgentState


def workers(engine: Engine) -> list[AgentView]:
    """All agents that this engine knows, in order of their names."""
    return [_agent(engine, state) for _, state in sorted(engine.manager.agents.items())]


def _agent(engine: Engine, state: AgentState) -> AgentView:
    hello = state.hello
    room = engine.orchestrator.scheduler.capacity.agents.get(state.id)
    drain = engine.orchestrator.drains.agents.get(state.id)
    jobs = [
        JobAtAgent(
            key.run,
            key.job,
            _name(engine, key.run, key.job),
            key.number,
            placed.started_ms or placed.assigned_ms,
        )
        for key, placed in list(state.placed.items())
    ]
    slots = hello.slots if hello is not None else 0
    return AgentView(
        id=state.id,
        ready=state.ready,
        connected=state.link is not None,
        labels=sorted(hello.labels) if hello is not None else [],
        slots=slots,
        places=room.places if room is not None else slots,
        busy=len(jobs),
        cpus=hello.cpus if hello is not None else 0,
        cpus_free=room.cpus_free if room is not None else 0,
        memory_bytes=hello.memory_bytes if hello is not None else 0,
        memory_free_bytes=room.memory_free if room is not None else 0,
        version=str(hello.version) if hello is not None else "",
        spool_bytes=state.spool_bytes,
        held=state.held,
        jobs=jobs,
        taints=sorted(hello.taints) if hello is not None else [],
        pool=hello.pool if hello is not None else "",
        zone=hello.zone if hello is not None else "",
        load=round(state.load, 3),
        drained=drain is not None,
        drained_for=drain.reason if drain is not None else "",
        drained_since_ms=drain.since_ms if drain is not None else 0,
    )


def queue(engine: Engine, limit: int) -> QueueView:
    """The first jobs of the queue, each with the reason why it waits."""
    scheduler = engine.orchestrator.scheduler
    passed_ms = engine.parts.clock.wall_ms() - time.monotonic() * 1_000
    items = []
    seen = scene(engine, most=limit)
    for one, place, reason in waiting(seen, limit):
        items.append(
            QueuedJob(
                place.position,
                one.run,
                one.job,
                _name(engine, one.run, one.job),
                place.priority,
                int(passed_ms + place.since_s * 1_000),
                sorted(place.demand.labels),
                f"It {reason}.",
            )
        )
    return QueueView(len(scheduler.queue), items)


def scene(engine: Engine, most: int | None = None) -> Scene:
    """What a job's waiting depends on, as it is now. `most`: how much of the queue is looked at; None: all of it."""
    orchestrator = engine.orchestrator
    scheduler = orchestrator.scheduler
    capacity = scheduler.capacity.agents
    now_s = engine.loop.time()
    return Scene(
        run=orchestrator.run,
        group=orchestrator.groups.known,
        agents={id: _seen(state, now_s) for id, state in engine.manager.agents.items()},
        capacity=capacity,
        places=places_of(scheduler.queue, capacity, most, scheduler.over_quota),
        rooms={
            claim: Room(
                tuple(room.victims),
                max(0.0, room.since_s + orchestrator.preempting.grace_s - now_s),
            )
            for claim, room in scheduler.making_room.items()
        },
        retry_in_s=orchestrator.retry_in_s,
        deadline_in_s=orchestrator.deadline_in_s,
        quota=lambda tenant, demand: _quota(scheduler.beyond_quota(tenant, demand)),
        jobs_of_key=lambda key: [
            f"job '{_name(engine, one.run, one.job)}' of run {one.run}" for one in scheduler.having_key(key)
        ],
    )


def _quota(beyond: list[tuple[str, float, float]]) -> str:
    sizes = ("memory", "disk")
    told = [
        f"{had / (1 << 30):.1f} of {quota / (1 << 30):.1f} GiB of {name}"
        if name in sizes
        else f"{had:g} of {quota:g} {name}"
        for name, had, quota in beyond
    ]
    return ", ".join(told)


def _seen(state: AgentState, now_s: float) -> AgentSeen:
    hello = state.hello
    gone_s = 0.0 if state.link is not None or state.gone_since is None else now_s - state.gone_since
    fence_s = state.fence_after_s
    return AgentSeen(
        state.id,
        state.link is not None,
        state.ready,
        state.held,
        frozenset(hello.labels) if hello is not None else frozenset(),
        hello.slots if hello is not None else 0,
        hello.cpus if hello is not None else 0.0,
        hello.memory_bytes if hello is not None else 0,
        gone_s,
        None if fence_s is None else fence_s + FENCE_MARGIN_S - gone_s,
    )


def _name(engine: Engine, run: str, job: int) -> str:
    actor = engine.orchestrator.live.get(run)
    if actor is None or job >= len(actor.run.jobs):
        return ""
    return actor.run.jobs[job].decl.name
