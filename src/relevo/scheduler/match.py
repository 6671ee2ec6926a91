"""Matching of waiting jobs to agents. Pure: neither queue nor capacity is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from relevo.scheduler.capacity import AgentCapacity, Capacity
from relevo.scheduler.demand import Demand
from relevo.scheduler.placement import Placement, Round
from relevo.scheduler.policy import Policy
from relevo.scheduler.queue import Lane, Queue

if TYPE_CHECKING:
    from relevo.scheduler.rounds import Decision

__all__ = ["Placement", "Policy", "Round", "at_once", "begin", "choose", "decide", "match"]

#: Up to so many agents are compared one by one.
FEW_AGENTS: Final = 8
_PLAIN: Final = (None, None, (), None)


def match(queue: Queue, capacity: Capacity, policy: Policy, now_s: float = 0.0) -> list[Placement]:
    """Place as many waiting jobs as fit: higher priority first, then as the policy says.

    A job fits an agent that has all its labels, keeps its rules, and has a free place and the amounts it asks for. A job that fits
    nowhere holds up only those that ask for the same.
    """
    return decide(queue, capacity, policy, now_s).placements


def decide(queue: Queue, capacity: Capacity, policy: Policy, now_s: float = 0.0) -> Round:
    """What `match` does, with whom room is kept for and who was left out.

    `now_s`: of the clock by which jobs were queued; only ageing and reservations look at it.
    """
    found = at_once(queue, capacity, policy, policy.round_limit)
    return found if found is not None else begin(queue, capacity, policy, now_s).run()


def begin(
    queue: Queue, capacity: Capacity, policy: Policy, now_s: float = 0.0, *, claims: bool = True
) -> Decision:
    """A round that can be made in turns."""
    from relevo.scheduler.rounds import Decision  # an engine for one machine seldom needs it

    return Decision(queue, capacity, policy, now_s, claims=claims)


def at_once(queue: Queue, capacity: Capacity, policy: Policy, limit: int) -> Round | None:
    """A round of so many placements at most, where all that wait ask for a place and labels only, and agents are few: what is
    usual on one machine. None where it takes more than that."""
    if len(queue.lanes) != 1 or len(capacity.agents) > FEW_AGENTS or not is_usual(policy):
        return None
    (tenants,) = queue.lanes.values()
    if len(tenants) != 1:
        return None
    (classes,) = tenants.values()
    if len(classes) != 1:
        return None
    ((demand, lane),) = classes.items()
    return Round(_match_alike(lane, demand, capacity, limit), [], {}, []) if demand[1:] == _PLAIN else None


def is_usual(policy: Policy) -> bool:
    """Whether nothing counts for where a job goes but what fits and where most places are free, and nobody asks who was left out."""
    return (
        policy.placement is None
        and not policy.shares
        and policy.reserve_after_s is None
        and policy.custom is None
        and policy.preempt_grace_s is None
    )


def _match_alike(lane: Lane, demand: Demand, capacity: Capacity, limit: int) -> list[Placement]:
    free = {
        agent.id: agent.free
        for agent in capacity.agents.values()
        if agent.free > 0 and demand.labels <= agent.labels and not agent.taints and not agent.drained
    }
    waiting = lane.peek(min(limit, sum(free.values())))
    if len(free) == 1:
        (only,) = free
        return [Placement(one, demand, only) for one in waiting]
    placements = []
    for one in waiting:
        chosen = max(free, key=free.__getitem__)
        placements.append(Placement(one, demand, chosen))
        free[chosen] -= 1
    return placements


def choose(capacity: Capacity, demand: Demand) -> str | None:
    """Where the usual policy places a job that nobody competes with and that prefers no node: where most places are free."""
    chosen: AgentCapacity | None = None
    plain = demand[1:] == _PLAIN
    for agent in capacity.agents.values():
        if (
            agent.free > (chosen.free if chosen is not None else 0)
            and demand.labels <= agent.labels
            and (not (agent.taints or agent.drained) if plain else _fits(demand, agent, capacity))
        ):
            chosen = agent
    return None if chosen is None else chosen.id


def _fits(demand: Demand, agent: AgentCapacity, capacity: Capacity) -> bool:
    from relevo.scheduler.fit import fits

    return fits(demand, agent, capacity)
