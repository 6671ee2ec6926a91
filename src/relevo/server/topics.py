"""One stream of many topics, for a tab of the page: what each brings, in turn, with the positions of all of them as its id."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from relevo.domain.errors import RelevoError, UserError
from relevo.server.connection import Connection, chunk
from relevo.server.feeds import ALL, NOW, Chunk, EventsFeed, Feed, LogFeed, Piece, Place, RowsFeed, StateFeed
from relevo.server.http import Answer, Request, Send
from relevo.server.hub import HEARTBEAT, HEARTBEAT_S, Hub
from relevo.server.problems import Problem
from relevo.server.routes import Endpoint, Said
from relevo.server.streams import HEADERS, RETRY, writable

if TYPE_CHECKING:
    from relevo.orchestrator.api import EngineApi

#: Topics of one stream at most.
MOST_TOPICS: Final = 64
#: What one topic writes before it is the next one's turn, about.
TURN_BYTES: Final = 128 * 1024
#: Jobs of the queue that are told.
QUEUE_SHOWN: Final = 100
_encode = msgspec.json.Encoder().encode


class TopicsQuery(Struct):
    """`topic`, repeatable: `runs`, `run:ID`, `log:RUN/NUMBER/ATTEMPT`, each with `@POSITION`; `workers`, `queue`, `actors`."""

    topic: list[str] = []


class Topic:
    """One topic of one stream."""

    def __init__(
        self, name: str, key: Any, make: Callable[[Any], Feed[Any]], position: Any, read: Callable[[str], Any]
    ) -> None:
        """`read` makes a position of its text. Raises ValueError there."""
        self.name = name
        self.position = position
        self.read = read
        self.over = False
        self.more = False  #: there is something right now
        self._key = key
        self._make = make
        self._feed: Feed[Any] | None = None
        self._number = 0
        self._source: AsyncIterator[Chunk] | None = None  # while it catches up
        self._stop: Any = None
        self._stored = position == NOW  # what is stored was read: only a feed is left

    @property
    def told(self) -> str:
        """Its position in an id; "": it has none."""
        if self._key[0] == "state" or self.position == NOW:
            return ""
        return str(self.position)

    async def pieces(self, hub: Hub, stream: Topics) -> list[Piece]:
        """What it has by now, as much as is its turn."""
        self.more = False
        if self._feed is None and self._source is None:
            self._join(hub, stream)
        if self._source is not None:
            return await self._caught_up(self._source)
        feed = self._feed
        assert feed is not None
        if self._number < feed.base:
            return self._behind(feed, stream)
        return self._next(feed, stream)

    async def close(self, stream: Topics) -> None:
        """Leave."""
        if self._feed is not None:
            self._feed.leave(stream)
            self._feed = None
        if self._source is not None:
            await self._source.aclose()  # type: ignore[attr-defined]  # all sources are generators
            self._source = None

    def _join(self, hub: Hub, stream: Topics) -> None:
        feed = hub.find(self._key)
        if feed is None:
            if not self._stored:
                self._stored = True
                self._stop = None
                self._source = self._make(self.position).earlier(self.position, None)
                return
            feed = self._make(self.position)
            hub.open(feed)
        self._number, entry = feed.entry(self.position)
        if entry > self.position:
            self._stop = entry
            self._source = self._make(self.position).earlier(self.position, entry)
            return
        feed.join(stream)
        self._feed = feed

    async def _caught_up(self, source: AsyncIterator[Chunk]) -> list[Piece]:
        self.more = True
        found: list[Piece] = []
        size = 0
        while size < TURN_BYTES:
            one = await anext(source, None)
            if one is None:
                self._source = None
                if self._stop is not None:
                    self.position = max(self.position, self._stop)
                break
            found += one.pieces
            size += one.size
            self.position = one.stop
        return found

    def _behind(self, feed: Feed[Any], stream: Topics) -> list[Piece]:
        """The window has moved on: read from the engine, or, where only the latest counts, say what was missed."""
        self.more = True
        if isinstance(feed, RowsFeed):
            self._number = feed.end
            self.position = feed.position
            return [Piece("", "reset", "reset", _encode({"topic": self.name}))]
        if isinstance(feed, StateFeed):
            self._number = feed.base
            return []
        feed.leave(stream)
        self._feed = None
        self._stored = False
        return []

    def _next(self, feed: Feed[Any], stream: Topics) -> list[Piece]:
        found: list[Piece] = []
        latest: dict[str, Piece] = {}
        size = 0
        while self._number < feed.end and size < TURN_BYTES:
            one = feed.chunks[self._number - feed.base]
            if one.start < self.position:  # what this one has read by itself, the feed had not sealed yet
                self._number += 1
                if one.stop > self.position:
                    self.more = True  # the rest of it is read by itself, too
                    feed.leave(stream)
                    self._feed = None
                    return [*found, *latest.values()]
                continue
            for piece in one.pieces:
                if piece.key:
                    latest[piece.key] = piece
                else:
                    found.append(piece)
            size += one.size
            self.position = one.stop
            self._number += 1
        if self._number < feed.end:
            self.more = True
        else:
            self.position = max(self.position, feed.position)
            if feed.over:
                self.over = True
                if feed.error is not None:
                    found.append(reset(self.name, feed.error))
                feed.leave(stream)
                self._feed = None
        return [*found, *latest.values()]


def reset(name: str, error: RelevoError) -> Piece:
    """A topic that cannot be followed."""
    return Piece("", "reset", "reset", _encode({"topic": name, "detail": str(error)}))


class Topics(Answer):
    """The stream."""

    __slots__ = ("_hub", "_lost", "_topics", "_wake")

    def __init__(self, hub: Hub, topics: list[Topic], lost: list[Piece]) -> None:
        """`lost`: what is told at once of topics that there are not."""
        super().__init__(200, b"", HEADERS)
        self._hub = hub
        self._topics = topics
        self._lost = lost
        self._wake = asyncio.Event()

    @property
    def chunked(self) -> bool:
        return True

    def more(self) -> None:
        """A feed has more."""
        self._wake.set()

    async def send(self, request: Request, send: Send) -> None:
        connection = request.connection
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        if request.method == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        await send({"type": "http.response.body", "body": RETRY, "more_body": True})
        connection.become_stream()
        self._hub.followers += 1
        self._hub.enter(self)
        try:
            await self._follow(connection)
        finally:
            self._hub.followers -= 1
            self._hub.exit(self)
            for topic in self._topics:
                await topic.close(self)
            connection.end_stream()
        await send({"type": "http.response.body", "body": RETRY if self._hub.closing.is_set() else b""})

    async def _follow(self, connection: Connection) -> None:
        parts = [topic.told for topic in self._topics]
        told = _ids(parts)
        if self._lost:
            connection.write(chunk(b"".join(piece.among(told) for piece in self._lost)))
        while await writable(connection, self._hub):
            self._wake.clear()
            text: list[bytes] = []
            for index, topic in enumerate(self._topics):
                if topic.over:
                    continue
                try:
                    found = await topic.pieces(self._hub, self)
                except RelevoError as error:
                    topic.over = True
                    found = [reset(topic.name, error)]
                for piece in found:
                    if piece.id and not piece.key:
                        parts[index] = piece.id
                        told = _ids(parts)
                    text.append(piece.among(told))
                parts[index] = topic.told
            if (ids := _ids(parts)) != told:
                # A position that no event brought: of rows, of which only the last ones are told.
                text.append(b"id: %b\n\n" % ids)
                told = ids
            if text:
                connection.write(chunk(b"".join(text)))
            if any(topic.more and not topic.over for topic in self._topics):
                await asyncio.sleep(0)  # others have their turn, too
            elif not text:
                await self._rest(connection)

    async def _rest(self, connection: Connection) -> None:
        connection.on_lost = self._wake.set
        if connection.lost:
            return
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await self._wake.wait()
        except TimeoutError:
            connection.write(HEARTBEAT)
        finally:
            connection.on_lost = None


def _ids(parts: list[str]) -> bytes:
    return ",".join(parts).encode()


class Following:
    """The handler."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def endpoints(self) -> list[Endpoint]:
        """The stream."""
        return [
            Endpoint(
                "GET",
                "/api/v1/stream",
                self.stream,
                "Many topics in one stream: what a tab of the page needs.",
                (Said(200, "Events of all topics.", None, "text/event-stream"),),
                query=TopicsQuery,
                headers={"Last-Event-ID": "Where it broke off, for the same topics in the same order."},
                problems=(400, 426),
            )
        ]

    async def stream(self, request: Request) -> Answer:
        asked = request.query(TopicsQuery)
        if not 1 <= len(asked.topic) <= MOST_TOPICS:
            raise Problem(400, f"topic: from 1 to {MOST_TOPICS} of them")
        last = request.header(b"last-event-id")
        places = last.split(",") if last else []
        if len(places) != len(asked.topic):
            places = [""] * len(asked.topic)
        topics: list[Topic] = []
        lost: list[Piece] = []
        for name, place in zip(asked.topic, places, strict=True):
            try:
                topic = await make_topic(self._hub, name)
                if place:
                    topic.position = topic.read(place)
            except ValueError:
                raise Problem(400, f"topic: {name!r} is none, or has no such position") from None
            except UserError as error:
                lost.append(reset(name, error))
                topic = Topic(name, ("state", ""), _nothing, 0, int)
                topic.over = True
            topics.append(topic)
        return Topics(self._hub, topics, lost)


