"""The exact bytes of a log, as they come, for who shows them like an engine here would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, Struct

from relevo.protocol.framing import frame
from relevo.protocol.http_api import FRAMES, LOG_END
from relevo.server.http import NO_STORE, Answer, Pieces, Request
from relevo.server.hub import HEARTBEAT_S
from relevo.server.routes import Endpoint, Said

if TYPE_CHECKING:
    from relevo.server.hub import Hub
    from relevo.server.runs import Runs

_encode = msgspec.msgpack.Encoder().encode
_ALIVE = frame(b"")


class FramesQuery(Struct):
    """Of which job (its name), which attempt (left out: the last), from which offset; `follow`: until it ends."""

    job: Annotated[str, Meta(min_length=1, max_length=1_024)]
    attempt: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    start: Annotated[int, Meta(ge=0)] = 0
    follow: bool = False


class Frames:
    """The handler."""

    def __init__(self, hub: Hub, runs: Runs) -> None:
        self._hub = hub
        self._runs = runs

    def endpoints(self) -> list[Endpoint]:
        """It."""
        return [
            Endpoint(
                "GET",
                "/api/v1/runs/{run}/log/frames",
                self.frames,
                "The exact bytes of a log, with step and time: frames of msgpack [offset, step, at_ms, data].",
                (
                    Said(
                        200,
                        "Frames; an empty one is a sign of life, one of step -1 the end: without it, it was cut.",
                        None,
                        FRAMES,
                    ),
                ),
                query=FramesQuery,
                problems=(400, 404, 422, 426),
            )
        ]

    async def frames(self, request: Request) -> Answer:
        asked = request.query(FramesQuery)
        row = await self._runs.row(request)
        source = self._hub.api.log(
            row.run, asked.job, attempt=asked.attempt, start=asked.start, follow=asked.follow
        )
        headers = [(b"content-type", FRAMES.encode()), (b"x-accel-buffering", b"no"), NO_STORE]
        return Pieces(self._framed(source, asked.start), headers)

    async def _framed(self, source: Any, reached: int) -> AsyncIterator[bytes]:
        closing = self._hub.loop.create_task(self._hub.closing.wait())
        coming: asyncio.Task[Any] | None = None
        try:
            while True:
                coming = coming or self._hub.loop.create_task(anext(source, None))
                if not coming.done():
                    await asyncio.wait(
                        (coming, closing), timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED
                    )
                if closing.done():
                    return  # it was cut, and whoever reads it comes again
                if not coming.done():
                    yield _ALIVE
                    continue
                found, coming = coming.result(), None
                if found is None:
                    yield frame(_encode((reached, LOG_END, 0, b"")))
                    return
                reached = found.offset + len(found.data)
                yield frame(_encode((found.offset, found.step, found.at_ms, bytes(found.data))))
        finally:
            closing.cancel()
            if coming is not None:
                coming.cancel()
                await asyncio.wait((coming,))
            await source.aclose()
