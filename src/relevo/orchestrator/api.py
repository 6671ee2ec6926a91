"""What a command line, a page or a test can ask of an engine, be it in this process or another one.

The engine in this process (`assembly/local_api.py`) and the client of a living engine (`assembly/client.py`) both have this shape.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct

from relevo.domain.errors import UserError
from relevo.logs.contract import LogFrame
from relevo.logs.lines import Line
from relevo.protocol.artifacts import ListedArtifact
from relevo.protocol.control import METHODS, Method
from relevo.protocol.source import Source
from relevo.store.contract import RunRow

#: One public event, JSON-able, the same in `--json` and over any wire. Which kinds there are and what is in them stands in
#: telemetry/catalogue.py, and in docs/telemetry.md.
PublicEvent = dict[str, Any]


class Submission(Struct, frozen=True):
    """What is asked to run."""

    workflow_path: str  #: as the user named it; shown, and part of `github.workflow_ref`
    workflow_text: bytes
    event: str = ""  #: name, or name:type; "": the one that is meant by hand (workflow_dispatch, else push, …), unfiltered
    inputs: dict[str, str] = {}
    env: dict[str, str] = {}
    secrets: dict[str, str] = {}
    jobs: tuple[str, ...] = ()  #: only these jobs and what they need; (): all
    directory: str = ""  #: the working tree, absolute, where the engine can read it
    source: Source | None = None  #: else what it holds, told and uploaded by who stands in it
    committed: bool = False  #: HEAD instead of the working tree
    skip_unmatched: bool = False
    idempotency_key: str | None = None
    keep: bool = False  #: keep workspaces
    traceparent: str = (
        ""  #: the span that it is submitted within (W3C Trace Context); one that is malformed is let pass
    )
    tracestate: str = ""
    run: str = ""  #: the id that it is to have, of `new_id`; "": one is made
    treeless: bool = False  #: it needs no working tree: `directory` is an empty folder of the server's own


#: Characters of the reason for which an agent is drained.
REASON_LIMIT: Final = 200


class PartsMissing(UserError):
    """Blobs that a source names are not there (any more): they are to be uploaded again."""

    def __init__(self, digests: Sequence[str]) -> None:
        super().__init__(f"the server lacks parts of the snapshot: {', '.join(digests)}")
        self.digests = tuple(digests)


class SecretsMissing(UserError):
    """A finished run is to run again, and its secrets are gone."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(
            f"the run used secrets that are not kept after its end: {', '.join(names)}",
            hint="give them again: " + " ".join(f"--secret {name}" for name in names),
        )
        self.names = tuple(names)


class LogState(Struct, frozen=True):
    """How much of a log there is."""

    attempt: int  #: 0: the job has had none
    size_bytes: int
    lines_total: int  #: the last one counts also without a newline
    complete: bool  #: nothing more will come


class LogLines(Struct, frozen=True):
    """Consecutive lines of a log."""

    first: int
    lines: list[Line]
    state: LogState


class LogMatch(Struct, frozen=True):
    """A line that contains what was looked for; `column` counts characters from 0."""

    line: int
    column: int
    text: str


class LogMatches(Struct, frozen=True):
    """What was found. `next`: the line to go on from; None: this was all."""

    matches: list[LogMatch]
    next: int | None


class RowChanges(Struct, frozen=True):
    """Rows that changed up to a sequence. `reset`: there were more than are told; read the list again."""

    sequence: int
    rows: list[RunRow]
    reset: bool = False


#: What a job waits for: `Wait.kind`.
WAITS: Final = (
    "needs",
    "group",
    "max-parallel",
    "retry",
    "slot",
    "labels",
    "resources",
    "where",
    "taints",
    "apart",
    "drained",
    "agent",
    "disk",
    "preempting",
    "cancelling",
    "held",
    "starting",
    "engine",
)


class JobAtAgent(Struct, frozen=True):
    """A job that an agent has."""

    run: str
    job: int
    name: str
    attempt: int
    since_ms: int


