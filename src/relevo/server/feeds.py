"""What is followed, each thing once for all who follow it: read from the engine once, encoded once.

    source (EngineApi) ──► Feed.pending ──seal, each tick──► window of chunks ──► followers, by number of chunk

A follower is a number. One that is behind the window reads by itself (`Feed.earlier`) until it has caught up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from relevo.domain.errors import RelevoError
from relevo.logs.lines import Line, LineCutter
from relevo.server.connection import chunk

if TYPE_CHECKING:
    from relevo.orchestrator.api import EngineApi, RowChanges
    from relevo.server.hub import Hub
    from relevo.store.contract import RunRow

#: What a feed keeps for those who are a little behind.
WINDOW_BYTES: Final = 256 * 1024
#: Of what waits for the next tick; then the source waits.
PENDING_ITEMS: Final = 5_000
#: How often what is told whole is looked at.
STATE_EVERY_S: Final = 1.0
#: Lines of one event, and bytes of one chunk, about.
EVENT_LINES: Final = 500
CHUNK_BYTES: Final = 32 * 1024

P = TypeVar("P")
_encode = msgspec.json.Encoder().encode


class Piece(NamedTuple):
    """One event as it is sent: `id` and `event` of a stream of its own, `topic_event` of one that has several topics."""

    id: str
    event: str
    topic_event: str
    data: bytes
    key: str = ""  #: of pieces with the same key the last one counts, for who is behind

    def alone(self) -> bytes:
        """For a stream of its own."""
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (self.id.encode(), self.event.encode(), self.data)

    def among(self, ids: bytes) -> bytes:
        """For a stream of several topics, whose positions are `ids`."""
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (ids, self.topic_event.encode(), self.data)


class Chunk:
    """What one tick brought, or a part of it. `start` and `stop` are positions of the feed: before its first piece, after its last."""

    __slots__ = ("_framed", "pieces", "size", "start", "stop")

    def __init__(self, start: Any, stop: Any, pieces: list[Piece]) -> None:
        self.start = start
        self.stop = stop
        self.pieces = pieces
        self.size = sum(len(piece.data) + 64 for piece in pieces)
        self._framed: bytes | None = None

    @property
    def framed(self) -> bytes:
        """Its events for streams of their own, framed for the wire: made once for all of them."""
        if self._framed is None:
            self._framed = chunk(b"".join(piece.alone() for piece in self.pieces))
        return self._framed


class Subscriber(Protocol):
    """Who is told that there is more."""

    def more(self) -> None:
        """There are chunks, or it is over. Does not block."""


class Feed(Generic[P]):
    """One thing that is followed. `key` names it; `position` is what is sealed up to."""

    window_bytes = WINDOW_BYTES

    def __init__(self, hub: Hub, key: Any, position: P) -> None:
        self.hub = hub
        self.key = key
        self.position: P = position
        self.chunks: deque[Chunk] = deque()
        self.base = 0  #: number of the first chunk that is kept
        self.over = False  #: nothing more will come
        self.error: RelevoError | None = None
        self.subscribers: dict[Subscriber, None] = {}
        self._bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self._reader: asyncio.Task[None] | None = None
        self._ended = False  # the source; what is pending is not sealed yet

    # --- for followers ------------------------------------------------------------------------------------------------

    @property
    def end(self) -> int:
        """Number of the chunk to come."""
        return self.base + len(self.chunks)

    def entry(self, position: P) -> tuple[int, P]:
        """Where one who stands at a position can join: the number of a chunk, and the position before it. What lies between
        the two positions is to be read by `earlier`."""
        for number, one in enumerate(self.chunks, self.base):
            if one.start >= position:
                return number, one.start
        return self.end, self.position

    def join(self, subscriber: Subscriber) -> None:
        self.subscribers[subscriber] = None
        if self._reader is None:
            self._reader = self.hub.loop.create_task(self._read())

    def leave(self, subscriber: Subscriber) -> None:
        self.subscribers.pop(subscriber, None)
        if not self.subscribers:
            self.hub.drop(self)

    def close(self) -> None:
        """Stop reading."""
        if self._reader is not None:
            self._reader.cancel()

    # --- of each kind -------------------------------------------------------------------------------------------------

    def source(self) -> AsyncIterator[Any]:
        """What comes after `position`, as it comes."""
        raise NotImplementedError

    def take(self, item: Any) -> int:
        """Keep it until the next tick; returns how many items wait."""
        raise NotImplementedError

    def finish(self) -> None:
        """The source has ended by itself."""

    def sealed(self) -> list[Chunk]:
        """What waits, as chunks; `position` moves behind them."""
        raise NotImplementedError

    def earlier(self, position: P, stop: P | None) -> AsyncIterator[Chunk]:
        """What lies between two positions, read from the engine for one follower. `stop` None: what there is by now."""
        raise NotImplementedError

    # --- reading ------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        source = self.source()
        try:
            async for item in source:
                waiting = self.take(item)
                self.hub.dirty(self)
                if waiting >= PENDING_ITEMS:
                    self._room.clear()
                    await self._room.wait()
            self.finish()
            self._over()
        except RelevoError as error:
            self.error = error
            self._over()
        finally:
            await source.aclose()  # type: ignore[attr-defined]  # all sources are generators

    def _over(self) -> None:
        self._ended = True
        self.hub.dirty(self)

    def tick(self) -> None:
        """Seal what waits, and tell who follows."""
        for one in self.sealed():
            self.chunks.append(one)
            self._bytes += one.size
        while self._bytes > self.window_bytes and len(self.chunks) > 1:
            self._bytes -= self.chunks.popleft().size
            self.base += 1
        self._room.set()
        if self._ended:
            self.over = True
        for subscriber in list(self.subscribers):
            subscriber.more()


class LogFeed(Feed[int]):
    """The log of an attempt. Positions are offsets of bytes."""

    def __init__(self, hub: Hub, run: str, job: int, attempt: int, position: int) -> None:
        super().__init__(hub, ("log", run, job, attempt), position)
        self._run = run
        self._job = job
        self._attempt = attempt
        self._cutter = LineCutter(position)
        self._lines: list[Line] = []
        self._told_end = False

    def source(self) -> AsyncIterator[Any]:
        return self.hub.api.log(self._run, self._job, attempt=self._attempt, start=self.position, follow=True)

    def take(self, item: Any) -> int:
        self._lines += self._cutter.feed(item)
        return len(self._lines)

    def finish(self) -> None:
        self._lines += self._cutter.end()
        self._told_end = True

    def sealed(self) -> list[Chunk]:
        lines, self._lines = self._lines, []
        chunks = list(self._chunks(lines, self.position, self._cutter.offset))
        self.position = chunks[-1].stop if chunks else self.position
        if self._told_end:
            self._told_end = False
            data = _encode(
                {"run": self._run, "job": self._job, "attempt": self._attempt, "offset": self.position}
            )
            chunks.append(
                Chunk(self.position, self.position, [Piece(str(self.position), "end", "log-end", data)])
            )
        return chunks

    def _chunks(self, lines: list[Line], start: int, stop: int) -> list[Chunk]:
        """One event for so many lines that a chunk stays small."""
        chunks: list[Chunk] = []
        part: list[Line] = []
        size = 0
        for line in lines:
            if part and (len(part) >= EVENT_LINES or size > CHUNK_BYTES):
                chunks.append(self._chunk(part, start, line.offset))
                start, part, size = line.offset, [], 0
            part.append(line)
            size += len(line.text) + 48
        if part:
            chunks.append(self._chunk(part, start, stop))
        return chunks

    def _chunk(self, lines: list[Line], start: int, stop: int) -> Chunk:
        data = _encode(
            {
                "run": self._run,
                "job": self._job,
                "attempt": self._attempt,
                "offset": lines[0].offset,
                "lines": lines,
            }
        )
        return Chunk(start, stop, [Piece(str(stop), "lines", "lines", data)])

    async def earlier(self, position: int, stop: int | None) -> AsyncIterator[Chunk]:
        cutter = LineCutter(position)
        lines: list[Line] = []
        size = 0
        source = self.hub.api.log(self._run, self._job, attempt=self._attempt, start=position, follow=False)
        try:
            async for frame in source:
                for line in cutter.feed(frame):
                    if stop is not None and line.offset >= stop:
                        break
                    lines.append(line)
                    size += len(line.text) + 48
                else:
                    if size > CHUNK_BYTES:
                        for one in self._chunks(lines, position, cutter.offset):
                            yield one
                        position, lines, size = cutter.offset, [], 0
                    continue
                break
        finally:
            await source.aclose()  # type: ignore[attr-defined]  # all sources are generators
        end = cutter.offset if stop is None else min(stop, cutter.offset)
        for one in self._chunks(lines, position, end):
            yield one


class Place(NamedTuple):
    """A position among the events of a run: behind the n-th event of a sequence."""

    seq: int
    n: int

    def __str__(self) -> str:
        return f"{self.seq}.{self.n}"


#: Behind all events of a sequence.
ALL: Final = 1 << 30


class EventsFeed(Feed[Place]):
    """The public events of a run."""

    def __init__(self, hub: Hub, run: str, position: Place) -> None:
        super().__init__(hub, ("events", run), position)
        self._run = run
        self._reached = position  # what is taken, sealed or not
        self._events: list[tuple[Place, dict[str, Any]]] = []

    async def source(self) -> AsyncIterator[Any]:
        async for one in numbered(self.hub.api, self._run, self.position, follow=True):
            yield one

    def take(self, item: tuple[Place, dict[str, Any]]) -> int:
        self._events.append(item)
        return len(self._events)

    def sealed(self) -> list[Chunk]:
        events, self._events = self._events, []
        chunks = _event_chunks(events, self.position)
        if chunks:
            self.position = chunks[-1].stop
        return chunks

    async def earlier(self, position: Place, stop: Place | None) -> AsyncIterator[Chunk]:
        events: list[tuple[Place, dict[str, Any]]] = []
        source = numbered(self.hub.api, self._run, position, follow=False)
        try:
            async for place, event in source:
                if stop is not None and place > stop:
                    break
                events.append((place, event))
                if len(events) >= EVENT_LINES:
                    for one in _event_chunks(events, position):
                        yield one
                    position, events = events[-1][0], []
        finally:
            await source.aclose()
        for one in _event_chunks(events, position):
            yield one


async def numbered(api: EngineApi, run: str, after: Place, *, follow: bool) -> Any:
    """A run's events behind a place, each with its own."""
    # A sequence that was begun is asked for again, and what is known of it passed over.
    source = api.events(
        run, max(0, after.seq - 1) if after.n < ALL else after.seq, follow=follow, past_holds=follow
    )
    seq, n = 0, 0
    try:
        async for event in source:
            n = n + 1 if event["seq"] == seq else 1
            seq = event["seq"]
            place = Place(seq, n)
            if place > after:
                yield place, event
    finally:
        await source.aclose()  # type: ignore[attr-defined]  # all sources are generators


