"""The scheduler: what it is told takes effect at once; what waits is matched once a turn."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Final, Literal

from relevo.actors import Actor, ActorRef
from relevo.core.measured import MATCH_SECONDS, PLACEMENTS, QUEUE_WAIT_SECONDS
from relevo.scheduler.capacity import AgentCapacity, Capacity
from relevo.scheduler.match import Placement, Policy, choose, match
from relevo.scheduler.queue import Demand, Queue, Waiting

#: All that the actor is told: look whether somebody can be placed.
Look = Literal["look"]
LOOK: Final[Look] = "look"


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
        self.reserved: dict[Waiting, tuple[str, Demand]] = {}  #: who has a place where

    def enqueue(self, run: str, job: int, priority: int, demand: Demand) -> None:
        """A job waits for a place. One that it had for an earlier attempt is free again."""
        waiting = Waiting(run, job)
        self._free(waiting)
        self.queue.add(waiting, priority, demand, self._time())
        self._look()

    def oldest_s(self) -> float:
        """How long the job has waited that has waited longest, in seconds; 0 when none does."""
        since = self.queue.oldest
        return 0.0 if since is None else max(0.0, self._time() - since)

    def reserve_at_once(self, run: str, job: int, demand: Demand) -> str | None:
        """A place for a job that need not wait: the agent where a match would put it now.

        None when others wait, or nothing fits: then it has to queue. A place that is not taken is given back by `withdraw`
        or `forget`.
        """
        if len(self.queue):
            return None
        self._keep_pace()
        agent = choose(self.capacity, demand)
        if agent is not None:
            PLACEMENTS.inc()
            QUEUE_WAIT_SECONDS.record(0.0)
            self.reserve(run, job, agent, demand)
        return agent

    def reserve(self, run: str, job: int, agent: str, demand: Demand) -> None:
        """A job has that place: it was placed or adopted there."""
        waiting = Waiting(run, job)
        self._free(waiting)
        self.reserved[waiting] = (agent, demand)
        capacity = self.capacity.agents.get(agent)
        if capacity is not None:
            capacity.take(demand)

    def withdraw(self, run: str, job: int) -> None:
        """A job ended, or its place is not needed any more: it leaves the queue, and its place is free again."""
        waiting = Waiting(run, job)
        place = self.reserved.get(waiting)
        if not self._free(waiting):
            self.queue.remove(waiting)
        elif place is not None and (agent := self.capacity.agents.get(place[0])) is not None:
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
        for place, demand in self.reserved.values():
            if place == agent.id:
                agent.take(demand)
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
            placements = match(self.queue, self.capacity, self._policy)
            MATCH_SECONDS.record(perf_counter() - begun)
            now_s = self._time()
            PLACEMENTS.inc(len(placements))
            for (run, job), demand, agent in placements:
                waiting = Waiting(run, job)
                since = self.queue.since(waiting)
                QUEUE_WAIT_SECONDS.record(0.0 if since is None else now_s - since)
                self.queue.remove(waiting)
                self.reserve(run, job, agent, demand)
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
        place = self.reserved.pop(waiting, None)
        if place is None:
            return False
        capacity = self.capacity.agents.get(place[0])
        if capacity is not None:
            capacity.give(place[1])
        return True
