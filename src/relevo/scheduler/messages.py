"""What the scheduler is told."""

from __future__ import annotations

from msgspec import Struct

from relevo.scheduler.queue import Demand


class Enqueue(Struct, frozen=True, gc=False):
    """A job waits for a place."""

    run: str
    job: int
    priority: int
    demand: Demand


class Withdraw(Struct, frozen=True, gc=False):
    """A job ended, or its place is not needed any more: it leaves the queue, and its place is free again."""

    run: str
    job: int


class Reserve(Struct, frozen=True, gc=False):
    """A job has a place already (it was adopted, not matched)."""

    run: str
    job: int
    agent: str
    demand: Demand


class Forget(Struct, frozen=True, gc=False):
    """Whatever is known of a run is void; it is told again."""

    run: str


class AgentUp(Struct, frozen=True):
    """An agent takes jobs. `places`: slots, and what it takes beyond them."""

    agent: str
    labels: frozenset[str]
    places: int
    cpus: float
    memory_bytes: int


class AgentDown(Struct, frozen=True):
    """It takes none for now. What it has stays reserved on it."""

    agent: str


Message = Enqueue | Withdraw | Reserve | Forget | AgentUp | AgentDown
