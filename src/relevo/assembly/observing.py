"""What a living engine can tell of its agents and its queue."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from relevo.orchestrator.api import AgentView, JobAtAgent, QueuedJob, QueueView
from relevo.scheduler.capacity import AgentCapacity
from relevo.scheduler.demand import Demand

if TYPE_CHECKING:
    from relevo.assembly.engine import Engine
    from relevo.workers.manager import AgentState


def workers(engine: Engine) -> list[AgentView]:
    """All agents that this engine knows, in order of their names."""
    return [_agent(engine, state) for _, state in sorted(engine.manager.agents.items())]


def _agent(engine: Engine, state: AgentState) -> AgentView:
    hello = state.hello
    room = engine.orchestrator.scheduler.capacity.agents.get(state.id)
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
    )


def queue(engine: Engine, limit: int) -> QueueView:
    """The first jobs of the queue, each with the reason why it waits."""
    scheduler = engine.orchestrator.scheduler
    agents = list(scheduler.capacity.agents.values())
    reasons: dict[Demand, str] = {}
    passed_ms = engine.parts.clock.wall_ms() - time.monotonic() * 1_000
    items = []
    for position, (waiting, priority, demand, since_s) in enumerate(scheduler.queue.waiting(limit)):
        if demand not in reasons:
            reasons[demand] = _reason(demand, agents)
        items.append(
            QueuedJob(
                position,
                waiting.run,
                waiting.job,
                _name(engine, waiting.run, waiting.job),
                priority,
                int(passed_ms + since_s * 1_000),
                sorted(demand.labels),
                reasons[demand],
            )
        )
    return QueueView(len(scheduler.queue), items)


def _reason(demand: Demand, agents: list[AgentCapacity]) -> str:
    if not agents:
        return "No agent is ready."
    able = [agent for agent in agents if demand.labels <= agent.labels]
    if not able:
        return f"No agent that is ready answers to {', '.join(sorted(demand.labels))}."
    free = [agent for agent in able if agent.free > 0]
    if not free:
        slots = sum(agent.slots for agent in able)
        return (
            f"All {slots} slots that it could run on are taken." if slots != 1 else "The only slot is taken."
        )
    if demand.cpus and all(agent.cpus_free < demand.cpus for agent in free):
        return f"It asks for {demand.cpus:g} cpus, and no agent has so many free."
    if demand.memory_bytes and all(agent.memory_free < demand.memory_bytes for agent in free):
        return f"It asks for {demand.memory_bytes >> 20} MiB of memory, and no agent has so much free."
    for name, amount in demand.extras:
        if all(agent.extras_free.get(name, 0) < amount for agent in free):
            asked = f"{int(amount) >> 20} MiB of disk" if name == "disk" else f"{amount:g} {name}"
            return f"It asks for {asked}, and no agent has so much free."
    return "It is about to be placed."


def _name(engine: Engine, run: str, job: int) -> str:
    actor = engine.orchestrator.live.get(run)
    if actor is None or job >= len(actor.run.jobs):
        return ""
    return actor.run.jobs[job].decl.name
