"""What the agents can take."""

from __future__ import annotations

from typing import NamedTuple

from relevo.scheduler.queue import Demand


class Reach(NamedTuple):
    """What the agents of an engine could take if they had nothing else to do."""

    labels: frozenset[str]
    cpus: float
    memory_bytes: int

    def refusal(self, demand: Demand) -> str:
        """Why no agent could ever take it; "" when one could."""
        missing = sorted(demand.labels - self.labels)
        if missing:
            known = ", ".join(sorted(self.labels))
            return f"it runs on {', '.join(missing)}, and no agent here does (they answer to {known})"
        if (demand.cpus or 0) > self.cpus:
            return f"it asks for {demand.cpus:g} cpus, and no agent here has more than {self.cpus:g}"
        if (demand.memory_bytes or 0) > self.memory_bytes:
            most = self.memory_bytes >> 20
            return f"it asks for {(demand.memory_bytes or 0) >> 20} MiB of memory, and no agent here has more than {most}"
        return ""


class AgentCapacity:
    """One agent's room. `free` may be negative when an agent came back with fewer slots than it runs."""

    __slots__ = ("cpus_free", "free", "id", "labels", "memory_free", "places")

    def __init__(self, id: str, labels: frozenset[str], places: int, cpus: float, memory_bytes: int) -> None:
        self.id = id
        self.labels = labels
        self.places = places  #: slots, and what it takes beyond them
        self.free = places
        self.cpus_free = cpus
        self.memory_free = memory_bytes

    def take(self, demand: Demand) -> None:
        self.free -= 1
        self.cpus_free -= demand.cpus or 0
        self.memory_free -= demand.memory_bytes or 0

    def give(self, demand: Demand) -> None:
        self.free += 1
        self.cpus_free += demand.cpus or 0
        self.memory_free += demand.memory_bytes or 0


class Capacity:
    """All agents that take jobs now."""

    def __init__(self) -> None:
        self.agents: dict[str, AgentCapacity] = {}

    @property
    def free(self) -> int:
        """Free places in all."""
        return sum(agent.free for agent in self.agents.values() if agent.free > 0)