class AgentView(Struct, frozen=True):
    """An agent, connected or not. What is not known of it is 0 or empty."""

    id: str
    ready: bool
    connected: bool
    labels: list[str]
    slots: int
    places: int
    busy: int
    cpus: float
    cpus_free: float
    memory_bytes: int
    memory_free_bytes: int
    version: str
    spool_bytes: int
    held: bool  #: it holds its steps back: its disk is full, or too much waits in its spool
    jobs: list[JobAtAgent]
    taints: list[str] = []  #: only jobs that tolerate all of them run there
    pool: str = ""
    zone: str = ""
    load: float = 0.0  #: the share of its machine that is in use, whoever uses it, as it says; 1: all of it
    drained: bool = False  #: it takes nothing new
    drained_for: str = ""  #: why, as whoever did it says
    drained_since_ms: int = 0


class QueuedJob(Struct, frozen=True):
    """A job that waits for a place, and why."""

    position: int
    run: str
    job: int
    name: str
    priority: int
    since_ms: int
    labels: list[str]
    reason: str


class Wait(Struct, frozen=True):
    """Why a job, or a whole run, waits."""

    run: str
    job: str  #: its id; that of its node while it is not known which jobs that comes to; "": the run itself
    number: int  #: -1: it is no job yet
    status: str
    kind: str  #: one of WAITS; "": it does not wait
    reason: str  #: one sentence, without a full stop


class QueueView(Struct, frozen=True):
    """The queue, as much of it as was asked for."""

    total: int
    items: list[QueuedJob]


class UserApi(Protocol):
    """What a command line asks, wherever the engine is. Unknown runs and jobs raise UserError with what there is instead."""

    async def submit(self, submission: Submission) -> str:
        """Read, check, snapshot and accept; returns the run's id once it is durable. Raises UserError (with all diagnostics)."""

    def events(
        self, run: str, after: int = 0, *, follow: bool = True, past_holds: bool = False
    ) -> AsyncIterator[PublicEvent]:
        """Events of a run after a sequence, then live ones (`follow`), until run.finished (included), or run.held when
        nothing else can go on; `past_holds`: not until that, but on to what somebody decides."""

    def log(
        self, run: str, job: str, *, attempt: int | None = None, start: int = 0, follow: bool = False
    ) -> AsyncIterator[LogFrame]:
        """Log bytes of a job's attempt (None: its last), from an offset; `follow` waits until its end."""

    async def cancel(self, run: str, *, force: bool = False) -> None:
        """Cancel a run. `force`: without waiting for always() steps. Without effect on an ended one."""

    async def retry(
        self,
        run: str,
        *,
        failed: bool = False,
        job: str | None = None,
        secrets: dict[str, str] | None = None,
        idempotency_key: str | None = None,
        traceparent: str = "",
        tracestate: str = "",
    ) -> str:
        """Retry a finished run as a new one (`failed`: only what did not succeed), or, with `job`, a held job of a live one;
        returns the run's id. Asked twice with the same key, it is one retry. `traceparent`, `tracestate`: see Submission."""

    async def fail(self, run: str, *, job: str) -> None:
        """Decide that a held job has failed."""

    async def drain(self, agent: str, *, reason: str = "") -> None:
        """An agent takes nothing new until it is undrained, whichever engine runs; what it has goes on. `reason`: for people,
        at most `REASON_LIMIT` characters. Raises UserError."""

    async def undrain(self, agent: str) -> None:
        """It takes jobs again. Without effect when it does. Raises UserError."""

    async def delivered(self, run: str) -> None:
        """Somebody received its summary: `resume` will not bring it again."""

    async def runs(self, *, live: bool | None = None, limit: int = 50) -> list[RunRow]:
        """Newest first."""

    async def why(self, run: str, job: str | None = None) -> list[Wait]:
        """Why the jobs of a run wait; nothing of those that do not. Of one `job`, by its id, also that it does not."""

    async def find(self, prefix: str) -> RunRow:
        """A run by its id or a unique beginning of it; `latest`. Raises UserError."""

    async def prune(
        self,
        *,
        keep_days: float | None = None,
        keep_runs: int | None = None,
        max_bytes: int | None = None,
        max_cache_bytes: int | None = None,
        dry: bool = False,
    ) -> dict[str, Any]:
        """Remove old runs, and caches that were not used for long; None: the home's own limits.

        Returns `runs` (ids removed), `bytes` (freed by them), `caches` (removed) and `cache_bytes` (freed by them).
        """

    async def ping(self) -> dict[str, Any]:
        """Who answers: `pid`, `epoch`, `version`, `live` (runs), `started_ms`, `home`, `sequence` (of the store)."""

    async def actors(self) -> list[dict[str, Any]]:
        """The live tree: path, kind, state, mailbox depth, handled, restarts."""

    async def metrics(self) -> str:
        """What the engine's process counts, as OpenMetrics text."""


