"""The messages. They are not domain events: they may change with the protocol's version, events never do.

Fields are only appended, with defaults; tags are never used again.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

VERSION: Final = 1
#: The oldest version whose messages an engine of this one understands. An agent between the two finishes what it has.
OLDEST: Final = 1
#: Specs and contexts that an engine takes an agent to have of those that it sent on a connection: the last so many.
NAMED_LIMIT: Final = 512
#: What a preempted attempt gets to end in where nobody says more.
GRACE_S: Final = 10.0


class Message(Struct, frozen=True, array_like=True, gc=False, tag=True):
    """Root of all messages."""


# --- what an attempt is asked to do -------------------------------------------------------------------------


class JobFacts(Struct, frozen=True, array_like=True, gc=False):
    """The contexts that are a job's own."""

    name: str
    needs: dict[str, dict[str, Any]] = {}  #: job id → result, outputs
    matrix: dict[str, Any] = {}
    leg: int = 0
    legs: int = 1
    fail_fast: bool = True
    max_parallel: int | None = None
    inputs: dict[str, Any] | None = None  #: of the call that it is part of; None: those of the run


class Assignment(Struct, frozen=True, array_like=True, gc=False):
    """One attempt, with all that the agent needs to run it alone."""

    run: str
    job: int
    number: int
    spec: str  #: digest of the encoded `workflow.model.JobSpec`, sent before in Assign.blobs
    contexts: str  #: digest of the run's shared contexts (msgpack of a map: github, inputs, vars, env), sent likewise
    own: JobFacts
    #: seconds without an engine after which the agent ends it; None: never (the agent is on the engine's own machine)
    fence_after_s: float | None = None
    timeout_s: float = 21_600.0
    secrets: bool = False  #: the run has secrets: fetch them before the first step
    keep: bool = False  #: leave the workspace for somebody to look at
    run_attempt: int = 1
    cpus: float | None = None  #: what its worker may use; None: no limit
    memory_bytes: int | None = None
    traceparent: str = ""  #: the span that the run was submitted within; "": none
    tracestate: str = ""


# --- agent to engine: records, numbered, spooled until acknowledged -----------------------------------------


class Record(Message, frozen=True, array_like=True, gc=False):
    """What an attempt produced. Records of one agent are numbered without gaps; the engine acknowledges by number."""

    run: str
    job: int
    number: int


class AttemptStarting(Record, frozen=True, array_like=True, gc=False):
    """Its worker is being made, and that takes time. Told only then."""

    at_ms: int = 0


class AttemptStarted(Record, frozen=True, array_like=True, gc=False):
    """Its worker is there and its first step is about to start."""

    at_ms: int = 0


class StepStarted(Record, frozen=True, array_like=True, gc=False):
    """A step began. Only steps that run are told; the others come with StepFinished alone."""

    step: int = 0
    name: str = ""
    at_ms: int = 0


class StepFinished(Record, frozen=True, array_like=True, gc=False):
    """A step ended."""

    step: int = 0
    name: str = ""
    outcome: str = ""  #: success, failure, cancelled, skipped: before continue-on-error
    conclusion: str = ""  #: after it
    exit_code: int | None = None
    at_ms: int = 0
    message: str = ""  #: why, when it is no plain exit code
    summary: str = ""  #: what it wrote to GITHUB_STEP_SUMMARY, at most 1 MiB


class Annotation(Record, frozen=True, array_like=True, gc=False):
    """An ::error::, ::warning:: or ::notice:: of a step."""

    step: int = 0
    level: str = ""  #: error, warning, notice
    message: str = ""
    title: str = ""
    file: str = ""
    line: int = 0
    column: int = 0


class LogBytes(Record, frozen=True, array_like=True, gc=False):
    """Log bytes, masked."""

    offset: int = 0
    step: int = 0
    at_ms: int = 0
    data: bytes = b""


class ArtifactSaved(Record, frozen=True, array_like=True, gc=False):
    """An artifact; its bytes were sent before by PutBlob and are durable under `digest`."""

    name: str = ""
    digest: str = ""
    size_bytes: int = 0
    files: int = 0


class AttemptFinished(Record, frozen=True, array_like=True, gc=False):
    """The end record. Nothing of the attempt follows it."""

    result: str = ""  #: succeeded, failed, cancelled, timed-out, lost, preempted
    outputs: dict[str, str] = {}
    log_size: int = 0
    log_digest: bytes = b""  #: BLAKE3 of the log's bytes, b"" when there are none
    at_ms: int = 0
    message: str = ""  #: why, when it is no plain result of its steps
    held: bool = False  #: lost, and a step marked idempotent: false may have begun
    exit_code: int | None = None  #: of the step that decided, for retries by exit code


class Records(Message, frozen=True, array_like=True, gc=False):
    """Records in order; the first one has number `first`."""

    first: int
    records: list[AnyRecord]


