"""Why a job is not run on an agent: the rules of matching, said for one of each."""

from __future__ import annotations

from typing import Final, NamedTuple

from relevo.scheduler.capacity import AgentCapacity, Capacity
from relevo.scheduler.demand import Demand, Domain
from relevo.workflow import label_expressions as expressions

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
    return never(demand, agent) or just_now(demand, agent, holders(demand, capacity))


def never(demand: Demand, agent: AgentCapacity) -> Misfit | None:
    """Why an agent could not take a job with nothing else to do, either; None when it could."""
    return _by_names(demand, agent) or _totals(demand, agent)


def holders(demand: Demand, capacity: Capacity) -> list[AgentCapacity]:
    """The agents with a job of the key that a job is kept apart from."""
    key = demand.rules.apart if demand.rules is not None else ""
    return [agent for agent in capacity.agents.values() if key in agent.apart] if key else []


def just_now(demand: Demand, agent: AgentCapacity, apart_from: list[AgentCapacity]) -> Misfit | None:
    """Why an agent that could take a job cannot now; None when it can. `apart_from`: see `holders`."""
    return _amounts(demand, agent) or _apart(demand, agent, apart_from)


def fits(demand: Demand, agent: AgentCapacity, capacity: Capacity) -> bool:
    """Whether an agent can take a job now."""
    return misfit(demand, agent, capacity) is None


def _by_names(demand: Demand, agent: AgentCapacity) -> Misfit | None:
    missing = sorted(demand.labels - agent.labels)
    if missing:
        return Misfit("labels", f"does not answer to {', '.join(missing)}", True)
    rules = demand.rules
    if rules is not None and rules.where is not None and not expressions.holds(rules.where, agent.names):
        lacking = expressions.lacking(rules.where, agent.names)
        return Misfit("where", f"is not {expressions.text(lacking)}", True)
    not_tolerated = sorted(agent.taints - (rules.tolerates if rules is not None else frozenset()))
    if not_tolerated:
        return Misfit("taint", f"is kept for jobs that tolerate {', '.join(not_tolerated)}", True)
    return None


def _asked(demand: Demand, agent: AgentCapacity) -> list[tuple[str, float, float, float]]:
    """Name, what is asked for, what is free of it, and what there is."""
    return [
        ("cpu", demand.cpus or 0, agent.cpus_free, agent.cpus),
        ("memory", demand.memory_bytes or 0, agent.memory_free, agent.memory_bytes),
        *(
            (name, amount, agent.extras_free.get(name, 0), agent.extras.get(name, 0))
            for name, amount in demand.extras
        ),
    ]


def _totals(demand: Demand, agent: AgentCapacity) -> Misfit | None:
    for name, amount, _, total in _asked(demand, agent):
        if amount > total:
            return Misfit(
                name, f"has {_told(name, total)} in all, and {_told(name, amount)} are asked for", True
            )
    return None


def _amounts(demand: Demand, agent: AgentCapacity) -> Misfit | None:
    if agent.drained:
        why = f" ({agent.drained_for})" if agent.drained_for else ""
        return Misfit("drained", f"is drained{why}: it takes nothing new", False)
    if agent.free <= 0:
        return Misfit("places", f"has all its {agent.places} places taken", False)
    for name, amount, free, _ in _asked(demand, agent):
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


def _apart(demand: Demand, agent: AgentCapacity, apart_from: list[AgentCapacity]) -> Misfit | None:
    rules = demand.rules
    if rules is None or not rules.apart:
        return None
    for other in apart_from:
        if together(agent, other, rules.apart_over):
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
