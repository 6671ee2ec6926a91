"""The engine's own scheduler as a policy of a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from relevo.actors import ActorRef
from relevo.scheduler.actor import LOOK, Look, Scheduler
from relevo.scheduler.evictions import Eviction
from relevo.scheduler.match import Placement, Policy
from relevo.scheduler.policy import MOST_TIMES
from relevo.scheduler.queue import Waiting
from relevo.scheduler.simulation.machines import name_of
from relevo.scheduler.simulation.world import World, agent_number


class _Bell:
    """In place of the scheduler's mailbox: notes that it wants to look."""

    def __init__(self) -> None:
        self.rung = False

    def tell(self, message: Look) -> None:
        self.rung = True


class EnginePolicy:
    """Tells the scheduler what the orchestrator would tell it, in the same order, and lets it look once a turn.

    What is ended for others has ended at once, and begins anew: what it does with its grace is not known.
    """

    def __init__(self, world: World, policy: Policy) -> None:
        self._world = world
        self._bell = _Bell()
        self._going: list[int] = []  # told to go, in this turn
        self._times: dict[int, int] = {}  # how often jobs were
        self._scheduler = Scheduler(self._assign, lambda: world.now_s, policy, self)
        self._scheduler.ref = cast("ActorRef[Look]", self._bell)

    def ready(self, job: int) -> None:
        asked = self._world.workload.jobs[job]
        # As the orchestrator does: a job that is being queued takes a place that is free.
        agent = self._scheduler.reserve_at_once(asked.run, job, asked.demand, asked.tenant)
        if agent is not None:
            self._world.place(job, agent_number(agent))
        else:
            deadline_s = asked.submit_s + asked.deadline_s
            self._scheduler.enqueue(asked.run, job, asked.priority, asked.demand, asked.tenant, deadline_s)

    def ended(self, job: int) -> None:
        self._scheduler.withdraw(self._world.workload.jobs[job].run, job)

    def lost(self, job: int) -> None:
        self._scheduler.withdraw(self._world.workload.jobs[job].run, job)

    def up(self, agent: int) -> None:
        capacity = self._world.machines.capacity(agent)
        capacity.report(self._world.machines.shapes[agent].load)
        self._scheduler.agent_up(capacity)

    def down(self, agent: int) -> None:
        self._scheduler.agent_down(name_of(agent))

    def turn(self) -> None:
        while self._bell.rung or self._going:
            for job in self._going:
                self._world.stop(job, keep=False)
                self.ready(job)
            self._going.clear()
            self._bell.rung = False
            self._scheduler.receive([LOOK])

    def about(self, waiting: Waiting) -> tuple[int, bool]:
        """See Evictor."""
        asked = self._world.workload.jobs[waiting.job]
        return asked.priority, asked.preemptible and self._times.get(waiting.job, 0) < MOST_TIMES

    def evict(self, claim: Waiting, eviction: Eviction, victims: tuple[Waiting, ...]) -> None:
        """See Evictor."""
        for _, job in victims:
            self._times[job] = self._times.get(job, 0) + 1
            self._going.append(job)

    def waiting(self) -> int:
        return len(self._scheduler.queue)

    def _assign(self, placements: Sequence[Placement]) -> None:
        for placement in placements:
            self._world.place(placement.waiting.job, agent_number(placement.agent))
