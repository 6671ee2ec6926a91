"""A client over a real socket: requests, and streams that are read event by event."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Event(NamedTuple):
    id: str
    kind: str
    data: Any


class Client:
    """Speaks HTTP/1.1 by hand, so that nothing is mended on the way."""

    def __init__(self, address: tuple[str, int], token: str = "") -> None:
        self.address = address
        self.token = token

    def head(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> bytes:
        told = {"Host": f"127.0.0.1:{self.address[1]}"}
        if self.token:
            told["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            told |= {"Content-Length": str(len(body)), "Content-Type": "application/json"}
        told |= headers or {}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items() if value)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")

    async def __call__(
        self, method: str, path: str, given: Any = None, *, body: bytes | None = None, **headers: str
    ) -> Reply:
        if given is not None:
            body = json.dumps(given).encode()
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        reply = await self.raw(self.head(method, path, {**told, "Connection": "close"}, body))
        if method == "HEAD":
            assert reply.body == b""
        return reply

    async def raw(self, request: bytes) -> Reply:
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            writer.write(request)
            async with asyncio.timeout(60):
                return await read_reply(reader, head=request.startswith(b"HEAD"))
        finally:
            writer.close()
            await writer.wait_closed()

    @asynccontextmanager
    async def talk(self, data: bytes) -> AsyncIterator[asyncio.StreamReader]:
        """Say something, whatever it is, and hear what comes."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            writer.write(data)
            async with asyncio.timeout(60):
                yield reader
        finally:
            writer.close()
            try:
                await writer.wait_closed()
            except ConnectionError:
                pass

    @asynccontextmanager
    async def stream(self, path: str, **headers: str) -> AsyncIterator[Stream]:
        """Open a stream of events."""
        reader, writer = await asyncio.open_connection(*self.address, limit=1 << 24)
        try:
            told = {name.replace("_", "-"): value for name, value in headers.items()}
            writer.write(self.head("GET", path, {"Accept": "text/event-stream", **told}))
            status, got = await read_head(reader)
            yield Stream(reader, status, got)
        finally:
            writer.close()
            try:
                await writer.wait_closed()
            except ConnectionError:
                pass


class Stream:
    """Events as they come. `comments` are signs of life; `retry` is what the server asked for."""

    def __init__(self, reader: asyncio.StreamReader, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers
        self.comments = 0
        self.retry = ""
        self.whole = False  #: it ended as a chunked answer does
        self._reader = reader
        self._text = b""

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events()

    async def next(self) -> Event:
        async with asyncio.timeout(60):
            return await anext(self._events())

    async def rest(self) -> list[Event]:
        async with asyncio.timeout(60):
            return [event async for event in self]

    async def _events(self) -> AsyncIterator[Event]:
        while True:
            while b"\n\n" in self._text:
                block, _, self._text = self._text.partition(b"\n\n")
                event = self._event(block.decode())
                if event is not None:
                    yield event
            piece = await read_chunk(self._reader)
            if not piece:
                self.whole = piece is not None
                return
            self._text += piece

    def _event(self, block: str) -> Event | None:
        fields = {"id": "", "event": "", "data": ""}
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            if not name:
                self.comments += 1
            elif name == "retry":
                self.retry = value.strip()
            else:
                fields[name] += value.removeprefix(" ")
        if not fields["event"]:
            return None
        return Event(fields["id"], fields["event"], json.loads(fields["data"]))


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in head[1:] if line)
    return int(head[0].split()[1]), {name.lower(): value.strip() for name, _, value in pairs}


async def read_chunk(reader: asyncio.StreamReader) -> bytes | None:
    """The next chunk; b"" is the end, None that the connection broke."""
    try:
        size = int(await reader.readuntil(b"\r\n"), 16)
        data = await reader.readexactly(size + 2)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return data[:-2]


async def read_reply(reader: asyncio.StreamReader, *, head: bool = False) -> Reply:
    status, headers = await read_head(reader)
    if head or status in (204, 304):
        return Reply(status, headers, b"")
    if "content-length" in headers:
        return Reply(status, headers, await reader.readexactly(int(headers["content-length"])))
    body = b""
    while piece := await read_chunk(reader):
        body += piece
    assert piece is not None, "the answer is not whole"
    return Reply(status, headers, body)
