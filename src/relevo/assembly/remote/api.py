"""Everything that a user can ask, asked of a server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec

from relevo.assembly.remote.link import ACCEPT_S, LONGEST_PAUSE_S, PAUSE_S, BlobsMissing, Link, Lost
from relevo.domain.errors import UserError
from relevo.logs.contract import LogFrame
from relevo.orchestrator.api import Wait
from relevo.protocol.framing import FrameReader
from relevo.protocol.http_api import LOG_END
from relevo.store.contract import RunRow

if TYPE_CHECKING:
    from relevo.orchestrator.api import Submission

#: Rows and events of one answer.
PAGE: Final = 500
#: How often what was uploaded may be gone before it could be used.
UPLOADS: Final = 3

_frame = msgspec.msgpack.Decoder(tuple[int, int, int, bytes])


class RemoteApi:
    """`api.UserApi` of the server behind a link."""

    def __init__(self, link: Link, uploading: Callable[[int], None] = lambda size: None) -> None:
        """`uploading`: called with the bytes that are about to be uploaded."""
        self._link = link
        self._uploading = uploading

    # --- submitting -----------------------------------------------------------------------------------------------

    async def submit(self, submission: Submission) -> str:
        """See UserApi.submit: what it needs of the working tree is read here, and sent."""
        from relevo.assembly.gathering import gather
        from relevo.assembly.remote.sending import Uploads

        key = submission.idempotency_key or os.urandom(16).hex()
        tree = submission.directory or os.getcwd()
        for times in range(UPLOADS):
            told = submission
            if submission.source is None:
                uploads = Uploads(self._link, tree, fresh=times > 0, told=self._uploading)
                told = await gather(submission, uploads)
            try:
                answer = await self._link.post(
                    "/runs",
                    _body(told),
                    key=key,
                    traceparent=told.traceparent,
                    tracestate=told.tracestate,
                    answer_s=ACCEPT_S,
                )
                return str(answer["run"])
            except BlobsMissing:
                if submission.source is not None or times == UPLOADS - 1:
                    raise
        raise AssertionError

    # --- following ------------------------------------------------------------------------------------------------

    async def events(
        self, run: str, after: int = 0, *, follow: bool = True, past_holds: bool = False
    ) -> AsyncIterator[dict[str, Any]]:
        """See UserApi.events."""
        if not follow or not await self._goes_on(run, past_holds):
            async for event in self._events_so_far(run, after):
                yield event
            return
        position: str | None = None
        pause = 0.0
        while True:
            headers = {"accept": "text/event-stream"}
            if position is not None:
                headers["last-event-id"] = position
            try:
                async with self._link.stream(
                    f"/runs/{quote(run)}/events", headers=headers, after=after
                ) as pieces:
                    async for identity, data in _server_sent(pieces):
                        event = msgspec.json.decode(data)
                        position, pause = identity, 0.0
                        yield event
                        if event["event"] == "run.finished":
                            return
                        # The stream goes on past a hold, also one of long ago.
                        if event["event"] == "run.held" and not await self._goes_on(run, past_holds):
                            return
                if not await self._goes_on(run, past_holds):
                    return
            except Lost:
                await self._link.there_again()
            pause = await _rest(pause)

    async def _events_so_far(self, run: str, after: int) -> AsyncIterator[dict[str, Any]]:
        behind = str(after)
        while True:
            page = await self._link.get(f"/runs/{quote(run)}/events", after=behind, limit=PAGE)
            for event in page["items"]:
                yield event
            if page["next"] is None or len(page["items"]) < PAGE:
                return
            behind = page["next"]

    async def _goes_on(self, run: str, past_holds: bool) -> bool:
        """Whether more is to come of a run. (A stream that ends says nothing: a server that leaves ends them all.)"""
        row = await self.find(run)
        return row.live and (past_holds or row.status != "held")

    async def log(
        self,
        run: str,
        job: str,
        *,
        attempt: int | None = None,
        start: int = 0,
        follow: bool = False,
    ) -> AsyncIterator[LogFrame]:
        """See UserApi.log."""
        pause = 0.0
        while True:
            asked: dict[str, Any] = {"job": job, "attempt": attempt, "start": start, "follow": follow}
            reader = FrameReader()
            try:
                async with self._link.stream(f"/runs/{quote(run)}/log/frames", **asked) as pieces:
                    async for piece in pieces:
                        for payload in reader.feed(piece):
                            if not payload:
                                continue  # it only shows that it is there
                            frame = LogFrame(*_frame.decode(payload))
                            if frame.step == LOG_END:
                                return
                            start = frame.offset + len(frame.data)
                            pause = 0.0
                            yield frame
            except Lost:
                await self._link.there_again()
            pause = await _rest(pause)

    # --- asking ---------------------------------------------------------------------------------------------------

    async def find(self, prefix: str) -> RunRow:
        """See UserApi.find."""
        return msgspec.convert(
            await self._link.get(f"/runs/{quote(prefix or 'latest', safe='')}/row"), RunRow
        )

    async def runs(self, *, live: bool | None = None, limit: int = 50) -> list[RunRow]:
        """See UserApi.runs."""
        found: list[RunRow] = []
        cursor: str | None = None
        while True:
            page = await self._link.get(
                "/runs", live=live, limit=min(PAGE, limit - len(found)), cursor=cursor
            )
            found += msgspec.convert(page["items"], list[RunRow])
            cursor = page["next"]
            if cursor is None or len(found) >= limit:
                return found

    async def why(self, run: str, job: str | None = None) -> list[Wait]:
        """See UserApi.why."""
        told = await self._link.get(f"/runs/{quote(run)}/why", job=job)
        return msgspec.convert(told["waits"], list[Wait])

    async def ping(self) -> dict[str, Any]:
        """See UserApi.ping."""
        return dict(await self._link.get("/server"))

    async def actors(self) -> list[dict[str, Any]]:
        """See UserApi.actors."""
        return list((await self._link.get("/actors"))["actors"])

    async def metrics(self) -> str:
        """See UserApi.metrics."""
        return await self._link.text("/metrics")

    # --- deciding -------------------------------------------------------------------------------------------------

    async def cancel(self, run: str, *, force: bool = False) -> None:
        """See UserApi.cancel."""
        await self._link.post(f"/runs/{quote(run)}/cancel", {"force": force})

    async def retry(
        self,
        run: str,
        *,
        failed: bool = False,
        job: str | None = None,
        secrets: dict[str, str] | None = None,
        idempotency_key: str | None = None,
        traceparent: str = "",
        tracestate: str = "",
    ) -> str:
        """See UserApi.retry."""
        body = {"failed": failed, "job": job, "secrets": secrets or {}}
        key = idempotency_key or os.urandom(16).hex()
        # A held job that was retried already is held no more: asked again, that would look like a mistake.
        answer = await self._link.post(
            f"/runs/{quote(run)}/retry",
            body,
            key=key,
            repeatable=job is None,
            traceparent=traceparent,
            tracestate=tracestate,
        )
        return str(answer["run"])

    async def fail(self, run: str, *, job: str) -> None:
        """See UserApi.fail."""
        jobs = (await self._link.get(f"/runs/{quote(run)}"))["jobs"]
        number = next((known["number"] for known in jobs if known["name"] == job), None)
        if number is None:
            names = ", ".join(known["name"] for known in jobs[:20]) or "none so far"
            raise UserError(f"run {run} has no job {job!r}", hint=f"its jobs: {names}")
        await self._link.post(f"/runs/{quote(run)}/jobs/{number}/fail", repeatable=False)

    async def drain(self, agent: str, *, reason: str = "") -> None:
        """See UserApi.drain."""
        await self._link.post(f"/workers/{quote(agent)}/drain", {"reason": reason})

    async def undrain(self, agent: str) -> None:
        """See UserApi.undrain."""
        await self._link.post(f"/workers/{quote(agent)}/undrain")

    async def delivered(self, run: str) -> None:
        """See UserApi.delivered."""
        await self._link.post(f"/runs/{quote(run)}/delivered")

    async def prune(self, **limits: Any) -> dict[str, Any]:
        """Not from here: what a server keeps is for whoever keeps the server."""
        raise UserError(
            f"what {self._link.url} keeps is not removed from elsewhere",
            hint="relevo prune works where the server's RELEVO_HOME is; without RELEVO_SERVER it is about the home here",
        )


def _body(submission: Submission) -> dict[str, Any]:
    """A submission as POST /runs takes it."""
    return {
        "workflow": {"path": submission.workflow_path, "text": submission.workflow_text.decode()},
        "source": submission.source,
        "event": submission.event,
        "inputs": submission.inputs,
        "env": submission.env,
        "secrets": submission.secrets,
        "jobs": submission.jobs,
        "committed": submission.committed,
        "skip_unmatched": submission.skip_unmatched,
        "keep": submission.keep,
    }


async def _server_sent(pieces: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, bytes]]:
    """Ids and data of a stream of server-sent events, each once it is whole (https://html.spec.whatwg.org, 9.2)."""
    held = b""
    identity = ""
    data: list[bytes] = []
    async for piece in pieces:
        *lines, held = (held + piece).split(b"\n")
        for line in lines:
            line = line.removesuffix(b"\r")
            if not line:
                if data:
                    yield identity, b"\n".join(data)
                data = []
                continue
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if name == b"data":
                data.append(value)
            elif name == b"id":
                identity = value.decode("utf-8", "replace")


async def _rest(pause: float) -> float:
    """Wait before a stream is asked for again that brought nothing; returns how long to wait the next time."""
    if pause:
        await asyncio.sleep(pause)
    return min(LONGEST_PAUSE_S, pause * 2 or PAUSE_S)


@asynccontextmanager
async def open_remote(
    url: str, token: str | None, uploading: Callable[[int], None] = lambda size: None
) -> AsyncIterator[RemoteApi]:
    """What the server at `url` offers; `uploading`: see RemoteApi. Raises UserError when there is none that this program can speak with."""
    link = Link(url, token)
    try:
        await link.meet()
        yield RemoteApi(link, uploading)
    finally:
        await link.close()