# --- agent to engine: the rest ------------------------------------------------------------------------------


class Live(Struct, frozen=True, array_like=True, gc=False):
    """An attempt that the agent has and that has not ended."""

    run: str
    job: int
    number: int
    started: bool


class Hello(Message, frozen=True, array_like=True):
    """First message of an agent. `live` and the spool's bounds let the engine adopt it before scheduling anything on it."""

    version: int
    agent: str
    pid: int
    start_ticks: int
    boot_id: str
    labels: list[str]
    slots: int
    cpus: float
    memory_bytes: int
    provider: str
    first: int  #: number of the oldest record that is not acknowledged
    next: int  #: number of the record to come
    live: list[Live]
    epoch: int  #: highest epoch seen, 0 at first
    window: int = 0  #: assignments taken beyond the slots (prefetch)
    resources: dict[str, float] = {}  #: what it has beside cpus and memory, by name; disk in bytes
    taints: list[str] = []  #: only jobs that tolerate all of them run there
    pool: str = ""
    zone: str = ""


class Beat(Message, frozen=True, array_like=True, gc=False):
    """Alive. Sent every few seconds by both sides; `load` is the agent's one-minute load average, of all its machine does.

    `frames`: how many messages the sender sent on this connection before this one. Whoever got another number has lost some,
    or has some twice, and drops the connection: what matters is said again on the next one.
    """

    load: float = 0.0
    spool_bytes: int = 0
    paused: bool = False  #: steps are held by back-pressure (spool or disk full)
    frames: int = 0
    pressure: float = (
        0.0  #: the part of the last ten seconds in which something waited for a processor; 0 to 1
    )
    memory_free_bytes: int = -1  #: what programs could still have; -1: not known


class GetBlob(Message, frozen=True, array_like=True, gc=False):
    """Ask for the next bytes, at most a mebibyte, of `blob:<digest>`, `artifact:<run>/<name>`, `artifacts:<run>` (a JSON list), `secrets:<run>/<job>/<number>`.

    `start`: from this offset on. Answered by one BlobBytes: who asks decides the pace.
    """

    request: int
    what: str
    start: int = 0


class PutBlob(Message, frozen=True, array_like=True, gc=False):
    """The next bytes of a blob, in order; records that name its digest follow on the same stream and are
    acknowledged only when the blob is durable too."""

    digest: str
    offset: int
    data: bytes
    last: bool


# --- engine to agent ------------------------------------------------------------------------------------------


class Welcome(Message, frozen=True, array_like=True, gc=False):
    """The engine takes the agent. Records below `next` are durable; send from there on."""

    version: int
    epoch: int
    next: int
    unknown: list[Live] = []  #: live attempts that the engine does not want: end them, report nothing


class Refused(Message, frozen=True, array_like=True, gc=False):
    """The engine does not take the agent."""

    reason: str
    epoch: int = 0


class Assign(Message, frozen=True, array_like=True, gc=False):
    """Attempts to run, in order, and what they name by digest for the first time on this connection."""

    assignments: list[Assignment]
    blobs: dict[str, bytes] = {}


class Cancel(Message, frozen=True, array_like=True, gc=False):
    """Cancel an attempt: end the current step, run always() steps. `force`: end everything now.

    Preempted: end the current step within `grace_s`, and run nothing more. It has no effect on an attempt whose steps have
    ended, or one of whose steps must not be repeated and may have begun: that goes on to its own end.
    """

    run: str
    job: int
    number: int
    reason: str = "cancelled"  #: cancelled, timed-out, fenced, preempted
    force: bool = False
    grace_s: float = GRACE_S  #: of preempted


class Ack(Message, frozen=True, array_like=True, gc=False):
    """All records below `next` are durable."""

    next: int


class Resend(Message, frozen=True, array_like=True, gc=False):
    """A gap or an unusable frame: send again from `next`."""

    next: int


class BlobBytes(Message, frozen=True, array_like=True, gc=False):
    """Bytes of a blob that was asked for."""

    request: int
    data: bytes
    last: bool
    error: str = ""


class Drain(Message, frozen=True, array_like=True, gc=False):
    """Take nothing new. With `stop`: exit when nothing is live and all records are acknowledged."""

    stop: bool = False


AnyRecord = (
    AttemptStarting
    | AttemptStarted
    | StepStarted
    | StepFinished
    | Annotation
    | LogBytes
    | ArtifactSaved
    | AttemptFinished
)
ToEngine = Hello | Records | Beat | GetBlob | PutBlob
ToAgent = Welcome | Refused | Assign | Cancel | Ack | Resend | BlobBytes | Drain | Beat

_encoder = msgspec.msgpack.Encoder()
#: One message as msgpack.
encode = _encoder.encode


def decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    """A decoder of a union of messages: ToEngine, ToAgent or AnyRecord. Build it once."""
    return msgspec.msgpack.Decoder(kind)
