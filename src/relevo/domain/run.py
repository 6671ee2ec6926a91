"""The state of a run: its nodes, as the files have them, their jobs, and what these call.

    Run ─► Node ─► Job ─► Node … of the file that it calls

Only events change it (`evolution.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import json

from relevo.domain import events as e
from relevo.domain.ids import AttemptKey
from relevo.domain.states import AttemptStatus, JobStatus, RunStatus

#: An attempt of such a job is somewhere: an agent has it or had it last.
ACTIVE: Final = frozenset(
    {
        JobStatus.ASSIGNED,
        JobStatus.STARTING,
        JobStatus.RUNNING,
        JobStatus.PREEMPTING,
        JobStatus.CANCELLING,
    },
)

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
        "asked",
        "attempt",
        "cancelling",
        "decl",
        "delay_s",
        "delayed",
        "forced",
        "granted",
        "index",
        "infrastructure",
        "key",
        "lost",
        "message",
        "node",
        "nodes",
        "nodes_left",
        "number",
        "preempted",
        "record",
        "retries",
        "status",
        "why",
    )

    def __init__(self, index: int, node: Node, decl: e.JobDecl) -> None:
        self.index = index
        self.node = node
        self.decl = decl
        self.status = JobStatus.PENDING
        self.attempt: AttemptStatus | None = None  #: of the current attempt
        self.number = 0  #: of the current attempt; 0: none yet
        self.key: AttemptKey | None = None  #: of the current attempt
        self.agent = ""  #: who has the current attempt
        self.record = 0  #: highest record of the current attempt that was kept
        self.lost = 0  #: attempts lost in a row
        self.retries = 0  #: attempts made again by the job's own rule
        self.preempted = 0  #: attempts ended for other jobs
        self.delayed = False  #: pending until the delay before a retry is over
        self.delay_s = 0.0  #: that delay
        self.forced = False  #: is being cancelled without waiting for always() steps
        self.infrastructure = False
        self.message = ""
        self.nodes: Sequence[Node] = ()  #: of the workflow that it calls, once it does
        self.nodes_left = 0  #: of those, how many have not ended
        self.cancelling = False  #: what it calls is being ended
        self.asked = False  #: for its concurrency groups, and it has not let go of them
        self.granted = 0  #: how many of its concurrency groups it has
        self.why = ""  #: it is being ended: what its end is to say

    @property
    def asks(self) -> e.GroupAsk | None:
        """The concurrency group that it waits for."""
        return self.decl.groups[self.granted] if self.status is JobStatus.WAITING else None


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
        "preempting",
        "ready",
        "returning",
        "status",
        "version",
        "waiting",
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
        self.job_names: dict[str, None] = {}  # of ten thousand names half as large as a set
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
        self.busy = 0  #: jobs that go on by themselves: queued, at an agent, or delayed; not those that wait for a group
        self.held = 0
        self.preempting: dict[int, e.JobPreempting] | None = None  #: by job, for whom it made room last
        self.forced = False  #: is being cancelled, and nothing of it begins any more, `always()` or not
        self.waiting = False  #: for its concurrency group; nothing of it begins before
        self.delivered = False
        self.ended_ms: int | None = None

    @property
    def cancelling(self) -> bool:
        return self.status is RunStatus.CANCELLING

    @property
    def job_count(self) -> int:
        """Jobs, without those that only stand for what they called."""
        return len(self.jobs) - self.calls

    @property
    def stuck(self) -> bool:
        """Whether nothing of it goes on by itself, and somebody is to decide about a job. What waits for a concurrency
        group does not count as going on: that may be free only when the job that is held has ended."""
        return (
            self.held > 0
            and self.busy == 0
            and not self.ready
            and not self.returning
            and self.status in (RunStatus.PENDING, RunStatus.RUNNING)
        )

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

    def downstream(self, nodes: Iterable[Node]) -> set[int]:
        """Indexes of all nodes that wait for one of `nodes`, across calls: the dependents of their callers, too, and what
        dependents call."""
        found: set[int] = set()
        pending = list(nodes)
        while pending:
            node = pending.pop()
            for dependent in map(self.nodes.__getitem__, node.dependents):
                if dependent.index not in found:
                    found.add(dependent.index)
                    found.update(inner.index for inner in inside(dependent))
                    pending.append(dependent)
            if node.call is not None:
                pending.append(node.call.node)
        return found


def inside(node: Node) -> Iterable[Node]:
    """All nodes of the workflows that a node's jobs call, at any depth."""
    for job in node.jobs:
        for inner in job.nodes:
            yield inner
            yield from inside(inner)
