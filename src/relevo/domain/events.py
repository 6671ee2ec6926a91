"""What has happened to a run: the truth that is stored.

Fields are only appended, with defaults; tags are never used again. An event holds at most 64 KiB: lists are
split over several events. Times are wall-clock Unix milliseconds, for people only: nothing is decided by them.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

#: An event's encoded size at most, in bytes.
EVENT_LIMIT: Final = 65_536


class GroupAsk(Struct, frozen=True, array_like=True, gc=False):
    """A concurrency group, and how a run or a job asks for it."""

    stream: str  #: of the group
    name: str  #: as the workflow says it
    cancel: bool = False  #: what has it is cancelled (`cancel-in-progress`)
    queues: bool = False  #: waits behind those who wait, instead of taking their place (`queue: max`)


class NodeDecl(Struct, frozen=True, array_like=True, gc=False):
    """A job as the file has it, before its matrix."""

    id: str
    needs: list[int]  #: indexes of other jobs of the same file
    retry_max: int = 0
    retry_exits: list[int] = []  #: exit codes after which it is tried again
    backoff_s: float = 0.0
    #: which job of the spec it is, those of called workflows counted; -1: that of its own index in the run
    template: int = -1
    lost_max: int = (
        -1
    )  #: how often it is tried again in a row when it was lost, after a back-off, too; -1: as the engine does


class JobDecl(Struct, frozen=True, array_like=True, gc=False):
    """A job of the run: one leg of a node's matrix."""

    name: str  #: stable and unique in the run
    labels: list[str] = []
    matrix: dict[str, Any] = {}
    leg: int = 0
    legs: int = 1
    timeout_s: float = 21_600.0
    continue_on_error: bool = False
    calls: str = ""  #: the workflow that it calls instead of having steps
    inputs: dict[str, Any] = {}  #: what that workflow sees as `inputs`
    inputs_fact: str = ""  #: where the inputs lie when they are too long for an event
    groups: list[
        GroupAsk
    ] = []  #: that it has while it is at work: its own, then that of the workflow that it calls


class RunAccepted(Struct, frozen=True, array_like=True, gc=False, tag=1):
    """The run exists, durably."""

    run: str
    workflow: str
    title: str
    trigger: str  #: push, workflow_dispatch, …
    spec: str  #: fact key suffix: spec/<digest>
    priority: int = 0
    retried_from: str | None = None
    run_attempt: int = 1
    at_ms: int = 0
    contexts: str = ""  #: digest of the stored github, inputs and vars contexts
    secrets: list[str] = []  #: their names
    group: GroupAsk | None = None  #: nothing of it begins before it has it
    traceparent: str = ""  #: the span that it was submitted within (W3C Trace Context); "": none
    tracestate: str = ""
    retried_traceparent: str = ""  #: that of the run that it retries
    run_id: str = ""  #: as `github` has it, the first run's for a retry; "": its contexts have both numbers
    run_number: str = ""


class NodesAdded(Struct, frozen=True, array_like=True, gc=False, tag=2):
    """The jobs of a file, in its order. Several when there are many."""

    nodes: list[NodeDecl]
    more: bool = False
    #: the node that calls this file: each of its jobs gets nodes like these once it calls; -1: the run's own file
    caller: int = -1


class NodeExpanded(Struct, frozen=True, array_like=True, gc=False, tag=3):
    """A node's needs had ended and its expressions were evaluated: these are its jobs. Several when there are many."""

    node: int
    jobs: list[JobDecl]
    more: bool = False
    fail_fast: bool = True
    max_parallel: int | None = None
    outputs: dict[str, str] = {}  #: of legs that succeeded in the run that this one retries


class JobsQueued(Struct, frozen=True, array_like=True, gc=False, tag=4):
    """The scheduler may place them."""

    jobs: list[int]


class AttemptAssigned(Struct, frozen=True, array_like=True, gc=False, tag=5):
    """An agent is to run it."""

    job: int
    number: int
    agent: str
    at_ms: int = 0


class AttemptStarting(Struct, frozen=True, array_like=True, gc=False, tag=6):
    """Its worker is being made, and that takes time."""

    job: int
    number: int
    at_ms: int = 0


class AttemptStarted(Struct, frozen=True, array_like=True, gc=False, tag=7):
    """Its worker is there."""

    job: int
    number: int
    at_ms: int = 0


class StepStarted(Struct, frozen=True, array_like=True, gc=False, tag=8):
    """A step began."""

    job: int
    number: int
    step: int
    name: str
    at_ms: int = 0
    record: int = 0  #: the agent's number of the record, by which a repetition is known


class StepEnded(Struct, frozen=True, array_like=True, gc=False, tag=9):
    """A step ended, or was skipped."""

    job: int
    number: int
    step: int
    name: str
    outcome: str
    conclusion: str
    exit_code: int | None = None
    message: str = ""
    summary: str = ""  #: digest of the stored summary, or the text itself when it is short
    at_ms: int = 0
    record: int = 0  #: the agent's number of the record, by which a repetition is known


class Annotated(Struct, frozen=True, array_like=True, gc=False, tag=10):
    """A step said something about the code."""

    job: int
    number: int
    step: int
    level: str
    message: str
    title: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    record: int = 0  #: the agent's number of the record, by which a repetition is known


