"""Who follows what, and the tick in which all that came is sealed and handed out together."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from relevo.orchestrator.api import EngineApi
from relevo.server.connection import Connection
from relevo.server.feeds import Feed, Subscriber

#: What comes within this time is joined to one write.
TICK_S: Final = 0.02
#: A follower that got nothing for so long gets a sign of life.
HEARTBEAT_S: Final = 15.0
HEARTBEAT: Final = b"3\r\n:\n\n\r\n"


class Hub:
    """All feeds of a server."""

    def __init__(self, api: EngineApi, loop: asyncio.AbstractEventLoop) -> None:
        self.api = api
        self.loop = loop
        self.closing = asyncio.Event()
        self.followers = 0  #: streams that are open
        self._feeds: dict[Any, Feed[Any]] = {}
        self._dirty: dict[Feed[Any], None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._streams: dict[Subscriber, None] = {}

    def find(self, key: Any) -> Feed[Any] | None:
        """The feed of a key, if somebody follows that."""
        found = self._feeds.get(key)
        return None if found is None or found.over else found

    def open(self, feed: Feed[Any]) -> None:
        """The first follower of a thing has come."""
        self._feeds[feed.key] = feed

    def drop(self, feed: Feed[Any]) -> None:
        """Nobody follows it any more."""
        if self._feeds.get(feed.key) is feed:
            del self._feeds[feed.key]
        self._dirty.pop(feed, None)
        feed.close()

    def dirty(self, feed: Feed[Any]) -> None:
        """Something came: the next tick hands it out."""
        self._dirty[feed] = None
        if self._timer is None:
            self._timer = self.loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        dirty, self._dirty = self._dirty, {}
        for feed in dirty:
            feed.tick()

    def enter(self, stream: Subscriber) -> None:
        """A stream that is to be told when the server ends."""
        self._streams[stream] = None

    def exit(self, stream: Subscriber) -> None:
        """It has ended."""
        self._streams.pop(stream, None)

    async def close(self) -> None:
        """End all streams: each tells its follower to come again."""
        self.closing.set()
        if self._timer is not None:
            self._timer.cancel()
        for feed in list(self._feeds.values()):
            for subscriber in list(feed.subscribers):
                subscriber.more()
        for stream in list(self._streams):
            stream.more()


class Follower:
    """A stream of one feed: chunks are written as they are, without a task being woken for them."""

    __slots__ = (
        "_closing",
        "_connection",
        "_done",
        "_feed",
        "_loop",
        "_number",
        "_timer",
        "_wrote_s",
        "position",
    )

    def __init__(self, hub: Hub, connection: Connection, feed: Feed[Any], number: int, position: Any) -> None:
        self.position = position  #: behind what was written
        self._loop = hub.loop
        self._closing = hub.closing
        self._connection = connection
        self._feed = feed
        self._number = number
        self._done: asyncio.Future[bool] = hub.loop.create_future()
        self._wrote_s = hub.loop.time()
        self._timer = hub.loop.call_later(HEARTBEAT_S, self._beat)

    async def run(self) -> bool:
        """Follow; True when the feed is over and all of it was written, False when this one is behind the window, or to leave."""
        self._connection.on_lost = self._finish
        self._connection.on_writable = self.more
        self._feed.join(self)
        try:
            self.more()
            return await self._done
        finally:
            self._timer.cancel()
            self._connection.on_lost = self._connection.on_writable = None
            self._feed.leave(self)

    def more(self) -> None:
        feed = self._feed
        connection = self._connection
        if self._closing.is_set() or self._number < feed.base:
            self._finish()
            return
        wrote = False
        while self._number < feed.end and connection.writable:
            one = feed.chunks[self._number - feed.base]
            if one.start < self.position:  # what this one has read by itself, the feed had not sealed yet
                if one.stop > self.position:
                    self._finish()  # the rest of it is read by itself, too
                    return
                self._number += 1
                continue
            connection.write(one.framed)
            self.position = one.stop
            self._number += 1
            wrote = True
        if wrote:
            self._wrote_s = self._loop.time()
        if feed.over and self._number == feed.end:
            self._finish(over=True)

    def _finish(self, *, over: bool = False) -> None:
        if not self._done.done():
            self._done.set_result(over)

    def _beat(self) -> None:
        quiet_s = self._loop.time() - self._wrote_s
        if quiet_s >= HEARTBEAT_S - 0.1:
            if self._connection.writable:
                self._connection.write(HEARTBEAT)
                self._wrote_s = self._loop.time()
            quiet_s = 0.0
        self._timer = self._loop.call_later(max(0.1, HEARTBEAT_S - quiet_s), self._beat)
