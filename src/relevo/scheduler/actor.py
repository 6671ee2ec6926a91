"""The scheduler: what it is told takes effect at once; what waits is matched once a turn."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from relevo.actors import Actor, ActorRef
from relevo.core.measured import MATCH_SECONDS, PLACEMENTS, QUEUE_WAIT_SECONDS
from relevo.scheduler.capacity import AgentCapacity, Capacity
from relevo.scheduler.demand import Demand
from relevo.scheduler.match import Placement, Policy, Round, choose, decide, is_usual
from relevo.scheduler.queue import Order, Queue, Waiting

if TYPE_CHECKING:
    from relevo.scheduler.tenants import Ledger

#: All that the actor is told: look whether somebody can be placed.
Look = Literal["look"]
LOOK: Final[Look] = "look"
#: Of so many tenants that want nothing any more it is still known what they used.
REMEMBERED: Final = 1_000


class Held(NamedTuple):
    """A place that a job has."""

    agent: str
    demand: Demand
    tenant: str
    since_s: float  #: 0 where nobody asks


class Scheduler(Actor[Look]):
    """Owns queue and capacity. `assign` gets what was placed: the places are reserved from then on."""

    ref: ActorRef[Look]  #: its own, set by whoever spawns it

    def __init__(
        self,
        assign: Callable[[list[Placement]], None],
        time: Callable[[], float],
        policy: Policy | None = None,
    ) -> None:
        """`time`: the loop's. Runs that are taken up queue jobs before the actor has started."""
        self._assign = assign
        self._time = time
        self._policy = policy or Policy()
        self._looking = False  # LOOK was told and is not taken in yet
        self.queue = Queue()
        self.capacity = Capacity()
        self.reserved: dict[Waiting, Held] = {}  #: who has a place where
        self.last = Round([], [], {}, [])  #: what the last round came to
        self.change(self._policy)

    @property
    def counts_tenants(self) -> bool:
        """Whether the policy asks whose jobs they are."""
        return self.capacity.ledger is not None or self._policy.custom is not None

    def change(self, policy: Policy) -> None:
        """Another policy, from the next round on. What runs goes on, whatever it says; what waits keeps its place in it. O(n)."""
        self._policy = policy
        self._usual = is_usual(policy)
        order: Order = "deadline" if policy.custom is not None else policy.order
        if self.queue.order != order:
            self.queue = self.queue.again(order)
        ledger = self.capacity.ledger
        if not (policy.fair or policy.shares):
            self.capacity.ledger = None
        elif ledger is not None:
            ledger.shares = policy.shares
        else:
            from relevo.scheduler.tenants import Ledger

            ledger = self.capacity.ledger = Ledger(policy.shares)
            for held in self.reserved.values():
                ledger.took(held.tenant, held.demand)
        self._look()

    def drain(self, agent: str, on: bool = True) -> None:
        """An agent takes nothing new, or takes jobs again. Without effect on one that is not there."""
        capacity = self.capacity.agents.get(agent)
        if capacity is not None:
            capacity.drain(on)
            self._look()

    def enqueue(
        self,
        run: str,
        job: int,
        priority: int,
        demand: Demand,
        tenant: str = "",
        deadline_s: float = inf,
    ) -> None:
        """A job waits for a place. One that it had for an earlier attempt is free again. `deadline_s`: by the loop's time."""
        waiting = Waiting(run, job)
        self._free(waiting)
        if self.capacity.ledger is not None:
            self._came(tenant, self.capacity.ledger)
        custom = self._policy.custom
        if custom is not None:
            deadline_s = custom.order(waiting, priority, demand, tenant)
            if custom.failed:
                self._set_aside()
        self.queue.add(waiting, priority, demand, self._time(), tenant, deadline_s)
        self._look()

    def _set_aside(self) -> None:
        """The custom policy has failed: the usual one decides."""
        self.change(self._policy._replace(custom=None))

    def _decide(self, now_s: float) -> Round:
        custom = self._policy.custom
        if custom is None:
            return decide(self.queue, self.capacity, self._policy, now_s)
        from relevo.scheduler.custom import PolicyFailed

        try:
            with custom.round():
                return decide(self.queue, self.capacity, self._policy, now_s)
        except PolicyFailed as failure:
            custom.set_aside(failure)
            self._set_aside()
            return decide(
                self.queue, self.capacity, self._policy, now_s
            )  # nothing was changed: as if it had not been

    def _came(self, tenant: str, ledger: Ledger) -> None:
        active = self.queue.tenants.keys() | ledger.used.keys()
        if tenant not in active:
            ledger.came(tenant, active)
            if len(ledger.finish) > 2 * len(active) + REMEMBERED:
                ledger.forget(active | {tenant})

    def oldest_s(self) -> float:
        """How long the job has waited that has waited longest, in seconds; 0 when none does."""
        since = self.queue.oldest
        return 0.0 if since is None else max(0.0, self._time() - since)

    def reserve_at_once(self, run: str, job: int, demand: Demand, tenant: str = "") -> str | None:
        """A place for a job that need not wait: the agent where a match would put it now.

        None when others wait, or nothing fits: then it has to queue. A place that is not taken is given back by `withdraw`
        or `forget`.
        """
        if len(self.queue) or not self._usual or demand.rules is not None:
            return None
        self._keep_pace()
        agent = choose(self.capacity, demand)
        if agent is not None:
            PLACEMENTS.inc()
            QUEUE_WAIT_SECONDS.record(0.0)
            self.reserve(run, job, agent, demand, tenant)
        return agent

    def reserve(self, run: str, job: int, agent: str, demand: Demand, tenant: str = "") -> None:
        """A job has that place: it was placed or adopted there."""
        waiting = Waiting(run, job)
        if waiting in self.reserved:
            self._free(waiting)
        since_s = 0.0
        if self.capacity.ledger is not None:
            since_s = self._time()
            self.capacity.ledger.took(tenant, demand)
        self.reserved[waiting] = Held(agent, demand, tenant, since_s)
        capacity = self.capacity.agents.get(agent)
        if capacity is not None:
            capacity.take(demand)

    def withdraw(self, run: str, job: int) -> None:
        """A job ended, or its place is not needed any more: it leaves the queue, and its place is free again."""
        waiting = Waiting(run, job)
        place = self.reserved.get(waiting)
        if not self._free(waiting):
            self.queue.remove(waiting)
        elif place is not None and (agent := self.capacity.agents.get(place.agent)) is not None:
            agent.ended(self._time())
        self._look()

    def forget(self, run: str) -> None:
        """Whatever is known of a run is void; it is told again. O(n) in what waits and runs."""
        self.queue.remove_run(run)
        for waiting in [waiting for waiting in self.reserved if waiting.run == run]:
            self._free(waiting)
        self._look()

    def agent_up(self, agent: AgentCapacity) -> None:
        """An agent takes jobs. What has its place there is counted here."""
        for held in self.reserved.values():
            if held.agent == agent.id:
                agent.take(held.demand)
        self.capacity.agents[agent.id] = agent
        self._look()

    def agent_down(self, agent: str) -> None:
        """It takes none for now. What it has stays reserved on it."""
        self.capacity.agents.pop(agent, None)

    def receive(self, messages: list[Look]) -> None:
        self._looking = False
        self._keep_pace()
        while len(self.queue) and self.capacity.free:
            begun = perf_counter()  # the loop's own time may stand still within a turn
            self.last = self._decide(self._time())
            placements = self.last.placements
            MATCH_SECONDS.record(perf_counter() - begun)
            now_s = self._time()
            PLACEMENTS.inc(len(placements))
            for (run, job), demand, agent in placements:
                waiting = Waiting(run, job)
                since = self.queue.since(waiting)
                QUEUE_WAIT_SECONDS.record(0.0 if since is None else now_s - since)
                place = self.queue.remove(waiting)
                assert place is not None
                self.reserve(run, job, agent, demand, place.tenant)
            if placements:
                self._assign(placements)
            if len(placements) < self._policy.round_limit:
                break

    def _keep_pace(self) -> None:
        now_s = self._time()
        for agent in self.capacity.agents.values():
            agent.keep_pace(now_s)

    def _look(self) -> None:
        if len(self.queue) and not self._looking:
            self._looking = True
            self.ref.tell(LOOK)

    def _free(self, waiting: Waiting) -> bool:
        held = self.reserved.pop(waiting, None)
        if held is None:
            return False
        capacity = self.capacity.agents.get(held.agent)
        if capacity is not None:
            capacity.give(held.demand)
        if self.capacity.ledger is not None:
            self.capacity.ledger.gave(held.tenant, held.demand, self._time() - held.since_s)
        return True