def _event_chunks(events: list[tuple[Place, dict[str, Any]]], start: Place) -> list[Chunk]:
    chunks: list[Chunk] = []
    pieces: list[Piece] = []
    size = 0
    stop = start
    for place, event in events:
        data = _encode(event)
        if pieces and size + len(data) > CHUNK_BYTES:
            chunks.append(Chunk(start, stop, pieces))
            start, pieces, size = stop, [], 0
        pieces.append(Piece(str(place), event["event"], "event", data))
        size += len(data)
        stop = place
    if pieces:
        chunks.append(Chunk(start, stop, pieces))
    return chunks


#: For `rows`: from now on.
NOW: Final = -1


class RowsFeed(Feed[int]):
    """The rows of runs as they change. Positions are sequences of the store; NOW: from now on."""

    def __init__(self, hub: Hub, position: int) -> None:
        super().__init__(hub, ("rows",), position)
        self._reached = position
        self._rows: dict[str, RunRow] = {}
        self._reset = False

    def entry(self, position: int) -> tuple[int, int]:
        return (self.end, NOW) if position == NOW else super().entry(position)

    def source(self) -> AsyncIterator[Any]:
        return self.hub.api.rows(None if self.position == NOW else self.position)

    def take(self, item: RowChanges) -> int:
        for row in item.rows:
            self._rows[row.run] = row
        self._reset = self._reset or item.reset
        self._reached = item.sequence
        return len(self._rows)

    def sealed(self) -> list[Chunk]:
        rows, self._rows = self._rows, {}
        reset, self._reset = self._reset, False
        start, self.position = self.position, self._reached
        pieces = _row_pieces(rows.values(), self.position, reset=reset)
        return [Chunk(start, self.position, pieces)] if pieces else []

    async def earlier(self, position: int, stop: int | None) -> AsyncIterator[Chunk]:
        source = self.hub.api.rows(position)
        try:
            changes = await anext(source)
        finally:
            await source.aclose()  # type: ignore[attr-defined]  # all sources are generators
        pieces = _row_pieces(changes.rows, changes.sequence, reset=changes.reset)
        yield Chunk(position, changes.sequence, pieces)


