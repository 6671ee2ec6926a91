"""Why a job is not run on an agent: the rules of matching, said for one of each."""

from __future__ import annotations

from typing import Final, NamedTuple

from relevo.scheduler import expressions
from relevo.scheduler.capacity import AgentCapacity, Capacity
from relevo.scheduler.demand import Demand, Domain

_UNITS: Final = {"cpu": "cpus", "memory": "MiB of memory", "disk": "MiB of disk"}


class Misfit(NamedTuple):
    """Why an agent cannot take a job."""

    #: labels, where, taint, drained, apart, places, cpu, memory, or the name of what there is not enough of
    kind: str
    text: str  #: the same for people: follows the agent's name, "which …"
    never: bool  #: it could not take it with nothing else to do, either


def misfit(demand: Demand, agent: AgentCapacity, capacity: Capacity) -> Misfit | None:
    """Why an agent cannot take a job now; None when it can. What never changes by itself is told first.

    `capacity`: all agents, for keys that are kept apart over pools or zones.
    """
    return _by_names(demand, agent) or _amounts(demand, agent) or _apart(demand, agent, capacity)


def fits(demand: Demand, agent: AgentCapacity, capacity: Capacity) -> bool:
    """Whether an agent can take a job now."""
    return misfit(demand, agent, capacity) is None


def _by_names(demand: Demand, agent: AgentCapacity) -> Misfit | None:
    missing = sorted(demand.labels - agent.labels)
    if missing:
        return Misfit("labels", f"does not answer to {', '.join(missing)}", True)
    rules = demand.rules
    if rules is not None and rules.where is not None and not expressions.holds(rules.where, agent.names):
        return Misfit("where", f"is not {expressions.text(rules.where)}", True)
    not_tolerated = sorted(agent.taints - (rules.tolerates if rules is not None else frozenset()))
    if not_tolerated:
        return Misfit("taint", f"is kept for jobs that tolerate {', '.join(not_tolerated)}", True)
    return None


def _amounts(demand: Demand, agent: AgentCapacity) -> Misfit | None:
    asked = [
        ("cpu", demand.cpus or 0, agent.cpus_free, agent.cpus),
        ("memory", demand.memory_bytes or 0, agent.memory_free, agent.memory_bytes),
        *(
            (name, amount, agent.extras_free.get(name, 0), agent.extras.get(name, 0))
            for name, amount in demand.extras
        ),
    ]
    for name, amount, _, total in asked:
        if amount > total:
            return Misfit(
                name, f"has {_told(name, total)} in all, and {_told(name, amount)} are asked for", True
            )
    if agent.drained:
        return Misfit("drained", "is drained: it takes nothing new", False)
    if agent.free <= 0:
        return Misfit("places", f"has all its {agent.places} places taken", False)
    for name, amount, free, _ in asked:
        if amount and amount > free:
            free = max(free, 0)
            return Misfit(
                name, f"has {_told(name, free)} free, and {_told(name, amount)} are asked for", False
            )
    return None


def _told(name: str, amount: float) -> str:
    if name in {"memory", "disk"}:
        amount = int(amount) >> 20
    return f"{amount:g} {_UNITS.get(name, name)}"


def _apart(demand: Demand, agent: AgentCapacity, capacity: Capacity) -> Misfit | None:
    rules = demand.rules
    if rules is None or not rules.apart:
        return None
    for other in capacity.agents.values():
        if rules.apart in other.apart and together(agent, other, rules.apart_over):
            where = "has" if other is agent else f"shares its {rules.apart_over} with {other.id}, which has"
            return Misfit("apart", f"{where} a job of '{rules.apart}', from which it is kept apart", False)
    return None


def together(one: AgentCapacity, other: AgentCapacity, over: Domain) -> bool:
    """Whether they are the same node, or in the same pool or zone."""
    if one is other:
        return True
    if over == "node":
        return False
    name, of_other = getattr(one, over), getattr(other, over)
    return bool(name) and name == of_other
