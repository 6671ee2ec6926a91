"""Jobs that are ended for others: what the scheduler asks of runs, and what agents are told.

scheduler ─ evict ─► PreemptJob ─► JobPreempting, stored ─► told: the agent ends the attempt within the grace
    ▲                    └─ no event: `stays`                   └─► preempted · lost: the job waits again, its place is free
    └───── lapse: nothing was heard of it for too long              └─► a result that overtook the order counts
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from relevo.core.measured import PREEMPTIONS
from relevo.domain import commands as c
from relevo.domain.ids import AttemptKey
from relevo.domain.run import Job
from relevo.domain.states import JobStatus
from relevo.protocol.messages import GRACE_S
from relevo.scheduler.policy import MOST_TIMES
from relevo.scheduler.queue import Waiting

if TYPE_CHECKING:
    from relevo.orchestrator.orchestrator import Orchestrator
    from relevo.orchestrator.run_actor import RunActor
    from relevo.scheduler.evictions import Eviction, Ordered

#: Who was told to go, and is not heard of so long after its grace, is not waited for any more.
LAPSE_S: Final = 60.0

_log = logging.getLogger(__name__)


class Preempting:
    """Of one orchestrator. The `Evictor` of its scheduler."""

    def __init__(self, home: Orchestrator) -> None:
        self._home = home

    def about(self, waiting: Waiting) -> tuple[int, bool]:
        """See Evictor."""
        actor = self._home.live.get(waiting.run)
        if actor is None:
            return 0, False
        job = actor.run.jobs[waiting.job]
        goes = job.status in (JobStatus.PREEMPTING, JobStatus.CANCELLING)
        may_go = not goes and job.preempted < MOST_TIMES and actor.plan.of(job.node).node.may_be_preempted
        return self._home.priority(actor, job), may_go

    def evict(self, claim: Waiting, eviction: Eviction, victims: tuple[Waiting, ...]) -> None:
        """See Evictor."""
        home = self._home
        asking = home.live[claim.run].run.jobs[claim.job].decl.name
        at_ms = home.clock.wall_ms()
        for victim in victims:
            number = home.live[victim.run].run.jobs[victim.job].number
            home.command(victim.run, c.PreemptJob(victim.job, number, claim.run, asking, at_ms))
        self._lapse_later(claim, eviction)

    def carry_over(self) -> None:
        """All runs are taken up: who was told to go before, and has not, makes room for whom it was told for. Else somebody else
        would be ended for that."""
        orders = [order for actor in self._home.live.values() for order in self._ordered(actor)]
        if orders:
            for claim, eviction in self._home.scheduler.expect(orders).items():
                self._lapse_later(claim, eviction)

    def _ordered(self, actor: RunActor) -> Iterator[Ordered]:
        from relevo.scheduler.evictions import Ordered

        home, run = self._home, actor.run
        for event in (run.preempting or {}).values():
            victim, asking = run.jobs[event.job], home.live.get(event.run)
            if victim.status is not JobStatus.PREEMPTING or asking is None:
                continue
            for job in asking.run.jobs:
                if job.decl.name == event.name:
                    claim = Waiting(event.run, job.index)
                    demand, tenant = home.demand(asking, job), home.tenant(asking)
                    yield Ordered(Waiting(run.id, event.job), victim.agent, claim, demand, tenant)

    def _lapse_later(self, claim: Waiting, eviction: Eviction) -> None:
        self._home.call_later(self.grace_s + LAPSE_S, lambda: self._home.scheduler.lapse(claim, eviction))

    @property
    def grace_s(self) -> float:
        """What a job gets to end in."""
        grace_s = self._home.scheduler.policy.preempt_grace_s
        return GRACE_S if grace_s is None else grace_s  # an earlier engine's policy had it told to go

    def told(self, key: AttemptKey, job: Job) -> None:
        """It is stored, just now, that an attempt makes room for another job."""
        PREEMPTIONS.inc()
        _log.info("a job makes room: %s", job.message, extra={"run": key.run, "job": job.decl.name})
        self.tell(key, job)

    def tell(self, key: AttemptKey, job: Job) -> None:
        """Have its agent end it; the agent is told again when it comes back."""
        self._home.manager.cancel(key, job.agent, "preempted", False, self.grace_s)
