"""The state of a run and how events change it.

`evolve` is O(1) for a job's event and changes the state that it owns. It checks each move against the transition
tables, on replay too: a history that could not have happened is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec import json

from relevo.domain import events as e
from relevo.domain.errors import InvalidTransition
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

#: An attempt of such a job is somewhere: an agent has it or had it last.
ACTIVE: Final = frozenset(
    {JobStatus.ASSIGNED, JobStatus.STARTING, JobStatus.RUNNING, JobStatus.CANCELLING},
)

_PENDING: Final = JobStatus.PENDING
_CALLING: Final = JobStatus.CALLING
_QUEUED: Final = JobStatus.QUEUED
_HELD: Final = JobStatus.HELD

#: JobStatus at the end → what `needs.<job>.result` says. A time-out shows as cancelled, as on GitHub.
RESULTS: Final = {
    JobStatus.SUCCEEDED: "success",
    JobStatus.FAILED: "failure",
    JobStatus.CANCELLED: "cancelled",
    JobStatus.TIMED_OUT: "cancelled",
    JobStatus.SKIPPED: "skipped",
}


def leg_of(decl: e.JobDecl) -> str:
    """What tells a leg from the others of its node; '' for the only one. Unlike names, which are given in the order in
    which nodes are due, it is the same in a retry, if it is the same leg."""
    place = f" [{decl.leg}]" if decl.legs > 1 else ""
    return place + json.encode(decl.matrix, order="deterministic").decode() if decl.matrix else place


class Job:
    """One leg of a node. Of its attempts only the current one matters; the others are in the events."""

    __slots__ = (
        "agent",
        "attempt",
        "cancelling",
        "decl",
        "delayed",
        "forced",
        "index",
        "infrastructure",
        "lost",
        "message",
        "node",
        "nodes",
        "nodes_left",
        "number",
        "record",
        "retries",
        "status",
    )

    def __init__(self, index: int, node: Node, decl: e.JobDecl) -> None:
        self.index = index
        self.node = node
        self.decl = decl
        self.status = JobStatus.PENDING
        self.attempt: AttemptStatus | None = None  #: of the current attempt
        self.number = 0  #: of the current attempt; 0: none yet
        self.agent = ""  #: who has the current attempt
        self.record = 0  #: highest record of the current attempt that was kept
        self.lost = 0  #: attempts lost in a row
        self.retries = 0  #: attempts made again by the job's own rule
        self.delayed = False  #: pending until the delay before a retry is over
        self.forced = False  #: is being cancelled without waiting for always() steps
        self.infrastructure = False
        self.message = ""
        self.nodes: list[Node] = []  #: of the workflow that it calls, once it does
        self.nodes_left = 0  #: of those, how many have not ended
        self.cancelling = False  #: what it calls is being ended


class Node:
    """A job as the file has it."""

    __slots__ = (
        "active",
        "call",
        "decl",
        "dependents",
        "expanded",
        "fail_fast",
        "failures",
        "index",
        "inner",
        "jobs",
        "left",
        "max_parallel",
        "needs",
        "next_pending",
        "outputs",
        "template",
        "waiting",
    )

    def __init__(self, index: int, decl: e.NodeDecl, call: Job | None = None, base: int = 0) -> None:
        """`base`: index of the first node of its file."""
        self.index = index
        self.decl = decl
        self.call = call  #: the job that calls the file it stands in; None: it is the run's own
        self.template = decl.template if decl.template >= 0 else index  #: which job of the spec it is
        self.needs = [base + need for need in decl.needs]  #: indexes of nodes
        self.inner: list[e.NodeDecl] = []  #: of the file that its jobs call
        self.dependents: list[int] = []
        self.waiting = len(decl.needs)  #: needs that have not ended
        self.expanded = False
        self.jobs: list[Job] = []
        self.left = 0  #: jobs that have not ended
        self.active = 0  #: jobs that were queued and have not ended
        self.next_pending = 0  #: where the next leg to queue is looked for
        self.failures = 0  #: jobs that failed without continue-on-error
        self.fail_fast = True
        self.max_parallel: int | None = None
        self.outputs: dict[str, str] = {}  #: of all legs; the last writer counts

    @property
    def ended(self) -> bool:
        return self.expanded and self.left == 0

    @property
    def path(self) -> str:
        """Its id, and before it the calls that lead to it: `build / test`. Unique in the run, and the same in a retry."""
        call = self.call
        return self.decl.id if call is None else f"{call.node.path}{leg_of(call.decl)} / {self.decl.id}"

    @property
    def cancelled(self) -> bool:
        """A call that it stands in is being ended."""
        return self.call is not None and (self.call.cancelling or self.call.node.cancelled)

    @property
    def result(self) -> str:
        """What `needs` sees: success, failure, cancelled or skipped. Only for an ended node."""
        results = {
            "success"
            if job.decl.continue_on_error and job.status is not JobStatus.SKIPPED
            else RESULTS[job.status]
            for job in self.jobs
        }
        for result in ("failure", "cancelled", "success"):
            if result in results:
                return result
        return "skipped"


class Run:
    """A run, as its events tell it."""

    __slots__ = (
        "accepted",
        "busy",
        "calls",
        "cancellations",
        "delivered",
        "due",
        "ended",
        "ended_ms",
        "failures",
        "forced",
        "held",
        "id",
        "job_names",
        "jobs",
        "jobs_ended",
        "names",
        "nodes",
        "nodes_left",
        "ready",
        "returning",
        "status",
        "version",
    )

    def __init__(self) -> None:
        self.id = ""  #: once it is accepted
        self.accepted: e.RunAccepted | None = None
        self.version = 0  #: appends stored; kept by the actor
        self.status = RunStatus.PENDING
        self.ended = False
        self.nodes: list[Node] = []
        self.names: dict[str, int] = {}  #: id of a node of its own file → index
        self.jobs: list[Job] = []
        self.job_names: set[str] = set()
        self.calls = 0  #: jobs that stand for the jobs that they called
        self.due = 0  #: jobs at least that calls will come to: each node of a called file that is not expanded is one
        self.jobs_ended = 0  #: without those that called
        self.failures = 0  #: jobs that failed without continue-on-error
        self.cancellations = 0  #: jobs that were cancelled without continue-on-error
        self.nodes_left = 0
        self.ready: dict[int, None] = {}  #: nodes whose needs have ended and that wait for their verdict
        self.returning: dict[
            int, None
        ] = {}  #: calls whose jobs have all ended and that wait for their outputs
        self.busy = 0  #: jobs that go on by themselves: queued, at an agent, or delayed
        self.held = 0
        self.forced = False  #: is being cancelled, and nothing of it begins any more, `always()` or not
        self.delivered = False
        self.ended_ms: int | None = None

    @property
    def cancelling(self) -> bool:
        return self.status is RunStatus.CANCELLING

    @property
    def job_count(self) -> int:
        """Jobs, without those that only stand for what they called."""
        return len(self.jobs) - self.calls

    def ancestors(self, node: Node) -> Iterable[Node]:
        """All nodes of its file that `node` needs, directly or not."""
        seen: set[int] = set()
        waiting = list(node.needs)
        while waiting:
            index = waiting.pop()
            if index not in seen:
                seen.add(index)
                ancestor = self.nodes[index]
                waiting.extend(ancestor.needs)
                yield ancestor

    def upstream(self, node: Node) -> set[int]:
        """Indexes of all nodes that `node` waits for, across calls: what its ancestors called, and what its callers need."""
        found: set[int] = set()
        at: Node | None = node
        while at is not None:
            for ancestor in self.ancestors(at):
                found.add(ancestor.index)
                found.update(inner.index for inner in inside(ancestor))
            at = None if at.call is None else at.call.node
        return found


def inside(node: Node) -> Iterable[Node]:
    """All nodes of the workflows that a node's jobs call, at any depth."""
    for job in node.jobs:
        for inner in job.nodes:
            yield inner
            yield from inside(inner)


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
        run.job_names.add(decl.name)
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
        _move(run, job, _CALLING)
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
    run.jobs[event.job].cancelling = True


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
            job.node.active += 1


