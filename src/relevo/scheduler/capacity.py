"""What the agents can take."""

from __future__ import annotations

from math import ceil
from typing import Final, NamedTuple

from relevo.scheduler.queue import Demand

#: What an engine may take from the end of a job to the next one at its agent: a commit and a frame each way.
TURN_S: Final = 0.02
#: An agent has at most so many times its window in hand.
DEEPEST: Final = 8
#: What the first ends tell of how fast jobs end is little: it begins as if one ended each second.
SLOW_S: Final = 1.0
#: The weight of the latest end in the mean of what lies between two.
LATEST: Final = 0.125


def jobs_ahead(window: int, between_ends_s: float) -> int:
    """How many jobs an agent should have beyond its slots, one of which ends every so often.

    `window`: what it asks for. More only where it would end them all before the engine could send another: a job that it has
    can go to no other agent, and later ones of other runs wait behind it.
    """
    if between_ends_s * window * DEEPEST <= TURN_S:
        return window * DEEPEST
    return max(window, ceil(TURN_S / between_ends_s)) if window else 0


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

    __slots__ = (
        "between_ends_s",
        "cpus_free",
        "free",
        "id",
        "labels",
        "last_end_s",
        "memory_free",
        "places",
        "slots",
        "window",
    )

    def __init__(
        self, id: str, labels: frozenset[str], slots: int, cpus: float, memory_bytes: int, window: int = 0
    ) -> None:
        self.id = id
        self.labels = labels
        self.slots = slots
        self.window = window  #: what it takes beyond them at least
        self.places = slots + window  #: slots, and what it takes beyond them now
        self.free = self.places
        self.cpus_free = cpus
        self.memory_free = memory_bytes
        self.between_ends_s = SLOW_S  #: on the average
        self.last_end_s = 0.0

    def take(self, demand: Demand) -> None:
        self.free -= 1
        self.cpus_free -= demand.cpus or 0
        self.memory_free -= demand.memory_bytes or 0

    def give(self, demand: Demand) -> None:
        self.free += 1
        self.cpus_free += demand.cpus or 0
        self.memory_free += demand.memory_bytes or 0

    def ended(self, now_s: float) -> None:
        """A job ended on it."""
        between_s = min(now_s - self.last_end_s, SLOW_S)
        self.between_ends_s += LATEST * (between_s - self.between_ends_s)
        self.last_end_s = now_s

    def keep_pace(self, now_s: float) -> None:
        """Give it as many places as it can use: see `jobs_ahead`. One that has ended none for a while goes by that."""
        between_s = max(self.between_ends_s, now_s - self.last_end_s)
        places = self.slots + jobs_ahead(self.window, between_s)
        self.free += places - self.places
        self.places = places


class Capacity:
    """All agents that take jobs now."""

    def __init__(self) -> None:
        self.agents: dict[str, AgentCapacity] = {}

    @property
    def free(self) -> int:
        """Free places in all."""
        return sum(agent.free for agent in self.agents.values() if agent.free > 0)
