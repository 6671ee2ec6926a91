"""On how many agents a job does not fit, and for what reason: `fit.misfit`, counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final, NamedTuple

from relevo.scheduler.capacity import AgentCapacity, Capacity
from relevo.scheduler.demand import Demand
from relevo.scheduler.fit import Misfit, holders, just_now, never
from relevo.workflow import label_expressions as expressions

#: So many agents are looked at: a sentence is to be had at once, however many there are.
LOOKED_AT: Final = 1_000
#: Reasons that a sentence tells.
REASONS: Final = 4


class Lack(NamedTuple):
    """Why some agents do not take a job."""

    kind: str  #: see `fit.Misfit`
    agents: list[AgentCapacity]
    misfit: Misfit  #: of the first of them


def lacks(demand: Demand, capacity: Capacity) -> tuple[list[Lack], list[AgentCapacity]]:
    """Why agents do not take a job, what most of them lack first; and who would take it. O(agents), at most `LOOKED_AT`."""
    apart_from = holders(demand, capacity)
    found: dict[tuple[str, bool], Lack] = {}
    taking = []
    for agent in islice(capacity.agents.values(), LOOKED_AT):
        misfit = never(demand, agent) or just_now(demand, agent, apart_from)
        if misfit is None:
            taking.append(agent)
            continue
        key = (misfit.kind, misfit.never)
        if key not in found:
            found[key] = Lack(misfit.kind, [], misfit)
        found[key].agents.append(agent)
    return sorted(found.values(), key=lambda lack: -len(lack.agents)), taking


def tally(demand: Demand, found: Sequence[Lack], total: int) -> str:
    """`of 5 agents, 3 do not answer to gpu and 2 are drained`; of one agent what it lacks."""
    if total == 1:
        ((_, (agent,), misfit),) = found
        return f"agent '{agent.id}' {misfit.text}"
    told = [_phrase(demand, lack, len(lack.agents)) for lack in found[:REASONS]]
    if len(found) == 1:
        return _none(demand, found[0], total) or f"all {total:,} agents {told[0]}"
    counted = [f"{len(lack.agents):,} {phrase}" for lack, phrase in zip(found, told, strict=False)]
    return f"of {total:,} agents, {_listed(counted)}"


def _none(demand: Demand, lack: Lack, total: int) -> str:
    """What no agent is, said as such; "" where it is said of all that they lack it."""
    rules = demand.rules
    missing = demand.labels - lack.agents[0].labels
    if lack.kind == "labels" and all(demand.labels - agent.labels == missing for agent in lack.agents):
        return f"none of the {total:,} agents answers to {', '.join(sorted(missing))}"
    if lack.kind == "where" and rules is not None and rules.where is not None:
        return f"none of the {total:,} agents is {expressions.text(rules.where)}"
    return ""


def _phrase(demand: Demand, lack: Lack, count: int) -> str:
    be, have, do = ("is", "has", "does") if count == 1 else ("are", "have", "do")
    rules = demand.rules
    match lack.kind:
        case "labels":
            missing = demand.labels - lack.agents[0].labels
            same = missing.union(*(demand.labels - agent.labels for agent in lack.agents))
            return f"{do} not answer to {', '.join(sorted(missing))}{' or others' if same != missing else ''}"
        case "where":
            assert rules is not None
            assert rules.where is not None
            return f"{be} not {expressions.text(rules.where)}"
        case "taint":
            tolerated = rules.tolerates if rules is not None else frozenset()
            taints = frozenset[str]().union(*(agent.taints for agent in lack.agents)) - tolerated
            return f"{be} kept for jobs that tolerate {', '.join(sorted(taints))}"
        case "drained":
            return f"{be} drained"
        case "places":
            return f"{have} all places taken"
        case "apart":
            assert rules is not None
            over = "" if rules.apart_over == "node" else f" in the same {rules.apart_over}"
            return f"{have} a job of '{rules.apart}'{over}"
    return f"{have} too little {lack.kind}{' in all' if lack.misfit.never else ' free'}"


def refusal(demand: Demand, agents: Sequence[AgentCapacity]) -> str:
    """Why none of them could ever take a job. What nobody has of one thing is told by its name and amount."""
    labels = frozenset[str]().union(*(agent.labels for agent in agents))
    missing = sorted(demand.labels - labels)
    if missing:
        known = ", ".join(sorted(labels))
        return f"it runs on {', '.join(missing)}, and no agent here does (they answer to {known})"
    cpus = max((agent.cpus for agent in agents), default=0.0)
    if (demand.cpus or 0) > cpus:
        return f"it asks for {demand.cpus:g} cpus, and no agent here has more than {cpus:g}"
    memory_bytes = max((agent.memory_bytes for agent in agents), default=0)
    if (demand.memory_bytes or 0) > memory_bytes:
        asked = (demand.memory_bytes or 0) >> 20
        return f"it asks for {asked} MiB of memory, and no agent here has more than {memory_bytes >> 20}"
    for name, amount in demand.extras:
        most = max((agent.extras.get(name, 0) for agent in agents), default=0)
        if amount > most:
            return _too_much(name, amount, most)
    capacity = Capacity()
    capacity.agents = {agent.id: agent for agent in agents}
    found = [lack for lack in lacks(demand, capacity)[0] if lack.misfit.never]
    return f"no agent here could ever run it: {tally(demand, found, min(len(agents), LOOKED_AT))}"


def _too_much(name: str, asked: float, most: float) -> str:
    if name == "disk":
        return f"it asks for {int(asked) >> 20} MiB of disk, and no agent here has more than {int(most) >> 20} free"
    has = f"more than {most:g}" if most else "any"
    return f"it asks for {asked:g} of {name}, and no agent here has {has}; RELEVO_RESOURCES={name}=N says what there is"


def _listed(parts: Iterable[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
