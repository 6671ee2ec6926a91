"""What is asked and answered, as far as it is not the engine's own."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from relevo.logs.lines import Line
from relevo.orchestrator.api import REASON_LIMIT, AgentView, Wait
from relevo.protocol.artifacts import ListedArtifact
from relevo.protocol.http_api import API_LEVEL, API_OLDEST
from relevo.protocol.source import Source
from relevo.store.contract import RunRow

Count = Annotated[int, Meta(ge=0, le=1 << 53)]


class ServerView(Struct):
    """The engine behind this server."""

    version: str
    pid: int
    epoch: int
    live: int  #: runs that have not ended
    started_ms: int
    home: str
    sequence: int  #: of the store: how much was decided so far
    api: int = API_LEVEL  #: grows with each addition to this API
    api_oldest: int = API_OLDEST  #: clients that know only a lower level do not understand this server


class TokenGiven(Struct, forbid_unknown_fields=True):
    """The token, for a session."""

    token: Annotated[str, Meta(min_length=1, max_length=512)]


class WorkflowGiven(Struct, forbid_unknown_fields=True):
    """A workflow file: its text, and its path as the user names it."""

    path: Annotated[str, Meta(min_length=1, max_length=4_096)]
    text: str


class RunGiven(Struct, forbid_unknown_fields=True):
    """What is to run."""

    workflow: WorkflowGiven
    #: the working tree, absolute, on the server's machine; "": an empty one
    directory: Annotated[str, Meta(max_length=4_096)] = ""
    source: Source | None = None  #: else a working tree elsewhere, told and uploaded by who stands in it
    event: Annotated[str, Meta(max_length=256)] = ""
    inputs: dict[str, str] = {}
    env: dict[str, str] = {}
    secrets: dict[str, str] = {}
    jobs: list[str] = []
    committed: bool = False
    skip_unmatched: bool = False
    keep: bool = False


class RunAccepted(Struct):
    """The run that was accepted."""

    run: str


class RunsQuery(Struct):
    """Which runs."""

    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    cursor: Annotated[str, Meta(max_length=128)] = ""
    live: bool | None = None
    status: Annotated[str, Meta(max_length=64)] = ""
    workflow: Annotated[str, Meta(max_length=4_096)] = ""


class Runs(Struct):
    """Runs, newest first. `next`: the cursor for what is older, null at the end; `sequence`: what `topic=runs@` goes on from."""

    items: list[RunRow]
    next: str | None
    sequence: int


class CancelGiven(Struct, forbid_unknown_fields=True):
    """How to cancel."""

    force: bool = False  #: without waiting for always() steps


class DrainGiven(Struct, forbid_unknown_fields=True):
    """Why an agent takes nothing new."""

    reason: Annotated[str, Meta(max_length=REASON_LIMIT)] = ""  #: for people: what is done with the machine


class RetryGiven(Struct, forbid_unknown_fields=True):
    """What to run again."""

    failed: bool = False  #: only what did not succeed
    job: int | str | None = None  #: a job by number or id, and what depends on it
    secrets: dict[str, str] = {}


class WhyQuery(Struct):
    """Of which job, by its name; left out: of all that wait."""

    job: Annotated[str, Meta(max_length=1_024)] | None = None


class Waits(Struct):
    """Jobs that wait."""

    waits: list[Wait]


class EventsQuery(Struct):
    """`after`: a sequence, or SEQ.N: behind its N-th event."""

    after: Annotated[str, Meta(pattern=r"^[0-9]{1,16}(\.[0-9]{1,9})?$")] = "0"
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 1_000


class Events(Struct):
    """Events of a run. `next`: what to give as `after` for those to come; null: the run has ended, and these were the last."""

    items: list[dict[str, Any]]
    next: str | None


class LogQuery(Struct):
    """Which attempt (left out: the last), and its last lines only."""

    attempt: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    tail: Annotated[int, Meta(ge=0, le=2_000)] | None = None


class LinesQuery(Struct, rename={"first": "from"}):
    """Lines by number, from 0; `from` below 0 counts from the end."""

    first: Annotated[int, Meta(ge=-(1 << 53), le=1 << 53)] = 0
    count: Annotated[int, Meta(ge=1, le=2_000)] = 1_000
    attempt: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None


class Lines(Struct, rename={"first": "from"}):
    """Consecutive lines of a log."""

    first: int
    lines: list[Line]
    lines_total: int
    size_bytes: int
    complete: bool
    attempt: int


class SearchQuery(Struct, rename={"first": "from"}):
    """A text; without capitals it finds either case."""

    q: Annotated[str, Meta(min_length=1, max_length=1_000)]
    first: Count = 0
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100
    attempt: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None


class LogStreamQuery(Struct):
    """From which byte on."""

    from_offset: Count = 0
    attempt: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None


class Artifact(Struct):
    """An artifact. `job` is a number; `run` is another one when a retry took it over."""

    name: str
    size_bytes: int
    files: int
    run: str
    job: int
    attempt: int
    digest: str  #: BLAKE3 of its bytes


class Artifacts(Struct):
    """What a run has, by name."""

    items: list[Artifact]


class Workers(Struct):
    """The agents."""

    agents: list[AgentView]


class QueueQuery(Struct):
    """How much of it."""

    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100


class ActorView(Struct):
    """An actor of the engine."""

    path: str
    kind: str
    state: str
    mailbox: int
    handled: int
    restarts: int
    about: str  #: what it is about, where its path does not say it; a concurrency group's name


class Actors(Struct):
    """The live tree."""

    actors: list[ActorView]


def artifact(found: ListedArtifact) -> Artifact:
    """As it is told."""
    return Artifact(
        found.name, found.size_bytes, found.files, found.run, found.job, found.number, found.digest
    )
