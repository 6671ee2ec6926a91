"""Why agents with room do not take a job that is queued: labels, rules, taints, drained agents, keys kept apart; on how many of them,
and what would change it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from relevo.scheduler.capacity import AgentCapacity, Capacity
from relevo.scheduler.demand import Demand
from relevo.scheduler.fit import never
from relevo.scheduler.unmet import Lack, lacks, refusal, tally

#: Why a job waits, by what agents lack that changes by itself or by somebody's word; the first one is told of.
_CHANGES: Final = {"apart": "apart", "drained": "drained", "places": "slot"}
#: What stays as it is until there are other agents.
_STAYS: Final = {"taint": "taints", "where": "where", "labels": "labels"}
_TOLD_HERE: Final = frozenset({"apart", "drained", "taint", "where"})
#: Drained agents that are named.
NAMED: Final = 3


def unfit(
    demand: Demand,
    agents: Mapping[str, AgentCapacity],
    away: Sequence[str],
    jobs_of_key: Callable[[str], Sequence[str]],
) -> tuple[str, str] | None:
    """Kind and sentence; None where somebody takes the job, or where nothing but labels, slots and what is taken is in its way.

    `away`: agents that are known and take nothing now; `jobs_of_key`: the jobs, as people know them, that run with a key of `apart`.
    """
    plain = demand.rules is None and not any(agent.taints or agent.drained for agent in agents.values())
    if plain and any(never(demand, agent) is None for agent in agents.values()):
        return None
    capacity = Capacity()
    capacity.agents = dict(agents)
    found, taking = lacks(demand, capacity)
    by_kind = {lack.kind: lack for lack in found}
    if taking or by_kind.keys() == {"labels"}:
        return None
    if all(lack.misfit.never for lack in found):
        kind = _STAYS.get(found[0].kind, "resources")
        said = refusal(demand, list(agents.values())).removeprefix("it ")
        names = ", ".join(f"'{id}'" for id in away[:NAMED])
        return kind, f"{said}; it waits for one that could" + (
            f", and {names} {_be(len(away))} not there" if away else ""
        )
    if not by_kind.keys() & _TOLD_HERE:
        return None
    said = tally(demand, found, sum(len(lack.agents) for lack in found))
    kind = next((name for lack, name in _CHANGES.items() if lack in by_kind), "resources")
    return kind, f"waits for an agent that takes it: {said}{_changes(demand, by_kind, jobs_of_key)}"


def _changes(demand: Demand, by_kind: Mapping[str, Lack], jobs_of_key: Callable[[str], Sequence[str]]) -> str:
    """What would let it go on."""
    if "apart" in by_kind and demand.rules is not None:
        jobs = jobs_of_key(demand.rules.apart)
        others = f" and {len(jobs) - NAMED + 1} more" if len(jobs) > NAMED else ""
        shown = jobs[: NAMED - 1] if others else jobs
        return (
            f"; it begins when {', '.join(shown)}{others} {'has' if len(jobs) == 1 else 'have'} ended"
            if jobs
            else ""
        )
    if "drained" in by_kind:
        drained = by_kind["drained"].agents
        which = drained[0].id if len(drained) == 1 else "AGENT"
        return f"; relevo undrain {which} lets it take jobs again"
    return "; it begins when jobs there have ended"


def _be(count: int) -> str:
    return "is" if count == 1 else "are"