def _assigned(run: Run, event: e.AttemptAssigned) -> None:
    job = run.jobs[event.job]
    if event.number != job.number + 1:
        raise InvalidTransition(
            f"job {job.decl.name} of run {run.id}", f"attempt {job.number}", f"attempt {event.number}"
        )
    _move(run, job, JobStatus.ASSIGNED)
    job.number = event.number
    job.attempt = AttemptStatus.ASSIGNED
    job.agent = event.agent
    job.record = 0


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
        job.lost += 1
    else:
        job.lost = 0


def _retrying(run: Run, event: e.JobRetrying) -> None:
    job = run.jobs[event.job]
    if not event.lost:
        job.retries += 1
    if event.delay_s:
        _move(run, job, _PENDING)
        job.delayed = True
    else:
        _move(run, job, _QUEUED)


def _job_held(run: Run, event: e.JobHeld) -> None:
    job = run.jobs[event.job]
    _move(run, job, _HELD)
    job.message = event.message
    run.busy -= 1
    run.held += 1


def _job_cancelling(run: Run, event: e.JobCancelling) -> None:
    job = run.jobs[event.job]
    job.forced = job.forced or event.forced
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
    elif was is _CALLING:
        node.active -= 1
        run.returning.pop(event.job, None)
    elif was is not _PENDING or job.delayed:
        run.busy -= 1
        node.active -= 1
    else:
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
}
