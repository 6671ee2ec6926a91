"""Matching of waiting jobs to agents. Pure: neither queue nor capacity is changed."""

from __future__ import annotations

from typing import NamedTuple

from relevo.scheduler.capacity import AgentCapacity, Capacity
from relevo.scheduler.queue import Demand, Queue, Waiting


class Policy(NamedTuple):
    """How to choose."""

    #: assignments of one round at most, so that a round stays short
    round_limit: int = 4_096


class Placement(NamedTuple):
    """A job and the agent that is to run it."""

    waiting: Waiting
    demand: Demand
    agent: str


def match(queue: Queue, capacity: Capacity, policy: Policy) -> list[Placement]:
    """Place as many waiting jobs as fit: higher priority first, then runs in turn, a run's jobs in order.

    A job fits an agent that has all its labels, a free slot, and the cpus and memory it asks for. Among agents that fit, the one
    with most free slots is taken. A job that fits nowhere holds up only those that ask for the same.
    """
    placements: list[Placement] = []
    free = {agent.id: agent.free for agent in capacity.agents.values() if agent.free > 0}
    cpus: dict[str, float] = {}
    memory: dict[str, int] = {}
    for priority in sorted(queue.rotations, reverse=True):
        for demand, rotation in queue.rotations[priority].items():
            if not free:
                return placements
            fitting = [id for id in free if demand.labels <= capacity.agents[id].labels]
            room = policy.round_limit - len(placements)
            if not fitting or room <= 0:
                continue
            plain = demand.cpus is None and demand.memory_bytes is None
            for waiting in rotation.peek(min(room, sum(free[id] for id in fitting))):
                if plain:
                    chosen = fitting[0] if len(fitting) == 1 else max(fitting, key=free.__getitem__)
                else:
                    roomy = [
                        id
                        for id in fitting
                        if (demand.cpus or 0) <= cpus.get(id, capacity.agents[id].cpus_free)
                        and (demand.memory_bytes or 0) <= memory.get(id, capacity.agents[id].memory_free)
                    ]
                    if not roomy:
                        break
                    chosen = max(roomy, key=free.__getitem__)
                    cpus[chosen] = cpus.get(chosen, capacity.agents[chosen].cpus_free) - (demand.cpus or 0)
                    memory[chosen] = memory.get(chosen, capacity.agents[chosen].memory_free) - (
                        demand.memory_bytes or 0
                    )
                placements.append(Placement(waiting, demand, chosen))
                free[chosen] -= 1
                if not free[chosen]:
                    del free[chosen]
                    fitting.remove(chosen)
                    if not fitting:
                        break
    return placements


def choose(capacity: Capacity, demand: Demand) -> str | None:
    """Where `match` places a job that nobody competes with: the agent with most free slots of those that fit."""
    chosen: AgentCapacity | None = None
    for agent in capacity.agents.values():
        if (
            agent.free > (chosen.free if chosen is not None else 0)
            and demand.labels <= agent.labels
            and (demand.cpus or 0) <= agent.cpus_free
            and (demand.memory_bytes or 0) <= agent.memory_free
        ):
            chosen = agent
    return None if chosen is None else chosen.id
