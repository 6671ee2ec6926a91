"""In some schedules jobs are ended for others: who says that he may be, who is important, and what is checked of it."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING

from msgspec.structs import replace

from relevo.domain import events as e
from relevo.domain.run import Job, Run
from relevo.domain.states import JobStatus
from relevo.scheduler.policy import MOST_TIMES, Policy
from relevo.workflow.model import Workflow

if TYPE_CHECKING:
    from tests.simulation.world import World


def policy_of(random: Random) -> Policy | None:
    """How long jobs get to end in; None: nobody is ended for others."""
    if random.random() > 0.4:
        return None
    return Policy(preempt_grace_s=random.choice((0.1, 1.0, 8.0)))


def ranked(random: Random, workflow: Workflow) -> Workflow:
    """The workflow, with priorities, and jobs that may be ended for others."""
    jobs = {}
    for id, node in workflow.jobs.items():
        called = None if node.called is None else ranked(random, node.called)
        jobs[id] = replace(
            node, called=called, priority=random.randrange(4), preemptible=random.random() < 0.7
        )
    return replace(workflow, jobs=jobs)


class PreemptionChecker:
    """Watches who is ended for whom. Told of each event before it happens to the run."""

    def __init__(self, world: World) -> None:
        self._world = world

    def event(self, stream: str, run: Run, event: e.Event) -> None:
        """An event is stored."""
        if isinstance(event, e.JobPreempting):
            self._preempting(stream, run, event)
        elif isinstance(event, e.JobRetrying) and event.preempted:
            self._world.saw("preempted, waits again")
        elif (
            isinstance(event, e.JobEnded | e.JobCancelling | e.AttemptEnded)
            and run.jobs[event.job].status is JobStatus.PREEMPTING
        ):
            self._overtaken(event)

    def _overtaken(self, event: e.JobEnded | e.JobCancelling | e.AttemptEnded) -> None:
        if isinstance(event, e.JobEnded):
            self._world.saw("a result overtakes making room")
        elif isinstance(event, e.JobCancelling):
            self._world.saw("a cancel overtakes making room")
        elif event.result == "lost":
            self._world.saw("lost while it makes room")

    def _preempting(self, stream: str, run: Run, event: e.JobPreempting) -> None:
        world = self._world
        job = run.jobs[event.job]
        told = f"{stream}/{event.job} makes room for {event.name} of {event.run}"
        node = world.spec_of(stream, job.node)
        lets_himself = (
            node is not None and node.preemptible and all(step.idempotent for step in node.spec.steps)
        )
        if world.plan.policy is None or not lets_himself:
            world.violated("preempted", f"{told}, and must not")
        if job.preempted >= MOST_TIMES:
            world.violated("preempted", f"{told}, and did so {job.preempted} times")
        other = world.checker.runs[event.run]
        asks = next(one for one in other.jobs if one.decl.name == event.name)
        if self._priority(other, asks) <= self._priority(run, job):
            world.violated("preempted", f"{told}, which is no more important")

    def _priority(self, run: Run, job: Job) -> int:
        return sum(self._priorities(run, job))

    def _priorities(self, run: Run, job: Job) -> Iterator[int]:
        at: Job | None = job
        while at is not None:
            node = self._world.spec_of(run.id, at.node)
            assert node is not None
            yield node.priority
            at = at.node.call

    def left(self) -> str:
        """Room that is still kept for somebody; "" when none is."""
        making = self._world.engine.engine.orchestrator.scheduler.making_room
        return f"room is kept for {list(making)}" if making else ""
