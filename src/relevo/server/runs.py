"""Runs: accepted, listed, told, decided about."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Final

from relevo.domain.errors import UserError
from relevo.orchestrator.api import Submission
from relevo.orchestrator.details import PART_JOBS, RunDetails, details, encoded
from relevo.orchestrator.keys import retried, submitted
from relevo.orchestrator.progress import Progress
from relevo.server import shapes
from relevo.server.feeds import ALL, EventsFeed, Place, numbered
from relevo.server.http import JSON, NO_STORE, Answer, Pieces, Request, json
from relevo.server.problems import Problem, not_found
from relevo.server.routes import Endpoint, Said
from relevo.server.streams import Stream
from relevo.store.contract import RunRow

if TYPE_CHECKING:
    from relevo.server.hub import Hub

KEY_LIMIT: Final = 256
#: What is asked to run, with the files of its tree that it uses.
RUN_LIMIT: Final = 32 << 20
#: Rows that are read at a time, and in all, to find those that a filter asks for.
PAGE_ROWS: Final = 500
SCANNED_ROWS: Final = 20_000
_KEY: Final = {
    "Idempotency-Key": "The same key again is the same run: for who does not know whether a request arrived. "
    "With another body it is refused; values of secrets are not compared."
}
_TRACE: Final = {
    "traceparent": "the span that the run becomes part of (W3C Trace Context)",
    "tracestate": "what goes with it",
}


class Runs:
    """Handlers. `nowhere`: an empty folder, for runs without a working tree."""

    def __init__(self, hub: Hub, nowhere: str) -> None:
        self._hub = hub
        self._api = hub.api
        self._nowhere = nowhere

    def endpoints(self) -> list[Endpoint]:
        """All about runs."""
        accepted = Said(201, "Accepted, and durable.", shapes.RunAccepted, headers={"Location": "the run"})
        known = Said(200, "It was accepted before, with this key.", shapes.RunAccepted)
        done = Said(202, "It is decided; the events tell what becomes of it.")
        run = "/api/v1/runs/{run}"
        return [
            Endpoint(
                "POST",
                "/api/v1/runs",
                self.submit,
                "Run a workflow.",
                (accepted, known),
                body=shapes.RunGiven,
                headers=_KEY | _TRACE,
                problems=(400, 409, 413, 415, 422, 503),
            ),
            Endpoint(
                "GET",
                "/api/v1/runs",
                self.list,
                "List runs, newest first.",
                (Said(200, "A page of them.", shapes.Runs),),
                query=shapes.RunsQuery,
                problems=(400,),
            ),
            Endpoint(
                "GET",
                run,
                self.show,
                "A run with its jobs and their steps.",
                (Said(200, "The run.", RunDetails),),
                problems=(404,),
            ),
            Endpoint(
                "GET",
                f"{run}/row",
                self.show_row,
                "A run as lists show it.",
                (Said(200, "Its row.", RunRow),),
                problems=(404,),
            ),
            Endpoint(
                "GET",
                f"{run}/why",
                self.why,
                "Why jobs of a run wait; of a job that is named, also that it does not.",
                (Said(200, "Those that wait.", shapes.Waits),),
                query=shapes.WhyQuery,
                problems=(400, 404, 422),
            ),
            Endpoint(
                "POST",
                f"{run}/delivered",
                self.delivered,
                "Somebody has seen how it ended.",
                (Said(202, "It is noted."),),
                problems=(404,),
            ),
            Endpoint(
                "GET",
                f"{run}/events",
                self.events,
                "The events of a run: a page of them, or with `Accept: text/event-stream` a stream.",
                (
                    Said(200, "Events.", shapes.Events),
                    Said(200, "Events as they come, until the run has ended.", None, "text/event-stream"),
                    Said(204, "The run has ended, and all of it was told: do not come again."),
                ),
                query=shapes.EventsQuery,
                headers={"Last-Event-ID": "Where a stream broke off; counts more than `after`."},
                problems=(400, 404, 426),
            ),
            Endpoint(
                "POST",
                f"{run}/cancel",
                self.cancel,
                "Cancel a run. Without effect on one that has ended.",
                (done,),
                body=shapes.CancelGiven,
                problems=(400, 404, 413, 415),
            ),
            Endpoint(
                "POST",
                f"{run}/retry",
                self.retry,
                "Run a finished run again as a new one, or only what failed in it, or one job.",
                (accepted, known),
                body=shapes.RetryGiven,
                headers=_KEY | _TRACE,
                problems=(400, 404, 409, 413, 415, 422),
            ),
            Endpoint(
                "POST",
                f"{run}/jobs/{{number}}/fail",
                self.fail_job,
                "Decide that a held job has failed.",
                (done,),
                problems=(404, 409),
            ),
            Endpoint(
                "POST",
                f"{run}/jobs/{{number}}/retry",
                self.retry_job,
                "Have a held job run again.",
                (done,),
                problems=(404, 409),
            ),
            Endpoint(
                "GET",
                f"{run}/artifacts",
                self.artifacts,
                "The artifacts of a run.",
                (Said(200, "By name.", shapes.Artifacts),),
                problems=(404,),
            ),
            Endpoint(
                "GET",
                f"{run}/artifacts/{{name}}",
                self.artifact,
                "An artifact's files.",
                (Said(200, "They, packed.", None, "application/zip"),),
                problems=(404, 426),
            ),
        ]

    async def row(self, request: Request) -> RunRow:
        """The run that a path names. Raises Problem 404."""
        name = request.path_values[0]
        if not name or len(name) > 64:
            raise Problem(404, "there is no such run", kind="urn:relevo:not-found")
        try:
            return await self._api.find(name)
        except UserError as error:
            raise not_found(error) from None

    # --- accepted -----------------------------------------------------------------------------------------------------

    async def submit(self, request: Request) -> Answer:
        key = _key(request)
        given = await request.json(shapes.RunGiven, RUN_LIMIT)
        directory = "" if given.source is not None else given.directory or self._nowhere
        submission = Submission(
            workflow_path=given.workflow.path,
            workflow_text=given.workflow.text.encode(),
            event=given.event,
            inputs=given.inputs,
            env=given.env,
            secrets=given.secrets,
            jobs=tuple(given.jobs),
            directory=directory,
            treeless=given.source is None and not given.directory,
            source=given.source,
            committed=given.committed,
            skip_unmatched=given.skip_unmatched,
            idempotency_key=key,
            keep=given.keep,
            traceparent=request.header(b"traceparent"),
            tracestate=request.header(b"tracestate"),
        )
        if key is not None and (known := await self._api.accepted_as(key, submitted(submission))) is not None:
            return _accepted(known, 200)
        _check(given)
        return _accepted(await self._api.submit(submission), 201)

    # --- told ---------------------------------------------------------------------------------------------------------

    async def list(self, request: Request) -> Answer:
        asked = request.query(shapes.RunsQuery)
        sequence = (await self._api.ping())["sequence"]
        plain = not (asked.status or asked.workflow)
        found: list[RunRow] = []
        before = asked.cursor or None
        scanned = 0
        while True:
            size = asked.limit - len(found) if plain else PAGE_ROWS
            rows = await self._api.runs(live=asked.live, limit=size, before=before)
            for row in rows:
                before = row.run
                scanned += 1
                if plain or (
                    (not asked.status or row.status == asked.status)
                    and (not asked.workflow or row.workflow == asked.workflow)
                ):
                    found.append(row)
                    if len(found) == asked.limit:
                        return json(shapes.Runs(found, before, sequence))
            if len(rows) < size:
                return json(shapes.Runs(found, None, sequence))
            if scanned >= SCANNED_ROWS:
                return json(shapes.Runs(found, before, sequence))

    async def show(self, request: Request) -> Answer:
        row = await self.row(request)
        progress = Progress(row.run)
        async for event in self._api.events(row.run, follow=False):
            progress.apply(event)
        waits = await self._api.why(row.run) if row.live else ()
        if len(progress.jobs) <= PART_JOBS:
            return json(details(progress, row, waits))
        body = await asyncio.to_thread(lambda: encoded(details(progress, row, waits)))
        return Answer(200, body, [JSON, NO_STORE])

    async def show_row(self, request: Request) -> Answer:
        return json(await self.row(request))

    async def why(self, request: Request) -> Answer:
        asked = request.query(shapes.WhyQuery)
        row = await self.row(request)
        return json(shapes.Waits(await self._api.why(row.run, asked.job)))

    async def delivered(self, request: Request) -> Answer:
        row = await self.row(request)
        await self._api.delivered(row.run)
        return Answer(202, b"", [NO_STORE])

    async def events(self, request: Request) -> Answer:
        asked = request.query(shapes.EventsQuery)
        row = await self.row(request)
        if "text/event-stream" in request.header(b"accept"):
            return await self._event_stream(request, row, asked)
        after = _place(asked.after)
        items: list[dict[str, Any]] = []
        reached = after
        source = numbered(self._api, row.run, after, follow=False)
        try:
            async for place, event in source:
                items.append(event)
                reached = place
                if len(items) == asked.limit:
                    break
        finally:
            await source.aclose()
        ended = not row.live and len(items) < asked.limit
        ended = ended or bool(items and items[-1]["event"] == "run.finished")
        return json(shapes.Events(items, None if ended else _told(reached)))

    async def _event_stream(self, request: Request, row: RunRow, asked: shapes.EventsQuery) -> Answer:
        last = request.header(b"last-event-id")
        try:
            after = _place(last) if last else _place(asked.after)
        except ValueError:
            raise Problem(400, f"Last-Event-ID: {last!r} is none of ours") from None
        if last and not row.live:
            source = numbered(self._api, row.run, after, follow=False)
            try:
                if await anext(source, None) is None:
                    return Answer(204, b"", [NO_STORE])
            finally:
                await source.aclose()
        return Stream(self._hub, lambda place: EventsFeed(self._hub, row.run, place), after)

    # --- decided ------------------------------------------------------------------------------------------------------

    async def cancel(self, request: Request) -> Answer:
        given = await request.json(shapes.CancelGiven)
        row = await self.row(request)
        await self._api.cancel(row.run, force=given.force)
        return Answer(202, b"", [NO_STORE])

    async def retry(self, request: Request) -> Answer:
        key = _key(request)
        given = await request.json(shapes.RetryGiven)
        row = await self.row(request)
        if key is not None:
            asked = retried(row.run, failed=given.failed, job=given.job, secrets=given.secrets)
            if (known := await self._api.accepted_as(key, asked)) is not None:
                return _accepted(known, 200)
        if row.live and given.job is None:
            raise _conflict(
                UserError(f"run {row.run} has not ended", hint="cancel it, or retry a held job of it")
            )
        run = await self._api.retry(
            row.run,
            failed=given.failed,
            job=given.job,
            secrets=given.secrets,
            idempotency_key=key,
            traceparent=request.header(b"traceparent"),
            tracestate=request.header(b"tracestate"),
        )
        return _accepted(run, 201)

    async def fail_job(self, request: Request) -> Answer:
        run, number = await self._held(request)
        await self._api.fail(run, job=number)
        return Answer(202, b"", [NO_STORE])

    async def retry_job(self, request: Request) -> Answer:
        run, number = await self._held(request)
        await self._api.retry(run, job=number)
        return Answer(202, b"", [NO_STORE])

    async def _held(self, request: Request) -> tuple[str, int]:
        row = await self.row(request)
        number = job_number(request)
        if not row.live:
            raise _conflict(UserError(f"run {row.run} has ended: {row.status}"))
        progress = Progress(row.run)
        async for event in self._api.events(row.run, follow=False):
            progress.apply(event)
        jobs = [job for job in (*progress.jobs.values(), *progress.calls.values()) if job.number == number]
        if not jobs:
            raise no_job(row.run, number)
        if jobs[0].status != "held":
            raise _conflict(UserError(f"job {jobs[0].name!r} is {jobs[0].status}, not held"))
        return row.run, number

    # --- artifacts ----------------------------------------------------------------------------------------------------

    async def artifacts(self, request: Request) -> Answer:
        row = await self.row(request)
        listed = await self._api.artifacts(row.run)
        return json(shapes.Artifacts([shapes.artifact(one) for one in listed]))

    async def artifact(self, request: Request) -> Answer:
        from relevo.server.zips import zipped

        row = await self.row(request)
        name = request.path_values[1]
        listed = await self._api.artifacts(row.run)
        if not any(one.name == name for one in listed):
            names = ", ".join(one.name for one in listed) or "none"
            raise Problem(
                404,
                f"run {row.run} has no artifact {name!r}",
                hint=f"its artifacts: {names}",
                kind="urn:relevo:not-found",
            )
        headers = [
            (b"content-type", b"application/zip"),
            (b"content-disposition", _attachment(f"{name}.zip")),
            NO_STORE,
        ]
        return Pieces(zipped(self._api.artifact(row.run, name)), headers)


def _accepted(run: str, status: int) -> Answer:
    return json(shapes.RunAccepted(run), status, (b"location", f"/api/v1/runs/{run}".encode()))


def _conflict(error: UserError) -> Problem:
    return Problem(409, error.message, hint=error.hint)


def no_job(run: str, number: int) -> Problem:
    """A run has no job of that number."""
    return Problem(
        404,
        f"run {run} has no job {number}",
        hint="jobs are numbered from 0, in the order in which the run got them",
        kind="urn:relevo:not-found",
    )


def job_number(request: Request) -> int:
    """The number of a job that a path names. Raises Problem 404."""
    text = request.path_values[1]
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise Problem(
            404,
            f"{text!r} is no number of a job",
            hint="jobs are numbered from 0, in the order in which the run got them",
            kind="urn:relevo:not-found",
        )
    return int(text)


def _key(request: Request) -> str | None:
    key = request.header(b"idempotency-key")
    if not key:
        return None
    if len(key) > KEY_LIMIT or not key.isprintable() or not key.isascii():
        raise Problem(400, f"Idempotency-Key: at most {KEY_LIMIT} printable ASCII characters")
    return key


def _check(given: shapes.RunGiven) -> None:
    """Refuse a tree that cannot be meant, and what no environment and no file name could hold. Raises Problem 400."""
    directory = given.directory
    if directory and not (os.path.isabs(directory) and os.path.isdir(directory)):
        raise Problem(
            400,
            f"directory: {directory} is no absolute path of a folder on the server's machine",
            hint="leave it out for a run that needs no working tree",
        )
    if directory and given.source is not None:
        raise Problem(400, "a run has a directory here or a source from elsewhere, not both")
    texts = [given.workflow.path, given.directory, given.event, *given.jobs]
    for pairs in (given.inputs, given.env, given.secrets):
        texts += [*pairs, *pairs.values()]
    for text in texts:
        if "\0" in text:
            raise Problem(400, "a text has a NUL character: no file name and no variable can have one")


def _place(text: str) -> Place:
    """SEQ (behind all of it) or SEQ.N. Raises ValueError."""
    seq, dot, n = text.partition(".")
    if not (
        text.isascii() and seq.isdigit() and len(seq) <= 16 and (not dot or (n.isdigit() and len(n) <= 9))
    ):
        raise ValueError(text)
    return Place(int(seq), int(n) if dot else ALL)


def _told(place: Place) -> str:
    return str(place.seq) if place.n >= ALL else str(place)


def _attachment(name: str) -> bytes:
    from urllib.parse import quote

    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._- ") else "_" for c in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}".encode()
