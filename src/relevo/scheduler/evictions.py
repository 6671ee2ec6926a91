"""Room that is being made: who was told to go for whom, and the room that is kept for them until then.

    a round left claims ─► preemptions() ─► the room counts as taken ─► each victim is told to go
        all victims have given up their places             ─► the claim has its place
        placed elsewhere · withdrawn · agent drained
        · a victim that stays · it takes too long          ─► the room is given back, and others may have it

A claim stays in the queue meanwhile: what becomes free elsewhere it takes. A victim that was told is told once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple, Protocol

from relevo.scheduler.capacity import AgentCapacity, Capacity
from relevo.scheduler.demand import Demand
from relevo.scheduler.placement import Round
from relevo.scheduler.policy import Policy
from relevo.scheduler.preemption import Preemption, Running, preemptions
from relevo.scheduler.queue import Queue, Waiting

#: Claims that room is looked for at once at most, so that a look stays short.
CLAIMS: Final = 8
#: Those that come to nothing must not keep others from it: of so many that wait, some are looked at each time.
LOOKED_AT: Final = 1_024


class Eviction(NamedTuple):
    """Room that is being made for a claim."""

    demand: Demand
    tenant: str
    agent: str
    victims: set[Waiting]  #: of those who were told to go, who has its place still
    since_s: float


class Ordered(NamedTuple):
    """A job that was told to go, and for whom."""

    victim: Waiting
    agent: str  #: who has it
    claim: Waiting
    demand: Demand  #: of the claim, and its tenant
    tenant: str


class Evictor(Protocol):
    """Who carries it out."""

    def about(self, waiting: Waiting) -> tuple[int, bool]:
        """The priority of a job that gets a place, and whether it may be ended for others."""

    def evict(self, claim: Waiting, eviction: Eviction, victims: tuple[Waiting, ...]) -> None:
        """Tell these to go. Whoever does not is told of by `Scheduler.stays`."""


class Evictions:
    """Of one scheduler, while its policy has jobs ended for others."""

    def __init__(self, capacity: Capacity, evictor: Evictor) -> None:
        self._capacity = capacity
        self._evictor = evictor
        self._running: dict[str, dict[Waiting, Running]] = {}  # by agent
        self._may_go: dict[int, int] = {}  # how many may be ended, by priority
        self._claims: dict[Waiting, list[Waiting]] = {}  # by victim
        self._begin = 0
        self.making: dict[Waiting, Eviction] = {}  #: by claim

    def took(self, waiting: Waiting, agent: str, demand: Demand, tenant: str, now_s: float) -> None:
        """A job has a place."""
        priority, may_go = self._evictor.about(waiting)
        self._running.setdefault(agent, {})[waiting] = Running(
            waiting, agent, demand, priority, tenant, now_s, may_go
        )
        if may_go:
            self._may_go[priority] = self._may_go.get(priority, 0) + 1

    def gave(self, waiting: Waiting, agent: str) -> list[Waiting]:
        """A job has its place no more. Returns the claims whose room there is now: `take` them."""
        jobs = self._running.get(agent, {})
        job = jobs.pop(waiting, None)
        if job is None:
            return []
        if not jobs:
            del self._running[agent]
        if job.preemptible:
            self._goes(job)
        there = []
        for claim in self._claims.pop(waiting, ()):
            victims = self.making[claim].victims
            victims.discard(waiting)
            if not victims:
                there.append(claim)
        return there

    def _goes(self, job: Running) -> None:
        left = self._may_go[job.priority] - 1
        if left:
            self._may_go[job.priority] = left
        else:
            del self._may_go[job.priority]

    def expect(self, orders: Iterable[Ordered], now_s: float) -> dict[Waiting, Eviction]:
        """What an earlier engine ordered, of those that are still to go; returns what is made room for, by claim.

        How much of whose room was counted on is not known any more: each claim waits for all that go where its own do.
        """
        going: dict[str, set[Waiting]] = {}
        claims: dict[Waiting, Ordered] = {}
        for order in orders:
            going.setdefault(order.agent, set()).add(order.victim)
            claims[order.claim] = order
        for claim, order in claims.items():
            victims = set(going[order.agent])
            self._keep(claim, Eviction(order.demand, order.tenant, order.agent, victims, now_s))
        return {claim: self.making[claim] for claim in claims}

    def drop(self, claim: Waiting) -> Eviction | None:
        """Give back the room that is kept for a claim; None when none is."""
        eviction = self.making.pop(claim, None)
        if eviction is None:
            return None
        for victim in eviction.victims:
            claims = self._claims[victim]
            claims.remove(claim)
            if not claims:
                del self._claims[victim]
        agent = self._capacity.agents.get(eviction.agent)
        if agent is not None:
            agent.give(eviction.demand)
        if self._capacity.ledger is not None:
            self._capacity.ledger.gave(eviction.tenant, eviction.demand, 0.0)
        return eviction

    def stays(self, victim: Waiting) -> bool:
        """One that was told to go does not: no room comes of it. Whether anybody counted on it."""
        claims = list(self._claims.get(victim, ()))
        for claim in claims:
            self.drop(claim)
        return bool(claims)

    def forget(self, run: str) -> None:
        """What is known of a run is void: its places are no sign of anything."""
        for claim, eviction in list(self.making.items()):
            if claim.run == run or any(victim.run == run for victim in eviction.victims):
                self.drop(claim)

    def agent_up(self, agent: AgentCapacity) -> None:
        """It is back, or there again as another: what is kept on it is counted, where a claim can still have it."""
        for claim, eviction in list(self.making.items()):
            if eviction.agent == agent.id:
                agent.take(eviction.demand)
                if not eviction.demand.labels <= agent.labels:
                    self.drop(claim)

    def drained(self, agent: str) -> None:
        """Nobody gets a place there now."""
        for claim, eviction in list(self.making.items()):
            if eviction.agent == agent:
                self.drop(claim)

    def clear(self) -> None:
        """Give all back."""
        for claim in list(self.making):
            self.drop(claim)

    def make_room(self, found: Round, queue: Queue, policy: Policy, now_s: float) -> bool:
        """Have jobs ended for those that a round left without room. Whether there may be more to do.

        Nothing is looked for where nobody may go; else O(CLAIMS × agents), see `preemptions`.
        """
        claims = list(islice(self._hopeful(found, queue, policy), LOOKED_AT))
        if len(claims) > CLAIMS:
            self._begin %= len(claims)
            claims = (claims[self._begin :] + claims)[:CLAIMS]
            self._begin += CLAIMS
        if not claims:
            return False
        tenants = {claim[0]: claim[2] for claim in claims}
        asked = found._replace(first_left=claims)
        orders = preemptions(asked, self._running, self._capacity, policy, now_s)
        return sum([self._order(order, tenants[order.waiting], now_s) for order in orders]) == CLAIMS

    def _hopeful(
        self, found: Round, queue: Queue, policy: Policy
    ) -> Iterator[tuple[Waiting, int, str, Demand]]:
        """The claims for which somebody might have to go, in the order of their turns."""
        least = min(self._may_go, default=None)
        if least is None:
            return
        for _, priority, tenant, demand in found.first_left:
            if found.left[tenant, demand] != "room":
                continue
            if priority <= least and not policy.share(tenant).guaranteed:
                continue
            lane = queue.lanes.get(priority, {}).get(tenant, {}).get(demand)
            if lane is None:
                continue  # its jobs went in the turns that the round took
            for waiting in lane.peek(len(self.making) + CLAIMS):
                if waiting not in self.making:
                    yield waiting, priority, tenant, demand

    def _order(self, order: Preemption, tenant: str, now_s: float) -> bool:
        jobs = self._running.get(order.agent, {})
        # What others there leave beyond what they were ended for may be counted on, so they are waited for, too.
        victims = {waiting for waiting in jobs if waiting in self._claims}.union(order.victims)
        if not victims:
            return False
        eviction = self._keep(order.waiting, Eviction(order.demand, tenant, order.agent, victims, now_s))
        for victim in order.victims:
            self._goes(jobs[victim])
            jobs[victim] = jobs[victim]._replace(preemptible=False)
        if order.victims:
            self._evictor.evict(order.waiting, eviction, order.victims)
        return True

    def _keep(self, claim: Waiting, eviction: Eviction) -> Eviction:
        """The room counts as taken from now on."""
        agent = self._capacity.agents.get(eviction.agent)
        if agent is not None:
            agent.take(eviction.demand)
        if self._capacity.ledger is not None:
            self._capacity.ledger.took(eviction.tenant, eviction.demand)
        self.making[claim] = eviction
        for victim in eviction.victims:
            self._claims.setdefault(victim, []).append(claim)
        return eviction
