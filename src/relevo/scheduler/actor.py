"""The scheduler: takes in what it is told, then matches once."""

from __future__ import annotations

from collections.abc import Callable

from relevo.actors import Actor
from relevo.core.measured import MATCH_SECONDS, PLACEMENTS
from relevo.scheduler.capacity import AgentCapacity, Capacity
from relevo.scheduler.match import Placement, Policy, match
from relevo.scheduler.messages import AgentDown, AgentUp, Enqueue, Forget, Message, Reserve, Withdraw
from relevo.scheduler.queue import Demand, Queue, Waiting


class Scheduler(Actor[Message]):
    """Owns queue and capacity. `assign` gets what was placed: the places are reserved from then on."""

    def __init__(self, assign: Callable[[list[Placement]], None], policy: Policy | None = None) -> None:
        self._assign = assign
        self._policy = policy or Policy()
        self.queue = Queue()
        self.capacity = Capacity()
        self.reserved: dict[Waiting, tuple[str, Demand]] = {}  #: who has a place where

    def receive(self, messages: list[Message]) -> None:
        for message in messages:
            kind = type(message)
            if kind is Enqueue:
                self._enqueue(message)  # type: ignore[arg-type]
            elif kind is Withdraw:
                waiting = Waiting(message.run, message.job)  # type: ignore[union-attr]
                if not self._free(waiting):
                    self.queue.remove(waiting)
            elif isinstance(message, Reserve):
                self._reserve(Waiting(message.run, message.job), message.agent, message.demand)
            elif isinstance(message, Forget):
                self._forget(message.run)
            elif isinstance(message, AgentUp):
                self._agent_up(message)
            elif isinstance(message, AgentDown):
                self.capacity.agents.pop(message.agent, None)
        self._match()

    def _enqueue(self, message: Enqueue) -> None:
        waiting = Waiting(message.run, message.job)
        self._free(waiting)  # a retry: its earlier attempt has no place any more
        self.queue.add(waiting, message.priority, message.demand)

    def _match(self) -> None:
        while len(self.queue) and self.capacity.free:
            begun = self.context.system.loop.time()
            placements = match(self.queue, self.capacity, self._policy)
            MATCH_SECONDS.record(self.context.system.loop.time() - begun)
            PLACEMENTS.inc(len(placements))
            for placement in placements:
                self.queue.remove(placement.waiting)
                self._reserve(placement.waiting, placement.agent, placement.demand)
            if placements:
                self._assign(placements)
            if len(placements) < self._policy.round_limit:
                break

    def _reserve(self, waiting: Waiting, agent: str, demand: Demand) -> None:
        self._free(waiting)
        self.reserved[waiting] = (agent, demand)
        capacity = self.capacity.agents.get(agent)
        if capacity is not None:
            capacity.take(demand)

    def _free(self, waiting: Waiting) -> bool:
        place = self.reserved.pop(waiting, None)
        if place is None:
            return False
        capacity = self.capacity.agents.get(place[0])
        if capacity is not None:
            capacity.give(place[1])
        return True

    def _forget(self, run: str) -> None:
        self.queue.remove_run(run)
        for waiting in [waiting for waiting in self.reserved if waiting.run == run]:
            self._free(waiting)

    def _agent_up(self, message: AgentUp) -> None:
        capacity = AgentCapacity(
            message.agent, message.labels, message.places, message.cpus, message.memory_bytes
        )
        for agent, demand in self.reserved.values():
            if agent == message.agent:
                capacity.take(demand)
        self.capacity.agents[message.agent] = capacity