class ArtifactSaved(Struct, frozen=True, array_like=True, gc=False, tag=11):
    """An artifact of an attempt. It becomes the run's when the attempt is accepted."""

    job: int
    number: int
    name: str
    digest: str
    size_bytes: int
    files: int = 0
    record: int = 0  #: the agent's number of the record, by which a repetition is known


class AttemptEnded(Struct, frozen=True, array_like=True, gc=False, tag=12):
    """The end of an attempt. With any result but `lost` every byte of its log is durable and its hash agrees."""

    job: int
    number: int
    result: str  #: AttemptStatus
    outputs: dict[str, str] = {}
    message: str = ""
    exit_code: int | None = None
    log_size: int = 0
    log_digest: bytes = b""
    at_ms: int = 0
    outputs_fact: str = ""  #: where the outputs lie when they are too long for an event


class JobRetrying(Struct, frozen=True, array_like=True, gc=False, tag=13):
    """Another attempt will be made, at once or after a delay."""

    job: int
    reason: str
    delay_s: float = 0.0
    lost: bool = False
    preempted: bool = False


class JobHeld(Struct, frozen=True, array_like=True, gc=False, tag=14):
    """It was lost where running it again may do harm: somebody must decide."""

    job: int
    message: str


class JobCancelling(Struct, frozen=True, array_like=True, gc=False, tag=15):
    """Its attempt is being ended."""

    job: int
    reason: str = "cancelled"
    forced: bool = False
    message: str = ""  #: what its end will say


class JobEnded(Struct, frozen=True, array_like=True, gc=False, tag=16):
    """Final."""

    job: int
    status: str  #: JobStatus
    message: str = ""
    infrastructure: bool = False  #: it failed because what it ran on was lost again and again
    at_ms: int = 0


class RunStarted(Struct, frozen=True, array_like=True, gc=False, tag=17):
    """The first attempt was assigned."""

    at_ms: int = 0


class RunCancelling(Struct, frozen=True, array_like=True, gc=False, tag=18):
    """Somebody cancelled it; once more when it is forced after that."""

    reason: str = ""
    forced: bool = False
    at_ms: int = 0


class RunHeld(Struct, frozen=True, array_like=True, gc=False, tag=19):
    """All that can go on has ended; held jobs ask."""

    at_ms: int = 0


class RunReleased(Struct, frozen=True, array_like=True, gc=False, tag=20):
    """A held job was decided."""

    at_ms: int = 0


class RunEnded(Struct, frozen=True, array_like=True, gc=False, tag=21):
    """Final."""

    status: str  #: RunStatus
    at_ms: int = 0


class SummaryDelivered(Struct, frozen=True, array_like=True, gc=False, tag=22):
    """Somebody received the run's summary."""


class Warned(Struct, frozen=True, array_like=True, gc=False, tag=23):
    """Something that the user should know, and that changes nothing."""

    message: str


class CallsOpened(Struct, frozen=True, array_like=True, gc=False, tag=24):
    """These jobs call their workflow: the nodes of its file are there for each of them."""

    jobs: list[int]


class CallCancelling(Struct, frozen=True, array_like=True, gc=False, tag=25):
    """What a job called is being ended."""

    job: int
    reason: str = "cancelled"
    message: str = ""  #: what its end will say


class CallReturned(Struct, frozen=True, array_like=True, gc=False, tag=26):
    """All that a job called has ended: these are the outputs of the call."""

    job: int
    outputs: dict[str, str] = {}
    outputs_fact: str = ""  #: where the outputs lie when they are too long for an event


class JobsWaiting(Struct, frozen=True, array_like=True, gc=False, tag=27):
    """They ask for the first of their concurrency groups."""

    jobs: list[int]


class GroupGranted(Struct, frozen=True, array_like=True, gc=False, tag=28):
    """A job, or the run (-1), has the concurrency group that it asked for; a job asks for its next one, if it has more."""

    job: int
    stream: str


class JobPreempting(Struct, frozen=True, array_like=True, gc=False, tag=29):
    """Its attempt is being ended because another job needs its place. Then it waits again."""

    job: int
    run: str  #: of the other job
    name: str
    at_ms: int = 0


Event = (
    RunAccepted
    | NodesAdded
    | NodeExpanded
    | JobsQueued
    | AttemptAssigned
    | AttemptStarting
    | AttemptStarted
    | StepStarted
    | StepEnded
    | Annotated
    | ArtifactSaved
    | AttemptEnded
    | JobRetrying
    | JobHeld
    | JobCancelling
    | JobEnded
    | RunStarted
    | RunCancelling
    | RunHeld
    | RunReleased
    | RunEnded
    | SummaryDelivered
    | Warned
    | CallsOpened
    | CallCancelling
    | CallReturned
    | JobsWaiting
    | GroupGranted
    | JobPreempting
)


def summary_fact(run: str, job: int, number: int, step: int) -> str:
    """The key of the fact that holds a step's summary when it is too long for an event."""
    return f"summary/{run}/{job}/{number}/{step}"


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[list[Event]] = msgspec.msgpack.Decoder(list[Event])


def encode(events: list[Event]) -> bytes:
    """The events of one append as one blob."""
    return _encoder.encode(events)


def decode(blob: bytes) -> list[Event]:
    """Back from a blob. Raises msgspec.DecodeError or ValidationError on bytes that are none."""
    return _decoder.decode(blob)
