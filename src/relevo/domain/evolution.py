"""How events change the state of a run.

`evolve` is O(1) for a job's event and changes the state that it owns. It checks each move against the transition
tables, on replay too: a history that could not have happened is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from relevo.domain import events as e
from relevo.domain.errors import InvalidTransition
from relevo.domain.ids import AttemptKey
from relevo.domain.run import Job, Node, Run
from relevo.domain.states import (
    ATTEMPT_STATUS,
    JOB_ENDS,
    JOB_STATUS,
    RUN_ENDS,
    RUN_STATUS,
    AttemptStatus,
    JobStatus,
    RunStatus,
)
from relevo.domain.tables import ATTEMPT, JOB, RUN

_PENDING: Final = JobStatus.PENDING
_CALLING: Final = JobStatus.CALLING
_QUEUED: Final = JobStatus.QUEUED
_WAITING: Final = JobStatus.WAITING
_HELD: Final = JobStatus.HELD


def evolve(run: Run, event: e.Event) -> None:
    """Let `event` happen to `run`. Raises InvalidTransition when it cannot."""
    EVOLVE[type(event)](run, event)


def replay(events: Iterable[e.Event], run: Run | None = None) -> Run:
    """A run from its events."""
    run = run or Run()
    for event in events:
        EVOLVE[type(event)](run, event)
    return run


def _accepted(run: Run, event: e.RunAccepted) -> None:
    if run.accepted is not None:
        raise InvalidTransition(f"run {event.run}", run.status, "accepted")
    run.accepted = event
    run.id = event.run
    run.waiting = event.group is not None


def _nodes_added(run: Run, event: e.NodesAdded) -> None:
    if event.caller >= 0:
        run.nodes[event.caller].inner += event.nodes
        return
    for decl in event.nodes:
        node = Node(len(run.nodes), decl)
        run.nodes.append(node)
        run.names[decl.id] = node.index
    run.nodes_left += len(event.nodes)
    if not event.more:
        for node in run.nodes:
            for need in node.needs:
                run.nodes[need].dependents.append(node.index)
            if not node.waiting:
                run.ready[node.index] = None


def _expanded(run: Run, event: e.NodeExpanded) -> None:
    node = run.nodes[event.node]
    if node.expanded or event.node not in run.ready:
        raise InvalidTransition(f"node {node.decl.id} of run {run.id}", "expanded", "expanded")
    node.fail_fast = event.fail_fast
    node.max_parallel = event.max_parallel
    for decl in event.jobs:
        job = Job(len(run.jobs), node, decl)
        run.jobs.append(job)
        run.job_names[decl.name] = None
        node.jobs.append(job)
    node.left += len(event.jobs)
    node.outputs.update(event.outputs)
    run.due += _further(node) * len(event.jobs)
    if not event.more:
        run.due -= node.call is not None
        node.expanded = True
        del run.ready[event.node]


def _further(node: Node) -> int:
    """How many jobs a leg comes to at least, beyond the one that it counts for until it calls."""
    return len(node.inner) - 1 if node.inner else 0


def _calls_opened(run: Run, event: e.CallsOpened) -> None:
    for index in event.jobs:
        job = run.jobs[index]
        node = job.node
        waited = job.status is _WAITING
        _move(run, job, _CALLING)
        if not waited:
            node.active += 1
        run.calls += 1
        run.due += 1  # what it counted for
        base = len(run.nodes)
        job.nodes = [Node(base + position, decl, job, base) for position, decl in enumerate(node.inner)]
        job.nodes_left = len(job.nodes)
        run.nodes += job.nodes
        for inner in job.nodes:
            for need in inner.needs:
                run.nodes[need].dependents.append(inner.index)
            if not inner.waiting:
                run.ready[inner.index] = None


def _call_cancelling(run: Run, event: e.CallCancelling) -> None:
    job = run.jobs[event.job]
    job.cancelling = True
    job.why = event.message


def _call_returned(run: Run, event: e.CallReturned) -> None:
    run.jobs[event.job].node.outputs.update(event.outputs)


def _move(run: Run, job: Job, target: JobStatus) -> None:
    if target not in JOB[job.status]:
        raise InvalidTransition(f"job {job.decl.name} of run {run.id}", job.status, target)
    job.status = target


def _move_attempt(run: Run, job: Job, number: int, target: AttemptStatus) -> None:
    if number != job.number or job.attempt is None or target not in ATTEMPT[job.attempt]:
        raise InvalidTransition(
            f"attempt {number} of job {job.decl.name} of run {run.id}",
            f"{job.attempt} (current {job.number})",
            target,
        )
    job.attempt = target


def _jobs_waiting(run: Run, event: e.JobsWaiting) -> None:
    for index in event.jobs:
        job = run.jobs[index]
        was = job.status
        _move(run, job, _WAITING)
        job.asked = True
        if was is _HELD:
            run.held -= 1
        else:
            job.node.active += 1


def _group_granted(run: Run, event: e.GroupGranted) -> None:
    if event.job < 0:
        run.waiting = False
        return
    job = run.jobs[event.job]
    if job.status is not _WAITING:
        raise InvalidTransition(f"job {job.decl.name} of run {run.id}", job.status, "granted")
    job.granted += 1


def _jobs_queued(run: Run, event: e.JobsQueued) -> None:
    for index in event.jobs:
        job = run.jobs[index]
        was = job.status
        _move(run, job, _QUEUED)
        if was is _HELD:
            run.held -= 1
            run.busy += 1
        elif job.delayed:
            job.delayed = False
        else:
            run.busy += 1
            if was is not _WAITING:
                job.node.active += 1


def _assigned(run: Run, event: e.AttemptAssigned) -> None:
    job = run.jobs[event.job]
    if event.number != job.number + 1:
        raise InvalidTransition(
            f"job {job.decl.name} of run {run.id}", f"attempt {job.number}", f"attempt {event.number}"
        )
    _move(run, job, JobStatus.ASSIGNED)
    job.number = event.number
    job.key = AttemptKey(run.id, event.job, event.number)
    job.attempt = AttemptStatus.ASSIGNED
    job.agent = event.agent
    job.record = 0
    if job.preempted:
        job.message = ""


def _attempt_starting(run: Run, event: e.AttemptStarting) -> None:
    job = run.jobs[event.job]
    _move_attempt(run, job, event.number, AttemptStatus.STARTING)
    _move(run, job, JobStatus.STARTING)


def _attempt_started(run: Run, event: e.AttemptStarted) -> None:
    job = run.jobs[event.job]
    _move_attempt(run, job, event.number, AttemptStatus.RUNNING)
    _move(run, job, JobStatus.RUNNING)


def _kept(run: Run, event: Any) -> None:
    """Facts about steps and artifacts change nothing, but a repetition must be known."""
    run.jobs[event.job].record = event.record


def _warned(run: Run, event: e.Warned) -> None:
    """For people only."""


def _attempt_ended(run: Run, event: e.AttemptEnded) -> None:
    job = run.jobs[event.job]
    result = ATTEMPT_STATUS[event.result]
    _move_attempt(run, job, event.number, result)
    if event.outputs:
        job.node.outputs.update(event.outputs)
    if result is AttemptStatus.LOST:
        if job.status is not JobStatus.PREEMPTING:  # it would have ended anyway
            job.lost += 1
    elif result is not AttemptStatus.PREEMPTED:
        job.lost = 0


def _retrying(run: Run, event: e.JobRetrying) -> None:
    job = run.jobs[event.job]
    if event.preempted:
        job.preempted += 1
    elif not event.lost:
        job.retries += 1
    if event.delay_s:
        _move(run, job, _PENDING)
        job.delayed = True
        job.delay_s = event.delay_s
    else:
        _move(run, job, _QUEUED)


def _job_held(run: Run, event: e.JobHeld) -> None:
    job = run.jobs[event.job]
    _move(run, job, _HELD)
    job.message = event.message
    job.asked = False
    job.granted = 0
    run.busy -= 1
    run.held += 1


def _job_preempting(run: Run, event: e.JobPreempting) -> None:
    job = run.jobs[event.job]
    _move(run, job, JobStatus.PREEMPTING)
    _move_attempt(run, job, job.number, AttemptStatus.PREEMPTING)
    if run.preempting is None:
        run.preempting = {}
    run.preempting[job.index] = event
    job.message = f"preempted for job '{event.name}' of run {event.run}"


def _job_cancelling(run: Run, event: e.JobCancelling) -> None:
    job = run.jobs[event.job]
    job.forced = job.forced or event.forced
    job.why = job.why or event.message
    if job.status is not JobStatus.CANCELLING:
        _move(run, job, JobStatus.CANCELLING)
        _move_attempt(run, job, job.number, AttemptStatus.CANCELLING)


def _job_ended(run: Run, event: e.JobEnded) -> None:
    job = run.jobs[event.job]
    node = job.node
    was = job.status
    target = JOB_STATUS[event.status]
    _move(run, job, target)
    if target not in JOB_ENDS:
        raise InvalidTransition(f"job {job.decl.name} of run {run.id}", was, target)
    job.message = event.message
    job.infrastructure = event.infrastructure
    if was is _HELD:
        run.held -= 1
        node.active -= 1
    elif was is _WAITING:
        node.active -= 1
    elif was is _CALLING:
        node.active -= 1
        run.returning.pop(event.job, None)
    elif was is not _PENDING or job.delayed:
        run.busy -= 1
        node.active -= 1
    if was is _PENDING or was is _WAITING:
        run.due -= _further(node)
    job.delayed = False
    if target is not JobStatus.SUCCEEDED and not job.decl.continue_on_error:
        if target is JobStatus.CANCELLED:
            run.cancellations += 1
        elif target is not JobStatus.SKIPPED:
            node.failures += 1
            run.failures += 1
    if was is not _CALLING:
        run.jobs_ended += 1
    node.left -= 1
    if node.left == 0 and node.expanded:
        _node_ended(run, node)
        for index in node.dependents:
            dependent = run.nodes[index]
            dependent.waiting -= 1
            if dependent.waiting == 0:
                run.ready[index] = None


def _node_ended(run: Run, node: Node) -> None:
    call = node.call
    if call is None:
        run.nodes_left -= 1
        return
    call.nodes_left -= 1
    if call.nodes_left == 0:
        run.returning[call.index] = None


def _move_run(run: Run, target: RunStatus) -> None:
    if target not in RUN[run.status]:
        raise InvalidTransition(f"run {run.id}", run.status, target)
    run.status = target
    run.ended = target in RUN_ENDS


def _run_started(run: Run, event: e.RunStarted) -> None:
    _move_run(run, RunStatus.RUNNING)


def _run_cancelling(run: Run, event: e.RunCancelling) -> None:
    if not run.cancelling:  # else it is forced now
        _move_run(run, RunStatus.CANCELLING)
    run.waiting = False
    run.forced = run.forced or event.forced


def _run_held(run: Run, event: e.RunHeld) -> None:
    _move_run(run, RunStatus.HELD)


def _run_released(run: Run, event: e.RunReleased) -> None:
    _move_run(run, RunStatus.RUNNING)


def _run_ended(run: Run, event: e.RunEnded) -> None:
    _move_run(run, RUN_STATUS[event.status])
    run.ended_ms = event.at_ms


def _delivered(run: Run, event: e.SummaryDelivered) -> None:
    run.delivered = True


EVOLVE: Final[dict[type, Callable[[Run, Any], None]]] = {
    e.RunAccepted: _accepted,
    e.NodesAdded: _nodes_added,
    e.NodeExpanded: _expanded,
    e.JobsQueued: _jobs_queued,
    e.AttemptAssigned: _assigned,
    e.AttemptStarting: _attempt_starting,
    e.AttemptStarted: _attempt_started,
    e.StepStarted: _kept,
    e.StepEnded: _kept,
    e.Annotated: _kept,
    e.ArtifactSaved: _kept,
    e.AttemptEnded: _attempt_ended,
    e.JobRetrying: _retrying,
    e.JobHeld: _job_held,
    e.JobCancelling: _job_cancelling,
    e.JobEnded: _job_ended,
    e.RunStarted: _run_started,
    e.RunCancelling: _run_cancelling,
    e.RunHeld: _run_held,
    e.RunReleased: _run_released,
    e.RunEnded: _run_ended,
    e.SummaryDelivered: _delivered,
    e.Warned: _warned,
    e.CallsOpened: _calls_opened,
    e.CallCancelling: _call_cancelling,
    e.CallReturned: _call_returned,
    e.JobsWaiting: _jobs_waiting,
    e.GroupGranted: _group_granted,
    e.JobPreempting: _job_preempting,
}
