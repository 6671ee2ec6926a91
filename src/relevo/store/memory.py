"""An EventStore without a disk, for the simulation: the same promises, and a crash at any moment.

`MemoryDisk` is what survives, `MemoryStore` is one process's handle on it. A commit takes the time that `latency` draws;
it is durable at half of it and acknowledged at its end, so that a crash between the two leaves an append that is stored
and that nobody knows of.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from itertools import islice

from msgspec import Struct

from relevo.domain.errors import DamagedError, RelevoError
from relevo.domain.stored import Stored
from relevo.store.contract import (
    Append,
    Conflict,
    Done,
    Fact,
    FactExists,
    Fenced,
    LiveRun,
    RunRow,
    StoreUnavailable,
)


class MemoryDisk(Struct):
    """What is durable. Only handles change it; `damage` and `full` are for tests."""

    epoch: int = 0
    sequence: int = 0
    appends: dict[int, Stored] = {}  #: by sequence, in order
    streams: dict[str, list[Stored]] = {}
    rows: dict[str, RunRow] = {}
    facts: dict[str, bytes] = {}
    damage: set[tuple[str, int]] = set()  #: (stream, version) of appends that cannot be read any more
    full: bool = False  #: every commit is refused for lack of room


class MemoryStore:
    """A process's handle. Raises Fenced when the disk was opened under a higher epoch."""

    def __init__(
        self,
        disk: MemoryDisk,
        loop: AbstractEventLoop,
        epoch: int,
        latency: Callable[[], float] = lambda: 0.0,
    ) -> None:
        if disk.epoch > epoch:
            raise Fenced(epoch, disk.epoch)
        disk.epoch = epoch
        self.disk = disk
        self._loop = loop
        self._epoch = epoch
        self._latency = latency
        self._sequence = disk.sequence
        self._waiting: list[tuple[Append, Done]] = []
        self._timer: TimerHandle | None = None
        self._committing: list[tuple[Append, Done]] = []
        self._damaged: dict[str, str] = {}
        self._closed = False

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def sequence(self) -> int:
        return self._sequence

    def crash(self) -> None:
        """The process is gone: what is not durable never will be, and no `done` is called any more."""
        self._closed = True
        self._waiting.clear()
        self._committing.clear()
        if self._timer is not None:
            self._timer.cancel()

    # --- writing ----------------------------------------------------------------------------------------------------

    def append(self, append: Append, done: Done) -> None:
        if self._closed:
            self._loop.call_soon(done, StoreUnavailable("the store is closed"))
            return
        self._waiting.append((append, done))
        if self._timer is None:
            self._begin()

    def _begin(self) -> None:
        half = self._latency() / 2
        self._timer = self._loop.call_later(half, self._make_durable, half)

    def _make_durable(self, half: float) -> None:
        self._committing, self._waiting = self._waiting, []
        outcomes = [self._stored(append) for append, _ in self._committing]
        sequence = self.disk.sequence
        self._timer = self._loop.call_later(half, self._acknowledge, outcomes, sequence)

    def _acknowledge(self, outcomes: list[Stored | RelevoError], sequence: int) -> None:
        committed, self._committing = self._committing, []
        self._timer = None
        self._sequence = max(self._sequence, sequence)
        if self._waiting:
            self._begin()
        for (_, done), outcome in zip(committed, outcomes, strict=True):
            try:
                done(outcome)
            except Exception as error:
                # One caller's bug is not to keep the others from their answers.
                self._loop.call_exception_handler({"message": "a store callback failed", "exception": error})

    def _stored(self, append: Append) -> Stored | RelevoError:
        disk = self.disk
        if disk.epoch != self._epoch:
            return Fenced(self._epoch, disk.epoch)
        if disk.full:
            return StoreUnavailable("no room", full=True)
        stream = disk.streams.get(append.stream, [])
        if len(stream) != append.expected_version:
            return Conflict(append.stream, append.expected_version, len(stream))
        for fact in append.facts:
            found = disk.facts.get(fact.key)
            if fact.if_absent and found is not None and found != fact.value:
                return FactExists(fact.key, found)
        disk.sequence += 1
        stored = Stored(
            disk.sequence, append.stream, len(stream) + 1, self._epoch, append.at_ms, append.events
        )
        disk.appends[stored.sequence] = stored
        disk.streams.setdefault(append.stream, stream).append(stored)
        if append.row is not None:
            disk.rows[append.stream] = append.row
        self._put(append.facts)
        return stored

    def _put(self, facts: Sequence[Fact]) -> None:
        for fact in facts:
            if fact.value is None:
                self.disk.facts.pop(fact.key, None)
            else:
                self.disk.facts[fact.key] = fact.value

    async def delete_run(self, run: str, *, facts: Sequence[str] = ()) -> None:
        disk = self.disk
        self._check_open()
        await self._settled()
        if disk.epoch != self._epoch:
            raise Fenced(self._epoch, disk.epoch)
        row = disk.rows.get(run)
        if row is not None and row.live:
            raise LiveRun(run, len(disk.streams[run]))
        for stored in disk.streams.pop(run, []):
            del disk.appends[stored.sequence]
            disk.damage.discard((run, stored.version))
        disk.rows.pop(run, None)
        self._damaged.pop(run, None)
        for key in list(disk.facts):
            if key.split("/")[1:2] == [run] or key in facts:
                del disk.facts[key]

    async def put_facts(self, facts: Sequence[Fact]) -> None:
        self._check_open()
        await self._settled()
        self._check_open()
        if self.disk.epoch != self._epoch:
            raise Fenced(self._epoch, self.disk.epoch)
        if self.disk.full:
            raise StoreUnavailable("no room", full=True)
        self._put(facts)

    async def close(self) -> None:
        self._closed = True
        await self._settled()

    async def _settled(self) -> None:
        """All that was handed over before is acknowledged."""
        while self._timer is not None and not self._timer.cancelled():
            turn = self._loop.create_future()
            self._loop.call_at(self._timer.when(), turn.set_result, None)
            await turn

    # --- reading ----------------------------------------------------------------------------------------------------

    async def read(self, stream: str, after_version: int = 0) -> Sequence[Stored]:
        self._check_open()
        return list(self._whole(stream, after_version))

    def scan(self, after_sequence: int = 0, *, limit: int = 1_000) -> AsyncGenerator[Sequence[Stored], None]:
        return self._scan(after_sequence, self._sequence, limit)

    async def _scan(self, after: int, last: int, limit: int) -> AsyncGenerator[Sequence[Stored], None]:
        self._check_open()
        wanted = [stored for stored in self.disk.appends.values() if after < stored.sequence <= last]
        while wanted:
            batch, wanted = wanted[:limit], wanted[limit:]
            sound = [stored for stored in batch if not self._is_damaged(stored)]
            if sound:
                yield sound

    async def scan_live(self, *, limit: int = 1_000) -> AsyncGenerator[Sequence[Stored], None]:
        self._check_open()
        live = sorted(
            (row for row in self.disk.rows.values() if row.live),
            key=lambda row: (-row.priority, row.created_ms, row.run),
        )
        batch: list[Stored] = []
        for row in live:
            try:
                batch += list(self._whole(row.run, 0))
            except DamagedError:
                continue  # named by `damaged`
            if len(batch) >= limit:
                yield batch
                batch = []
        if batch:
            yield batch

    def damaged(self) -> Sequence[tuple[str, str]]:
        return list(self._damaged.items())

    async def streams(self, prefix: str) -> Sequence[str]:
        self._check_open()
        return sorted(stream for stream in self.disk.streams if stream.startswith(prefix))

    async def fact(self, key: str) -> bytes | None:
        self._check_open()
        return self.disk.facts.get(key)

    async def facts_named(self, keys: Sequence[str]) -> dict[str, bytes]:
        self._check_open()
        return {key: self.disk.facts[key] for key in keys if key in self.disk.facts}

    async def facts(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        self._check_open()
        return sorted((key, value) for key, value in self.disk.facts.items() if key.startswith(prefix))

    async def runs(
        self, *, live: bool | None = None, before: str | None = None, limit: int = 50
    ) -> Sequence[RunRow]:
        self._check_open()
        return list(islice(self._newest_first(live, before), limit))

    async def run(self, run: str) -> RunRow | None:
        self._check_open()
        return self.disk.rows.get(run)

    def _newest_first(self, live: bool | None, before: str | None) -> Iterator[RunRow]:
        for run in sorted(self.disk.rows, reverse=True):
            row = self.disk.rows[run]
            if (before is None or run < before) and (live is None or row.live == live):
                yield row

    def _whole(self, stream: str, after_version: int) -> Iterator[Stored]:
        for stored in self.disk.streams.get(stream, [])[after_version:]:
            if self._is_damaged(stored):
                raise DamagedError(self._damaged[stream], where="memory")
            yield stored

    def _is_damaged(self, stored: Stored) -> bool:
        if (stored.stream, stored.version) not in self.disk.damage:
            return False
        self._damaged[stored.stream] = f"append {stored.version} of {stored.stream} is damaged"
        return True

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")
