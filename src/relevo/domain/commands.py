"""What is asked of a run. A command carries every verdict that needed evaluating: the domain evaluates nothing."""

from __future__ import annotations

from msgspec import Struct

from relevo.domain.events import Annotated, ArtifactSaved, GroupAsk, JobDecl, NodeDecl, StepEnded, StepStarted


class Submit(Struct, frozen=True, gc=False):
    """Accept a run."""

    run: str
    workflow: str
    title: str
    trigger: str
    spec: str
    contexts: str
    nodes: list[NodeDecl]
    priority: int = 0
    retried_from: str | None = None
    run_attempt: int = 1
    at_ms: int = 0
    secrets: list[str] = []
    group: GroupAsk | None = None
    traceparent: str = ""
    tracestate: str = ""
    retried_traceparent: str = ""
    run_id: str = ""
    run_number: str = ""


class ExpandNode(Struct, frozen=True, gc=False):
    """What a node's expressions came to."""

    node: int
    jobs: list[JobDecl]
    fail_fast: bool = True
    max_parallel: int | None = None
    #: legs that do not run but end at once: position among `jobs` → (JobStatus, message)
    ends: dict[int, tuple[str, str]] = {}
    outputs: dict[str, str] = {}  #: of legs that succeeded in the run that this one retries
    warnings: tuple[str, ...] = ()
    at_ms: int = 0
    nodes: list[NodeDecl] = []  #: of the workflow that its jobs call


class ReturnCall(Struct, frozen=True, gc=False):
    """What the outputs of a called workflow came to, all of whose jobs have ended."""

    job: int
    outputs: dict[str, str] = {}
    error: str = ""  #: they could not be told: the call fails
    at_ms: int = 0
    outputs_fact: str = ""


class AssignJob(Struct, frozen=True, gc=False):
    """The scheduler placed a job."""

    job: int
    agent: str
    at_ms: int = 0


class StartingAttempt(Struct, frozen=True, gc=False):
    """The agent is making the worker."""

    job: int
    number: int
    at_ms: int = 0


class StartAttempt(Struct, frozen=True, gc=False):
    """The agent has a worker for it."""

    job: int
    number: int
    at_ms: int = 0


class Record(Struct, frozen=True, gc=False):
    """A fact about a step or an artifact of an attempt, to be kept as it is when the attempt is the current one."""

    event: StepStarted | StepEnded | Annotated | ArtifactSaved


class EndAttempt(Struct, frozen=True, gc=False):
    """The agent's end record; its log is durable and agrees."""

    job: int
    number: int
    result: str
    outputs: dict[str, str] = {}
    message: str = ""
    exit_code: int | None = None
    log_size: int = 0
    log_digest: bytes = b""
    at_ms: int = 0
    outputs_fact: str = ""
    held: bool = False


class LoseAttempt(Struct, frozen=True, gc=False):
    """It is verified that the attempt goes on nowhere, and that no end record of it will come."""

    job: int
    number: int
    reason: str
    at_ms: int = 0
    held: bool = False


class PreemptJob(Struct, frozen=True, gc=False):
    """It is to make room for another job, and then to wait again."""

    job: int
    number: int
    run: str  #: of the other job
    name: str
    at_ms: int = 0


class TimeOutJob(Struct, frozen=True, gc=False):
    """The engine's back-stop: the agent did not end it in time."""

    job: int
    number: int


class QueueJob(Struct, frozen=True, gc=False):
    """The delay before a retry is over."""

    job: int


class CancelRun(Struct, frozen=True, gc=False):
    """Cancel. `spared`: nodes whose condition says that they go on (`always()`)."""

    reason: str = ""
    forced: bool = False
    spared: frozenset[int] = frozenset()
    at_ms: int = 0


class GrantGroup(Struct, frozen=True, gc=False):
    """A job, or the run (-1), has the concurrency group that it waits for."""

    job: int
    stream: str
    at_ms: int = 0


class RefuseGroup(Struct, frozen=True, gc=False):
    """It never gets it: somebody took its place."""

    job: int
    stream: str
    reason: str
    at_ms: int = 0


class CancelJob(Struct, frozen=True, gc=False):
    """End one job, with what it calls, because of its concurrency group."""

    job: int
    reason: str
    at_ms: int = 0


class FailJob(Struct, frozen=True, gc=False):
    """A job cannot go on: held and given up, or never to be placed."""

    job: int
    message: str
    at_ms: int = 0


class RetryJob(Struct, frozen=True, gc=False):
    """A held job is to be tried again."""

    job: int
    at_ms: int = 0


class DeliverSummary(Struct, frozen=True, gc=False):
    """Somebody received the summary."""


class Warn(Struct, frozen=True, gc=False):
    """Note something for the user."""

    message: str


Command = (
    Submit
    | ExpandNode
    | ReturnCall
    | AssignJob
    | StartingAttempt
    | StartAttempt
    | Record
    | EndAttempt
    | LoseAttempt
    | PreemptJob
    | TimeOutJob
    | QueueJob
    | CancelRun
    | GrantGroup
    | RefuseGroup
    | CancelJob
    | FailJob
    | RetryJob
    | DeliverSummary
    | Warn
)
