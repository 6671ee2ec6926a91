"""Streams of one thing, as server-sent events: the events of a run, the log of an attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from relevo.server.connection import Connection
from relevo.server.feeds import Feed
from relevo.server.http import Answer, Request, Send
from relevo.server.hub import Follower, Hub

#: When a follower may come again.
RETRY: Final = b"retry: 1000\n\n"
HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class Stream(Answer):
    """What a feed brings behind a position, until it is over, the follower leaves, or the server does."""

    __slots__ = ("_hub", "_key", "_make", "_position")

    def __init__(self, hub: Hub, make: Callable[[Any], Feed[Any]], position: Any) -> None:
        """`make`: a feed that begins at a position."""
        super().__init__(200, b"", HEADERS)
        self._hub = hub
        self._key = make(position).key
        self._make = make
        self._position = position

    @property
    def chunked(self) -> bool:
        return True

    async def send(self, request: Request, send: Send) -> None:
        connection = request.connection
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        if request.method == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        await send({"type": "http.response.body", "body": RETRY, "more_body": True})
        connection.become_stream()
        self._hub.followers += 1
        try:
            await self._follow(connection)
        finally:
            self._hub.followers -= 1
            connection.end_stream()
        await send({"type": "http.response.body", "body": RETRY if self._hub.closing.is_set() else b""})

    async def _follow(self, connection: Connection) -> None:
        hub = self._hub
        while not self._gone(connection):
            feed = hub.find(self._key)
            if feed is None:
                await self._catch_up(connection, None)
                feed = hub.find(self._key)
            if feed is None:
                feed = self._make(self._position)
                hub.open(feed)
            number, entry = feed.entry(self._position)
            if entry > self._position:
                await self._catch_up(connection, entry)
                if hub.find(self._key) is not feed or number < feed.base:
                    continue  # nobody followed it any more meanwhile, or the window has moved on
            if self._gone(connection):
                if not feed.subscribers:
                    hub.drop(feed)
                return
            follower = Follower(hub, connection, feed, number, self._position)
            over = await follower.run()
            self._position = follower.position
            if over:
                if feed.error is not None:
                    raise feed.error
                return

    def _gone(self, connection: Connection) -> bool:
        return connection.lost or self._hub.closing.is_set()

    async def _catch_up(self, connection: Connection, stop: Any) -> None:
        """Write what the engine has up to `stop`, as fast as it is read."""
        source = self._make(self._position).earlier(self._position, stop)
        try:
            async for one in source:
                if not await writable(connection, self._hub):
                    return
                connection.write(one.framed)
                self._position = one.stop
                await asyncio.sleep(0)  # others have their turn, too
        finally:
            await source.aclose()  # type: ignore[attr-defined]  # all sources are generators
        if stop is not None and not self._hub.closing.is_set():
            self._position = max(self._position, stop)
        await writable(connection, self._hub)


async def writable(connection: Connection, hub: Hub) -> bool:
    """Wait until what was written is on its way; False when there is no use any more."""
    if connection.writable:
        return not hub.closing.is_set()
    ready = asyncio.Event()
    connection.on_writable = connection.on_lost = ready.set
    closing = hub.loop.create_task(hub.closing.wait())
    waiting = hub.loop.create_task(ready.wait())
    try:
        await asyncio.wait((closing, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        closing.cancel()
        waiting.cancel()
        connection.on_writable = connection.on_lost = None
    return not (connection.lost or hub.closing.is_set())
