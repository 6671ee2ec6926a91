"""What the agents can take."""

from __future__ import annotations

from relevo.scheduler.queue import Demand


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

    def could_ever(self, demand: Demand) -> bool:
        """Whether some agent would fit if it were empty, as far as labels tell."""
        return any(demand.labels <= agent.labels for agent in self.agents.values())