class EngineApi(UserApi, Protocol):
    """Everything that can be asked of an engine on this machine. A job is named by its id, or by its number: its place in the
    order of `job.added`, from 0."""

    def log(
        self, run: str, job: str | int, *, attempt: int | None = None, start: int = 0, follow: bool = False
    ) -> AsyncIterator[LogFrame]:
        """See UserApi.log."""

    async def log_state(self, run: str, job: str | int, *, attempt: int | None = None) -> LogState:
        """How much of a log there is."""

    async def log_lines(
        self, run: str, job: str | int, *, attempt: int | None = None, first: int = 0, count: int = 1_000
    ) -> LogLines:
        """Lines of a log, from line `first` (0-based) on; `first` below 0 counts from the end. Cheap wherever they stand."""

    async def log_search(
        self,
        run: str,
        job: str | int,
        *,
        text: str,
        attempt: int | None = None,
        first: int = 0,
        limit: int = 100,
    ) -> LogMatches:
        """Lines that contain a text; a text without capitals finds either (ASCII) case. Looks through a bounded part at a time."""

    async def retry(
        self,
        run: str,
        *,
        failed: bool = False,
        job: str | int | None = None,
        secrets: dict[str, str] | None = None,
        idempotency_key: str | None = None,
        traceparent: str = "",
        tracestate: str = "",
    ) -> str:
        """See UserApi.retry."""

    async def fail(self, run: str, *, job: str | int) -> None:
        """See UserApi.fail."""

    async def accepted_as(self, key: str, asked: str = "") -> str | None:
        """The run that was accepted with an idempotency key; None when there is none.

        `asked`: a digest of what is asked now (`keys.submitted`, `keys.retried`). Raises KeyUsed when it was something else then.
        """

    async def runs(
        self, *, live: bool | None = None, limit: int = 50, before: str | None = None
    ) -> list[RunRow]:
        """Newest first; `before`: only what is older than that run."""

    def rows(self, after: int | None = None) -> AsyncIterator[RowChanges]:
        """The rows of runs as they change, after a sequence of the store (None: from now on). The first item comes at once.

        Who reads slowly gets what is there by then: each run once, and not each of its changes.
        """

    async def artifacts(self, run: str) -> list[ListedArtifact]:
        """The artifacts that a run has, in order of their names."""

    def artifact(self, run: str, name: str) -> AsyncIterator[bytes]:
        """The bytes of an artifact: a tar, plain or in gzip."""

    async def workers(self) -> list[AgentView]:
        """The agents, and what each of them has."""

    async def queue(self, *, limit: int = 100) -> QueueView:
        """Jobs that wait for a place, in the order in which they are looked at."""


METHODS.update(
    submit=Method(types={"submission": Submission}),
    events=Method(streams=True),
    log=Method(streams=True, result=LogFrame),
    log_state=Method(result=LogState),
    log_lines=Method(result=LogLines),
    log_search=Method(result=LogMatches),
    accepted_as=Method(),
    rows=Method(streams=True, result=RowChanges),
    artifacts=Method(result=list[ListedArtifact]),
    artifact=Method(streams=True),
    workers=Method(result=list[AgentView]),
    queue=Method(result=QueueView),
    cancel=Method(),
    retry=Method(),
    fail=Method(),
    delivered=Method(),
    runs=Method(result=list[RunRow]),
    find=Method(result=RunRow),
    why=Method(result=list[Wait]),
    actors=Method(),
    metrics=Method(),
    prune=Method(),
    drain=Method(),
    undrain=Method(),
    ping=Method(),
)
