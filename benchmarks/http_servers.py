"""The programs that bench_http.py measures, each a process of its own: `python -m benchmarks.http_servers KIND …` prints its port.

echo     uvicorn, and JSON decoded and encoded: what the stack costs by itself
bare     a stream of lines as one writes it first: a task for each follower, an event for each line
stream   the same lines through relevo's hub
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from relevo.logs.contract import LogFrame
from relevo.logs.lines import LineCutter
from relevo.server.connection import Connection
from relevo.server.feeds import LogFeed
from relevo.server.http import Request
from relevo.server.hub import Hub
from relevo.server.serving import listen
from relevo.server.shapes import RunAccepted, RunGiven
from relevo.server.streams import Stream

#: A step prints this often.
EVERY_S = 0.01

_decode = msgspec.json.Decoder(RunGiven).decode
_encode = msgspec.json.Encoder().encode


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Read a body as a submission, answer as if it were accepted."""
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    given = _decode(body)
    answer = _encode(RunAccepted(given.workflow.path))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def frames(rate: int) -> AsyncIterator[LogFrame]:
    """A log that grows by `rate` lines a second; each line begins with the time at which it was written."""
    offset = sent = 0
    begun = time.monotonic()
    while True:
        await asyncio.sleep(EVERY_S)
        count = (
            int((time.monotonic() - begun) * rate) - sent
        )  # whoever is late has all that was written since
        sent += count
        line = b"%d compiling module foo/bar/baz.c with -O2 -g -Wall ...... ok\n" % time.monotonic_ns()
        data = line * count
        if data:
            yield LogFrame(offset, 0, 0, data)
            offset += len(data)


class OneLog:
    """As much of an engine as a log stream asks for."""

    def __init__(self, rate: int) -> None:
        self._rate = rate

    def log(self, run: str, job: int, *, attempt: int, start: int, follow: bool) -> AsyncIterator[LogFrame]:
        return frames(self._rate) if follow else _nothing()


async def _nothing() -> AsyncIterator[LogFrame]:
    return
    yield


def through_hub(rate: int, loop: asyncio.AbstractEventLoop) -> Any:
    """relevo's way."""
    hub = Hub(OneLog(rate), loop)  # type: ignore[arg-type]

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        answer = Stream(hub, lambda position: LogFeed(hub, "r", 0, 1, position), 0)
        await answer.send(Request(scope, receive), send)

    return app


def bare(rate: int, loop: asyncio.AbstractEventLoop) -> Any:
    """A queue for each follower, an event for each line."""
    queues: set[asyncio.Queue[Any]] = set()

    async def write() -> None:
        cutter = LineCutter()
        async for frame in frames(rate):
            for line in cutter.feed(frame):
                for queue in queues:
                    if not queue.full():
                        queue.put_nowait(line)

    writing: list[asyncio.Task[None]] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if not writing:
            writing.append(loop.create_task(write()))
        queue: asyncio.Queue[Any] = asyncio.Queue(1_000)
        queues.add(queue)
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        while True:
            line = await queue.get()
            data = b"id: %d\nevent: lines\ndata: %b\n\n" % (line.offset, _encode(line))
            await send({"type": "http.response.body", "body": data, "more_body": True})

    return app


async def main(kind: str, rate: int) -> None:
    from uvicorn import Config
    from uvicorn.server import ServerState

    loop = asyncio.get_running_loop()
    app = echo if kind == "echo" else {"bare": bare, "stream": through_hub}[kind](rate, loop)
    config = Config(app, http=Connection, ws="none", lifespan="off", log_config=None, access_log=False)
    config.load()
    state = ServerState()
    listener = listen("127.0.0.1", 0)
    server = await loop.create_server(
        lambda: Connection(config, state, {}, loop), sock=listener, backlog=4096
    )
    print(listener.getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    from relevo.runtime.loop import run

    run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