def _row_pieces(rows: Iterable[RunRow], sequence: int, *, reset: bool) -> list[Piece]:
    pieces = [Piece(str(sequence), "row", "row", _encode(row), row.run) for row in rows]
    if reset:
        pieces.append(Piece(str(sequence), "reset", "reset", b'{"topic":"runs"}', "reset"))
    return pieces


class StateFeed(Feed[int]):
    """Something that is told whole whenever it has changed, at most once a second. It has no positions: only the latest counts."""

    window_bytes = 0

    def __init__(self, hub: Hub, name: str, read: Callable[[], Awaitable[Any]]) -> None:
        super().__init__(hub, ("state", name), 0)
        self._name = name
        self._ask = read
        self._latest: bytes | None = None

    async def source(self) -> AsyncIterator[Any]:
        known = b""
        while True:
            latest = _encode(await self._ask())
            if latest != known:
                known = latest
                yield latest
            await asyncio.sleep(STATE_EVERY_S)

    def take(self, item: bytes) -> int:
        self._latest = item
        return 1

    def sealed(self) -> list[Chunk]:
        latest, self._latest = self._latest, None
        if latest is None:
            return []
        return [Chunk(0, 0, [Piece("", self._name, self._name, latest, self._name)])]

    async def earlier(self, position: int, stop: int | None) -> AsyncIterator[Chunk]:
        return
        yield  # the latest is all there is
