"""What the agents can take."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import ceil, isfinite
from typing import TYPE_CHECKING, Final

from relevo.scheduler.demand import Demand

if TYPE_CHECKING:
    from relevo.scheduler.nodes import Nodes
    from relevo.scheduler.tenants import Ledger

#: What an engine may take from the end of a job to the next one at its agent: ends are told of together (10 ms), then come a
#: commit and a frame each way, on processors that steps use too. With half of it slots stood empty for a quarter of the time.
TURN_S: Final = 0.04
#: An agent has at most so many times its window in hand.
DEEPEST: Final = 8
#: What the first ends tell of how fast jobs end is little: it begins as if one ended each second.
SLOW_S: Final = 1.0
#: The weight of the latest end in the mean of what lies between two.
LATEST: Final = 0.125
#: The keys of `Rules.near` that an agent is known for: those of the latest jobs.
WARM_LIMIT: Final = 64
#: Agents tell of their load every few seconds: only what makes a difference is taken in.
LOAD_STEP: Final = 0.05


def jobs_ahead(window: int, between_ends_s: float) -> int:
    """How many jobs an agent should have beyond its slots, one of which ends every so often.

    `window`: what it asks for. More only where it would end them all before the engine could send another: a job that it has
    can go to no other agent, and later ones of other runs wait behind it.
    """
    if between_ends_s * window * DEEPEST <= TURN_S:
        return window * DEEPEST
    return max(window, ceil(TURN_S / between_ends_s)) if window else 0


class AgentCapacity:
    """One agent's room. `free` may be negative when an agent came back with fewer slots than it runs.

    Amounts are kept to thousandths, so that what was taken and given back leaves what there was.
    """

    __slots__ = (
        "apart",
        "between_ends_s",
        "cpus",
        "cpus_free",
        "drained",
        "drained_for",
        "extras",
        "extras_free",
        "free",
        "id",
        "labels",
        "last_end_s",
        "load",
        "memory_bytes",
        "memory_free",
        "names",
        "places",
        "pool",
        "slots",
        "stale",
        "taints",
        "warm",
        "window",
        "zone",
    )

    def __init__(
        self,
        id: str,
        labels: frozenset[str],
        slots: int,
        cpus: float,
        memory_bytes: int,
        window: int = 0,
        *,
        extras: Mapping[str, float] | None = None,
        taints: frozenset[str] = frozenset(),
        pool: str = "",
        zone: str = "",
    ) -> None:
        self.id = id
        self.labels = (
            labels | {f"pool:{pool.lower()}"} if pool else labels
        )  #: jobs ask for a pool as for a label
        self.slots = slots
        self.window = window  #: what it takes beyond them at least
        self.places = slots + window  #: slots, and what it takes beyond them now
        self.free = self.places
        self.cpus = self.cpus_free = cpus
        self.memory_bytes = self.memory_free = memory_bytes
        self.extras: Mapping[str, float] = extras or {}  #: what else it has
        self.extras_free = dict(self.extras)
        self.taints = taints  #: only jobs that tolerate all of them run here
        self.pool = pool
        self.zone = zone
        own = (f"node:{id}", *((f"pool:{pool}",) if pool else ()), *((f"zone:{zone}",) if zone else ()))
        self.names = labels.union(name.lower() for name in own)  #: what expressions may call it
        self.drained = False  #: it takes nothing new
        self.drained_for = ""  #: why, as whoever did it says
        self.load = (
            0.0  #: as it says: the share of its machine that is in use, whoever uses it; 1.0: all of it
        )
        self.apart: dict[str, int] = {}  #: how many jobs with such a key it has
        self.warm: dict[str, None] = {}  #: keys of jobs that ran here, the latest last
        self.between_ends_s = SLOW_S  #: on the average
        self.last_end_s = 0.0
        self.stale: deque[AgentCapacity] | None = (
            None  #: where it says that it has changed; None: it has said so
        )

    def take(self, demand: Demand, *, counted: bool = False) -> None:
        """A job has a place here. `counted`: a round has placed it, so that columns have it already."""
        self.free -= 1
        _, cpus, memory_bytes, extras, rules = demand
        if cpus or memory_bytes or extras or rules:
            self._use(demand, 1)
        if self.stale is not None and (rules is not None or not counted):
            self.changed()

    def give(self, demand: Demand) -> None:
        """It gives its place back."""
        self.free += 1
        _, cpus, memory_bytes, extras, rules = demand
        if cpus or memory_bytes or extras or rules:
            self._use(demand, -1)
        if self.stale is not None:
            self.changed()

    def _use(self, demand: Demand, times: int) -> None:
        if demand.cpus:
            self.cpus_free = round(self.cpus_free - times * demand.cpus, 3)
        self.memory_free -= times * (demand.memory_bytes or 0)
        for name, amount in demand.extras:
            self.extras_free[name] = round(self.extras_free.get(name, 0) - times * amount, 3)
        rules = demand.rules
        if rules is None:
            return
        if rules.apart:
            count = self.apart.get(rules.apart, 0) + times
            if count > 0:
                self.apart[rules.apart] = count
            else:
                self.apart.pop(rules.apart, None)
        if rules.near and times > 0:
            self.warm.pop(rules.near, None)
            self.warm[rules.near] = None
            if len(self.warm) > WARM_LIMIT:
                del self.warm[next(iter(self.warm))]

    def drain(self, on: bool = True, reason: str = "") -> None:
        """Take nothing new, or take jobs again. What it has goes on."""
        self.drained = on
        self.drained_for = reason if on else ""
        self.changed()

    def report(self, load: float) -> None:
        """What it says of its load, kept in steps of `LOAD_STEP`; what cannot be is taken for nothing said."""
        load = min(load, 1.0) if isfinite(load) and load > 0 else 0.0
        load = round(round(load / LOAD_STEP) * LOAD_STEP, 2)
        if load != self.load:
            self.load = load
            self.changed()

    def ended(self, now_s: float) -> None:
        """A job ended on it."""
        between_s = min(now_s - self.last_end_s, SLOW_S)
        self.between_ends_s += LATEST * (between_s - self.between_ends_s)
        self.last_end_s = now_s

    def keep_pace(self, now_s: float) -> None:
        """Give it as many places as it can use: see `jobs_ahead`. One that has ended none for a while goes by that."""
        between_s = max(self.between_ends_s, now_s - self.last_end_s)
        places = self.slots + jobs_ahead(self.window, between_s)
        if places != self.places:
            self.free += places - self.places
            self.places = places
            if self.stale is not None:
                self.changed()

    def changed(self) -> None:
        """Say so where agents are kept as columns."""
        if self.stale is not None:
            self.stale.append(self)
            self.stale = None


class Capacity:
    """All agents that take jobs now, and which tenant has how much of them where that counts."""

    def __init__(self) -> None:
        self.agents: dict[str, AgentCapacity] = {}
        self.ledger: Ledger | None = None
        self._nodes: Nodes | None = None

    @property
    def free(self) -> int:
        """Free places in all."""
        return sum(agent.free for agent in self.agents.values() if agent.free > 0)

    def nodes(self) -> Nodes:
        """The agents as columns, brought up to date. O(agents that changed)."""
        nodes = self.columns()
        for _ in nodes.refresh(self.agents):
            pass
        return nodes

    def columns(self) -> Nodes:
        """The agents as columns, as they were last brought up to date by `refresh`."""
        from relevo.scheduler.nodes import Nodes

        if self._nodes is None or self._nodes.crowded:
            self._nodes = Nodes()
        return self._nodes
