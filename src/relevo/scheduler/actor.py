"""The scheduler: what it is told takes effect at once; what waits is matched in turns.

A round over many jobs and agents takes long. It is made in short turns, so that the loop is never held: each turn carries out
what it has placed, and what comes, goes or becomes free between them is for the next round, but for what makes the
present one wrong (there is less room than it knew of): that gives it up.

Longer than most modules: each thing that it can be told is a short method, and all of them keep queue, capacity, ledger and
evictions in step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from relevo.actors import Actor, ActorRef
from relevo.core.measured import MATCH_SECONDS, PLACEMENTS, QUEUE_WAIT_SECONDS
from relevo.scheduler.capacity import LOAD_STEP, AgentCapacity, Capacity
from relevo.scheduler.demand import Demand, amounts
from relevo.scheduler.match import Placement, Policy, Round, at_once, begin, choose, is_usual
from relevo.scheduler.queue import Order, Queue, Waiting

if TYPE_CHECKING:
    from relevo.scheduler.evictions import Eviction, Evictions, Evictor, Ordered
    from relevo.scheduler.rounds import Decision
    from relevo.scheduler.tenants import Ledger

#: All that the actor is told: look whether somebody can be placed.
Look = Literal["look"]
LOOK: Final[Look] = "look"
#: Steps of a round in one turn: each looks at a lane or at a few agents, ten to forty microseconds among 10,000 agents.
STEPS: Final = 32
#: What is placed in one turn at most where that takes no steps.
PLACED_AT_ONCE: Final = 256
#: What an agent told of its load holds for so long; agents tell every two seconds.
LOAD_HOLDS_S: Final = 10.0
#: Among so many agents a look at each takes less than a round.
CHOSEN_AMONG: Final = 64
#: Of so many tenants that want nothing any more it is still known what they used.
REMEMBERED: Final = 1_000


class Held(NamedTuple):
    """A place that a job has."""

    agent: str
    demand: Demand
    tenant: str
    since_s: float  #: 0 where nobody asks


class Used(NamedTuple):
    """What a tenant has used; see `tenants.Ledger.finish`."""

    so_far: float
    there: bool  #: it has something, or wants it


class Scheduler(Actor[Look]):
    """Owns queue and capacity. `assign` gets what was placed: the places are reserved from then on."""

    ref: ActorRef[Look]  #: its own, set by whoever spawns it

    def __init__(
        self,
        assign: Callable[[list[Placement]], None],
        time: Callable[[], float],
        policy: Policy | None = None,
        evictor: Evictor | None = None,
        later: Callable[[Callable[[], None]], object] = lambda then: then(),
    ) -> None:
        """`time`: the loop's. Runs that are taken up queue jobs before the actor has started. `evictor` ends jobs for others,
        where the policy says so. `later`: calls when the loop has been around, so that whatever else is to be done has its
        turn between two of a round's."""
        self._assign = assign
        self._time = time
        self._later = later
        self._evictor = evictor
        self._evictions: Evictions | None = None
        self._policy = policy or Policy()
        self._looking = False  # LOOK was told and is not taken in yet
        self._again = False  # something has changed since the present round began
        self._round: Decision | None = None  # under way
        self._carried_out = 0  # of its placements
        self._was_there = frozenset[str]()
        self._loads: dict[str, float] = {}  # until when what agents told of their load holds; soonest first
        self._paced: dict[str, AgentCapacity] = {}  # whose places may have to follow how fast jobs end there
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
        """Another policy. What runs goes on, whatever it says; what waits keeps its place in it. O(n)."""
        self._give_up()
        if self._evictions is not None:
            self._evictions.clear()
        self._policy = policy
        self._usual = is_usual(policy)
        self._asks_load = policy.custom is not None or bool(policy.placement and policy.placement.load)
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
        if policy.preempt_grace_s is None or self._evictor is None:
            self._evictions = None
        elif self._evictions is None:
            self._begin_evictions(self._evictor)
        self._look()

    def _begin_evictions(self, evictor: Evictor) -> None:
        from relevo.scheduler.evictions import Evictions

        self._evictions = Evictions(self.capacity, evictor)
        for waiting, held in self.reserved.items():
            self._evictions.took(waiting, held.agent, held.demand, held.tenant, held.since_s)
        for agent in self.capacity.agents.values():
            agent.window = 0
            self._paced[agent.id] = agent

    @property
    def policy(self) -> Policy:
        """By which it decides now."""
        return self._policy

    @property
    def making_room(self) -> Mapping[Waiting, Eviction]:
        """For whom jobs are being ended."""
        return {} if self._evictions is None else self._evictions.making

    def drain(self, agent: str, on: bool = True, reason: str = "") -> None:
        """An agent takes nothing new, or takes jobs again. Without effect on one that is not there."""
        capacity = self.capacity.agents.get(agent)
        if capacity is not None:
            self._give_up()
            capacity.drain(on, reason)
            if on and self._evictions is not None:
                self._evictions.drained(agent)
            self._look()

    def report(self, agent: str, load: float) -> None:
        """An agent tells how busy its machine is, from 0 to 1. Without effect where the policy does not ask."""
        capacity = self.capacity.agents.get(agent)
        if capacity is not None and self._asks_load:
            capacity.report(load)
            self._loads.pop(agent, None)
            self._loads[agent] = self._time() + LOAD_HOLDS_S

    def _forget_loads(self, now_s: float) -> None:
        """What was told long ago counts for less and less: half of it after each `LOAD_HOLDS_S`. O(agents that are silent)."""
        loads = self._loads
        while loads:
            agent, until_s = next(iter(loads.items()))
            if until_s > now_s:
                return
            del loads[agent]
            capacity = self.capacity.agents.get(agent)
            if capacity is not None and capacity.load:
                capacity.report(capacity.load / 2 if capacity.load > 2 * LOAD_STEP else 0.0)
                loads[agent] = now_s + LOAD_HOLDS_S

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

    def over_quota(self, tenant: str, demand: Demand) -> bool:
        """Whether its tenant has so much that such a job has to wait."""
        return bool(self.beyond_quota(tenant, demand))

    def beyond_quota(self, tenant: str, demand: Demand) -> list[tuple[str, float, float]]:
        """What keeps such a job back: names with what the tenant has, and its quota of them. Places are called `jobs`."""
        share, ledger = self._policy.share(tenant), self.capacity.ledger
        if ledger is None or not share.quota:
            return []
        from relevo.scheduler.tenants import Account

        return Account(ledger, tenant, share).beyond_quota(amounts(demand))

    def having_key(self, key: str) -> Iterator[Waiting]:
        """The jobs with a place that are kept apart by that key. O(those with a place)."""
        for waiting, held in self.reserved.items():
            if held.demand.rules is not None and held.demand.rules.apart == key:
                yield waiting

    def _came(self, tenant: str, ledger: Ledger) -> None:
        if tenant in self._was_there:
            return
        active = self.queue.tenants.keys() | ledger.used.keys()
        if tenant not in active:
            ledger.came(tenant, active)
            if len(ledger.finish) > 2 * len(active) + REMEMBERED:
                ledger.forget(active | {tenant})

    def used_so_far(self) -> dict[str, Used]:
        """By tenant what it has used, until now. Empty where nobody counts."""
        ledger = self.capacity.ledger
        if ledger is None:
            return {}
        found = dict(ledger.finish)
        now_s = self._time()
        for held in self.reserved.values():
            cost = ledger.cost(held.tenant, held.demand, now_s - held.since_s)
            found[held.tenant] = found.get(held.tenant, 0.0) + cost
        there = self.queue.tenants.keys() | ledger.used.keys()
        return {tenant: Used(used, tenant in there) for tenant, used in found.items()}

    def carry_over(self, used: Mapping[str, Used]) -> None:
        """What tenants used before, as an earlier engine said, before any job is known. Until `carried_over`, those that were
        there are taken to have been there all the time: who has used less is not to begin where the others are."""
        if self.capacity.ledger is not None:
            self.capacity.ledger.finish.update({tenant: one.so_far for tenant, one in used.items()})
            self._was_there = frozenset(tenant for tenant, one in used.items() if one.there)

    def carried_over(self) -> None:
        """All runs are taken up."""
        self._was_there = frozenset()

    def oldest_s(self) -> float:
        """How long the job has waited that has waited longest, in seconds; 0 when none does."""
        since = self.queue.oldest
        return 0.0 if since is None else max(0.0, self._time() - since)

    def reserve_at_once(self, run: str, job: int, demand: Demand, tenant: str = "") -> str | None:
        """A place for a job that need not wait: the agent where a match would put it now.

        None when others wait, or nothing fits: then it has to queue. A place that is not taken is given back by `withdraw`
        or `forget`.
        """
        if (
            len(self.queue)
            or not self._usual
            or demand.rules is not None
            or len(self.capacity.agents) > CHOSEN_AMONG
        ):
            return None
        if self._paced:
            self._keep_pace()
        agent = choose(self.capacity, demand)
        if agent is not None:
            PLACEMENTS.value += 1
            QUEUE_WAIT_SECONDS.record_ms(0)
            self.reserve(run, job, agent, demand, tenant)
        return agent

    def reserve(self, run: str, job: int, agent: str, demand: Demand, tenant: str = "") -> None:
        """A job has that place: it was placed or adopted there."""
        waiting = Waiting(run, job)
        if waiting in self.reserved:
            self._free(waiting)
        if self._round is not None:
            self._give_up()
        self._hold(waiting, agent, demand, tenant, False)

    def _hold(self, waiting: Waiting, agent: str, demand: Demand, tenant: str, counted: bool) -> None:
        since_s = 0.0
        if self.capacity.ledger is not None:
            since_s = self._time()
            self.capacity.ledger.took(tenant, demand)
        if self._evictions is not None:
            since_s = self._time()
            self._evictions.took(waiting, agent, demand, tenant, since_s)
        self.reserved[waiting] = Held(agent, demand, tenant, since_s)
        capacity = self.capacity.agents.get(agent)
        if capacity is not None:
            capacity.take(demand, counted=counted)

    def withdraw(self, run: str, job: int) -> None:
        """A job ended, or its place is not needed any more: it leaves the queue, and its place is free again."""
        waiting = Waiting(run, job)
        held = self._free(waiting)
        if held is None:
            self.queue.remove(waiting)
            if self._evictions is not None:
                self._evictions.drop(waiting)
        elif (agent := self.capacity.agents.get(held.agent)) is not None:
            agent.ended(self._time())
            if agent.window:
                self._paced[agent.id] = agent
        self._look()

    def forget(self, run: str) -> None:
        """Whatever is known of a run is void; it is told again. O(n) in what waits and runs."""
        if self._evictions is not None:
            self._evictions.forget(run)
        self.queue.remove_run(run)
        for waiting in [waiting for waiting in self.reserved if waiting.run == run]:
            self._free(waiting)
        self._look()

    def agent_up(self, agent: AgentCapacity) -> None:
        """An agent takes jobs. What has its place there is counted here."""
        self.agent_down(agent.id)
        for held in self.reserved.values():
            if held.agent == agent.id:
                agent.take(held.demand)
        self.capacity.agents[agent.id] = agent
        if (
            self.capacity.ledger is not None
            and self._round is None
            and len(self.capacity.agents) <= CHOSEN_AMONG
        ):
            # What is usual is placed without a round, and is to count for as much.
            self.capacity.ledger.totals = self.capacity.nodes().sums
        if self._evictions is not None:
            self._evictions.agent_up(agent)
            agent.window = 0  # whoever is most important is not to wait behind what an agent has in hand
            self._paced[agent.id] = agent
        self._look()

    def agent_down(self, agent: str) -> None:
        """It takes none for now. What it has stays reserved on it."""
        if self.capacity.agents.pop(agent, None) is None:
            return
        self._paced.pop(agent, None)
        self._give_up()

    # --- rounds -------------------------------------------------------------------------------------------------------

    def receive(self, messages: list[Look]) -> None:
        self._looking = False
        if self._round is None and not len(self.queue):
            return
        begun = perf_counter()  # the loop's own time may stand still within a turn
        if self._round is None:
            self._again = False
            self._keep_pace()
            if self._loads:
                self._forget_loads(self._time())
            found = at_once(self.queue, self.capacity, self._policy, PLACED_AT_ONCE)
            if found is None:
                self._round = begin(
                    self.queue, self.capacity, self._policy, self._time(), claims=self._evictions is not None
                )
                self._carried_out = 0
            else:
                self._carry_out(found.placements, counted=False)
                self._over(found, PLACED_AT_ONCE)
        if self._round is not None:
            self._turn(self._round)
        MATCH_SECONDS.record(perf_counter() - begun)
        if not self._looking and (self._round is not None or (self._again and len(self.queue))):
            self._looking = True
            self._later(self._tell)

    def _turn(self, decision: Decision) -> None:
        """Go on with a round, and carry out what it has placed."""
        over = self._advance(decision)
        if self._round is not decision:
            return  # its policy has failed: nothing of this turn is carried out, as if it had not been
        found = decision.result
        placements = found.placements[self._carried_out :]
        self._carried_out += len(placements)
        self._carry_out(placements, counted=True)
        if over:
            self._round = None
            self._over(found, self._policy.round_limit)

    def _advance(self, decision: Decision) -> bool:
        custom = self._policy.custom
        if custom is None:
            return decision.advance(STEPS)
        from relevo.scheduler.custom import PolicyFailed

        try:
            with custom.round():
                return decision.advance(STEPS)
        except PolicyFailed as failure:
            custom.set_aside(failure)
            self._set_aside()
            return True

    def _set_aside(self) -> None:
        """The custom policy has failed: the usual one decides."""
        self.change(self._policy._replace(custom=None))

    def _carry_out(self, placements: list[Placement], *, counted: bool) -> None:
        if not placements:
            return
        now_s = self._time()
        PLACEMENTS.inc(len(placements))
        for waiting, demand, agent in placements:
            place = self.queue.remove(waiting)
            assert place is not None
            QUEUE_WAIT_SECONDS.record(now_s - place.since_s)
            if self._evictions is not None and self._evictions.drop(waiting) is not None:
                self._look()  # the room that was kept for it is free
            self._hold(waiting, agent, demand, place.tenant, counted)
        self._assign(placements)

    def _over(self, found: Round, limit: int) -> None:
        self.last = found
        if len(found.placements) >= limit:
            self._look()
        if (
            self._evictions is not None
            and len(self.queue)
            and self._evictions.make_room(found, self.queue, self._policy, self._time())
        ):
            self._look()

    def _give_up(self) -> None:
        """There is less room than the present round goes by: begin another."""
        if self._round is not None:
            self._round.undo()
            self._round = None
            self._look()

    # --- ending jobs for others ---------------------------------------------------------------------------------------

    def stays(self, run: str, job: int) -> None:
        """A job that was told to go does not: whoever counted on its place looks for another."""
        if self._evictions is not None and self._evictions.stays(Waiting(run, job)):
            self._look()

    def expect(self, orders: list[Ordered]) -> dict[Waiting, Eviction]:
        """Jobs that an earlier engine told to go, and that have their places still: room is being made for those claims that
        wait still. Returns it, by claim."""
        if self._evictions is None:
            return {}
        waits = [one for one in orders if one.claim in self.queue and one.victim in self.reserved]
        return self._evictions.expect(waits, self._time())

    def lapse(self, claim: Waiting, eviction: Eviction) -> None:
        """Making that room took too long. Without effect when it was made, or given up."""
        evictions = self._evictions
        if evictions is not None and evictions.making.get(claim) is eviction:
            evictions.drop(claim)
            self._look()

    def _grant(self, evictions: Evictions, claims: list[Waiting]) -> None:
        """What stood in the way of these has gone."""
        for claim in claims:
            eviction = evictions.drop(claim)
            since_s = self.queue.since(claim)
            if eviction is None or eviction.agent not in self.capacity.agents:
                continue  # it is away: whoever waits looks for another place
            if self.queue.remove(claim) is None:
                continue
            PLACEMENTS.inc()
            QUEUE_WAIT_SECONDS.record(0.0 if since_s is None else self._time() - since_s)
            self._hold(claim, eviction.agent, eviction.demand, eviction.tenant, False)
            self._assign([Placement(claim, eviction.demand, eviction.agent)])

    def _keep_pace(self) -> None:
        now_s = self._time()
        for agent in list(self._paced.values()):
            agent.keep_pace(now_s)
            if agent.places == agent.slots + agent.window:
                del self._paced[agent.id]

    def _look(self) -> None:
        self._again = True
        if len(self.queue) and not self._looking:
            self._looking = True
            self._tell()

    def _tell(self) -> None:
        self.ref.tell(LOOK)

    def _free(self, waiting: Waiting) -> Held | None:
        held = self.reserved.pop(waiting, None)
        if held is None:
            return None
        capacity = self.capacity.agents.get(held.agent)
        if capacity is not None:
            capacity.give(held.demand)
        if self.capacity.ledger is not None:
            self.capacity.ledger.gave(held.tenant, held.demand, self._time() - held.since_s)
        if self._evictions is not None:
            there = self._evictions.gave(waiting, held.agent)
            if there:
                self._grant(self._evictions, there)
        return held
