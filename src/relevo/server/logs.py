"""Logs of jobs: their bytes, lines by number, what matches a text, and what comes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from relevo.domain.errors import UserError
from relevo.orchestrator.api import LogMatches, LogState
from relevo.server import shapes
from relevo.server.feeds import LogFeed
from relevo.server.http import NO_STORE, Answer, Headers, Pieces, Request, json
from relevo.server.problems import Problem, not_found
from relevo.server.routes import Endpoint, Said
from relevo.server.runs import Runs, job_number
from relevo.server.streams import HEADERS, RETRY, Stream

if TYPE_CHECKING:
    from relevo.server.hub import Hub

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")
_NOSNIFF: Final = (b"x-content-type-options", b"nosniff")


class Logs:
    """Handlers."""

    def __init__(self, hub: Hub, runs: Runs) -> None:
        self._hub = hub
        self._api = hub.api
        self._runs = runs

    def endpoints(self) -> list[Endpoint]:
        """All about logs."""
        log = "/api/v1/runs/{run}/jobs/{number}/log"
        complete = {"X-Relevo-Complete": "whether nothing more will come"}
        return [
            Endpoint(
                "GET",
                log,
                self.raw,
                "The bytes of a log, as the steps wrote them, changed only by masking.",
                (
                    Said(200, "All of it, or its last lines.", None, "text/plain", complete),
                    Said(206, "The part that `Range` asks for.", None, "text/plain", complete),
                    Said(416, "There are no such bytes."),
                ),
                query=shapes.LogQuery,
                headers={"Range": "One range of bytes."},
                problems=(400, 404),
            ),
            Endpoint(
                "GET",
                f"{log}/lines",
                self.lines,
                "Lines of a log by number.",
                (Said(200, "Lines.", shapes.Lines),),
                query=shapes.LinesQuery,
                problems=(400, 404),
            ),
            Endpoint(
                "GET",
                f"{log}/search",
                self.search,
                "Lines of a log that contain a text. Looks through 64 MiB at a time: go on from `next`.",
                (Said(200, "Matches.", LogMatches),),
                query=shapes.SearchQuery,
                problems=(400, 404),
            ),
            Endpoint(
                "GET",
                f"{log}/stream",
                self.stream,
                "The lines of a log as they come, until the attempt has ended.",
                (
                    Said(200, "Lines.", None, "text/event-stream"),
                    Said(204, "It was told to its end: do not come again."),
                ),
                query=shapes.LogStreamQuery,
                headers={"Last-Event-ID": "Where a stream broke off; counts more than `from_offset`."},
                problems=(400, 404, 409, 426),
            ),
        ]

    async def _state(self, request: Request, attempt: int | None) -> tuple[str, int, LogState]:
        row = await self._runs.row(request)
        number = job_number(request)
        try:
            return row.run, number, await self._api.log_state(row.run, number, attempt=attempt)
        except UserError as error:
            raise not_found(error) from None

    async def raw(self, request: Request) -> Answer:
        asked = request.query(shapes.LogQuery)
        run, number, state = await self._state(request, asked.attempt)
        headers: Headers = [
            _TEXT,
            _NOSNIFF,
            NO_STORE,
            (b"accept-ranges", b"bytes"),
            (b"x-relevo-complete", b"true" if state.complete else b"false"),
            (b"x-relevo-attempt", b"%d" % state.attempt),
        ]
        size = state.size_bytes
        start, stop, status = 0, size, 200
        if asked.tail is not None:
            if asked.tail:
                told = await self._api.log_lines(
                    run, number, attempt=state.attempt or None, first=-asked.tail, count=1
                )
                start = told.lines[0].offset if told.lines else size
            else:
                start = size
        elif given := request.header(b"range"):
            found = byte_range(given, size)
            if found is None:
                headers.append((b"content-range", b"bytes */%d" % size))
                return Answer(416, b"", headers)
            if found != (0, size):
                start, stop = found
                status = 206
                headers.append((b"content-range", b"bytes %d-%d/%d" % (start, stop - 1, size)))
        if start >= stop:
            return Answer(status, b"", headers)
        pieces = self._bytes(run, number, state.attempt, start, stop)
        return Pieces(pieces, headers, status=status, size=stop - start)

    async def _bytes(self, run: str, job: int, attempt: int, start: int, stop: int) -> AsyncIterator[bytes]:
        source = self._api.log(run, job, attempt=attempt, start=start)
        try:
            async for frame in source:
                left = stop - frame.offset
                yield bytes(frame.data if len(frame.data) <= left else frame.data[:left])
                if len(frame.data) >= left:
                    return
        finally:
            await source.aclose()  # type: ignore[attr-defined]  # all sources are generators

    async def lines(self, request: Request) -> Answer:
        asked = request.query(shapes.LinesQuery)
        row = await self._runs.row(request)
        try:
            told = await self._api.log_lines(
                row.run, job_number(request), attempt=asked.attempt, first=asked.first, count=asked.count
            )
        except UserError as error:
            raise not_found(error) from None
        state = told.state
        return json(
            shapes.Lines(
                told.first, told.lines, state.lines_total, state.size_bytes, state.complete, state.attempt
            )
        )

    async def search(self, request: Request) -> Answer:
        asked = request.query(shapes.SearchQuery)
        if "\n" in asked.q:
            raise Problem(400, "q: a text within one line is looked for")
        row = await self._runs.row(request)
        try:
            found = await self._api.log_search(
                row.run,
                job_number(request),
                text=asked.q,
                attempt=asked.attempt,
                first=asked.first,
                limit=asked.limit,
            )
        except UserError as error:
            raise not_found(error) from None
        return json(found)

    async def stream(self, request: Request) -> Answer:
        asked = request.query(shapes.LogStreamQuery)
        run, number, state = await self._state(request, asked.attempt)
        last = request.header(b"last-event-id")
        if last and not (last.isascii() and last.isdigit() and len(last) <= 18):
            raise Problem(400, f"Last-Event-ID: {last!r} is none of ours")
        start = int(last) if last else asked.from_offset
        if last and state.complete and start >= state.size_bytes:
            return Answer(204, b"", [NO_STORE])
        if not state.attempt and not state.complete:
            raise Problem(
                409, "the job has not begun: it has no log so far", hint="follow the events of its run"
            )
        attempt = state.attempt
        if not attempt:
            return Answer(200, RETRY + b"event: end\ndata: {}\n\n", HEADERS)  # the job was skipped
        return Stream(
            self._hub,
            lambda position: LogFeed(self._hub, run, number, attempt, position),
            start,
        )


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """[start, stop) of a Range header within `size` bytes; all of it for what is no single range of bytes; None when there are none
    of these bytes."""
    match = _RANGE.fullmatch(header.replace(" ", ""))
    if match is None or match.groups() == ("", ""):
        return 0, size
    first, last = match.groups()
    if not first:
        count = int(last)
        return (max(0, size - count), size) if count and size else None
    start = int(first)
    stop = min(int(last) + 1, size) if last else size
    if last and int(last) < start:
        return 0, size
    return (start, stop) if start < size else None
