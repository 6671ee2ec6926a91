"""What every event store promises. `relevo.testing.contracts.store` holds the tests of it.

One append is one row: the events of one decision of one stream, as one blob. An append is
all or nothing, and so are its facts and its run row, which commit with it. Appends of many streams share a commit;
one conflict does not fail its neighbours. `done` is called on the event loop, once, after the
commit is durable (fsync) or the append was refused, in the order of submission.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from msgspec import Struct

from relevo.domain.errors import InfrastructureError, RelevoError
from relevo.domain.stored import Stored


class Conflict(RelevoError):
    """The stream is not at the expected version: somebody else appended, or this append is a repetition."""

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        super().__init__(f"stream {stream} is at version {actual}, expected {expected}")
        self.stream = stream
        self.expected = expected
        self.actual = actual


class LiveRun(Conflict):
    """The run has not ended, so it is not removed."""

    def __init__(self, run: str, version: int) -> None:
        super().__init__(run, 0, version)
        self.args = (f"run {run} is live: cancel it first",)


class FactExists(RelevoError):
    """A fact that was to be put only if absent is there already; `value` is what it holds."""

    def __init__(self, key: str, value: bytes) -> None:
        super().__init__(f"fact {key} exists")
        self.key = key
        self.value = value


class Fenced(RelevoError):
    """A higher epoch owns the store now. Whoever gets this must stop at once."""

    def __init__(self, own: int, current: int) -> None:
        super().__init__(f"epoch {own} was taken over by epoch {current}")
        self.own = own
        self.current = current


class StoreUnavailable(InfrastructureError):
    """The store cannot commit now (disk full, I/O error); `full` tells that it lacks room. Trying later may help."""

    def __init__(self, message: str, *, full: bool = False) -> None:
        super().__init__(message)
        self.full = full


class NewerHome(RelevoError):
    """The home was written by a newer program."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(f"the home has schema {found}, this program knows {known}")
        self.found = found
        self.known = known


class Fact(Struct, frozen=True, gc=False):
    """A value stored under a key in the transaction of an append. `value=None` deletes it.

    Keys in use: `spec/<hash>`, `secrets/<run>`, `idempotency/<key>`, `agent/<id>`; of the home itself `drained/<agent>`,
    `shares/used`.
    """

    key: str
    value: bytes | None
    if_absent: bool = False  #: refuse the whole append with FactExists when the key holds a different value


class RunRow(Struct, frozen=True, gc=False):
    """The read model of one run: what lists show. Rebuilt from events by `relevo db check --rebuild`."""

    run: str
    status: str
    workflow: str  #: the workflow's name, or its path
    title: str  #: run-name, or what started it
    event: str  #: push, workflow_dispatch, …
    priority: int
    live: bool  #: not ended: an engine that starts must load it
    created_ms: int  #: wall clock, Unix milliseconds
    ended_ms: int | None
    jobs: int
    jobs_ended: int
    retried_from: str | None
    run_attempt: int
    delivered: bool  #: somebody received its summary


class Append(Struct, frozen=True, gc=False):
    """One decision to be stored."""

    stream: str
    expected_version: int  #: number of appends the stream has had; 0 for a new one
    events: bytes  #: encoded by relevo.domain.events.encode
    count: int  #: how many events the blob holds
    at_ms: int  #: wall clock, Unix milliseconds
    row: RunRow | None = None
    facts: tuple[Fact, ...] = ()


Done = Callable[["Stored | RelevoError"], None]


class EventStore(Protocol):
    """Append-only streams of events, facts and the runs' read model. Not thread-safe: call it from the loop."""

    @property
    def epoch(self) -> int:
        """The epoch that this store writes under."""

    @property
    def sequence(self) -> int:
        """The last committed sequence; 0 when nothing is stored."""

    def append(self, append: Append, done: Done) -> None:
        """Queue `append`; never blocks, never raises for reasons of storage. `done` gets what became of it.

        `done` receives Conflict, FactExists, Fenced or StoreUnavailable when nothing was stored.
        """

    async def read(self, stream: str, after_version: int = 0) -> Sequence[Stored]:
        """All appends of a stream after a version. Raises DamagedError naming the row when a checksum is off."""

    def scan(self, after_sequence: int = 0, *, limit: int = 1_000) -> AsyncIterator[Sequence[Stored]]:
        """All appends in order of sequence, in batches of at most `limit`, up to the last one committed at the call.

        A damaged append is left out here and named by `damaged()`.
        """

    def scan_live(self, *, limit: int = 1_000) -> AsyncIterator[Sequence[Stored]]:
        """The appends of all live runs, a run's appends in order and together, runs by priority then age.

        A batch may be longer than `limit` rather than split a run. A damaged run is left out here
        and named by `damaged()`.
        """

    def damaged(self) -> Sequence[tuple[str, str]]:
        """(stream, what is wrong) of damage met so far by any read."""

    async def streams(self, prefix: str) -> Sequence[str]:
        """The names of all streams that begin with `prefix`, in order; O(those). Raises StoreUnavailable."""

    async def fact(self, key: str) -> bytes | None:
        """The value of a fact, None when there is none."""

    async def facts_named(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The values of these facts, in one read, without those that there are not."""

    async def facts(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        """All facts whose key begins with `prefix`, in order of key."""

    async def runs(
        self,
        *,
        live: bool | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> Sequence[RunRow]:
        """Run rows, newest first, `before` a run id (exclusive). Raises StoreUnavailable."""

    async def run(self, run: str) -> RunRow | None:
        """One run row, by full id."""

    async def delete_run(self, run: str, *, facts: Sequence[str] = ()) -> None:
        """Remove an ended run: its stream, row and facts (`kind/<run>` and `kind/<run>/…`). Idempotent.

        `facts`: keys of facts that only this run named, and that go with it.

        Raises LiveRun, Fenced or StoreUnavailable.
        """

    async def put_facts(self, facts: Sequence[Fact]) -> None:
        """Store facts that belong to no run; `if_absent` is not looked at. Durable on return. Idempotent.

        Raises Fenced or StoreUnavailable.
        """

    async def close(self) -> None:
        """Commit what is queued, then close. Later appends get StoreUnavailable. Idempotent."""
