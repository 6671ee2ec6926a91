"""What agents could take if they had nothing else to do: a job beyond it would wait for ever."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from relevo.scheduler.capacity import AgentCapacity
from relevo.scheduler.demand import Demand

#: Classes of jobs for which it is remembered.
KNOWN_LIMIT: Final = 4_096


class Reach:
    """The agents that an engine has, or is about to have, by id. Only what they are counts here, not what is free of it."""

    def __init__(self, agents: Iterable[AgentCapacity], *, refuses: bool = True) -> None:
        """`refuses`: False: jobs beyond it are to wait until there is another agent."""
        self.refuses = refuses
        self._known: dict[Demand, str] = {}
        self.agents = {agent.id: agent for agent in agents}
        self.labels = self._all_labels()  #: all that some agent answers to

    def met(self, agent: AgentCapacity) -> None:
        """An agent says what it is; that replaces what was known of it."""
        self._known.clear()
        known = self.agents.get(agent.id)
        self.agents[agent.id] = agent
        if known is None:
            self.labels |= agent.labels
        elif known.labels != agent.labels:
            self.labels = self._all_labels()

    def _all_labels(self) -> frozenset[str]:
        return frozenset[str]().union(*(agent.labels for agent in self.agents.values()))

    def refusal(self, demand: Demand) -> str:
        """Why no agent could ever take a job; "" when one could, or when it is to wait. O(1) for a class that was asked for."""
        if not self.refuses:
            return ""
        found = self._known.get(demand)
        if found is None:
            if len(self._known) >= KNOWN_LIMIT:
                self._known.clear()
            found = self._known[demand] = self._refusal(demand)
        return found

    def _refusal(self, demand: Demand) -> str:
        if any(_could(demand, agent) for agent in self.agents.values()):
            return ""
        from relevo.scheduler.unmet import refusal

        return refusal(demand, list(self.agents.values()))


def _could(demand: Demand, agent: AgentCapacity) -> bool:
    if not (
        demand.labels <= agent.labels
        and (demand.cpus or 0) <= agent.cpus
        and (demand.memory_bytes or 0) <= agent.memory_bytes
        and all(amount <= agent.extras.get(name, 0) for name, amount in demand.extras)
    ):
        return False
    if demand.rules is None:
        return not agent.taints
    from relevo.scheduler.fit import never

    return never(demand, agent) is None