def _nothing(position: Any) -> Feed[Any]:
    raise ValueError(position)


async def make_topic(hub: Hub, name: str) -> Topic:
    """A topic by its name. Raises ValueError for what is none, UserError when there is no such run."""
    api = hub.api
    bare, at, place = name.partition("@")
    kind, _, rest = bare.partition(":")
    match kind:
        case "runs" if not rest:
            position = _number(place) if at else NOW
            return Topic(bare, ("rows",), lambda start: RowsFeed(hub, start), position, _number)
        case "run" if rest:
            run = (await api.find(rest)).run
            start = _place(place) if at else Place(0, 0)
            return Topic(bare, ("events", run), lambda p: EventsFeed(hub, run, p), start, _place)
        case "log" if rest:
            found, number, attempt = rest.split("/")
            run = (await api.find(found)).run
            job, which = _number(number), _number(attempt)
            position = _number(place) if at else 0
            return Topic(
                bare,
                ("log", run, job, which),
                lambda start: LogFeed(hub, run, job, which, start),
                position,
                _number,
            )
        case "workers" | "queue" | "actors" if not (rest or at):
            return Topic(bare, ("state", kind), lambda _: StateFeed(hub, kind, _reading(api, kind)), 0, int)
    raise ValueError(name)


def _reading(api: EngineApi, kind: str) -> Callable[[], Any]:
    async def workers() -> Any:
        return {"agents": await api.workers()}

    async def queue() -> Any:
        return await api.queue(limit=QUEUE_SHOWN)

    async def actors() -> Any:
        return {"actors": await api.actors()}

    return {"workers": workers, "queue": queue, "actors": actors}[kind]


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise ValueError(text)
    return int(text)


def _place(text: str) -> Place:
    seq, dot, n = text.partition(".")
    return Place(_number(seq), _number(n) if dot else ALL)
