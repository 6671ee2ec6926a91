"""One engine to talk to, whoever it is just now.

The living engine of the home is used; where there is none, this process becomes it. When it goes, or takes over from
us, the same is done again, and streams go on where they were: nobody who follows a run notices.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from relevo.assembly.embedded import Embedded, attach
from relevo.assembly.home import Home
from relevo.domain.errors import RelevoError, UserError

if TYPE_CHECKING:
    from relevo.assembly.client import Client
    from relevo.logs.contract import LogFrame
    from relevo.orchestrator.api import (
        AgentView,
        EngineApi,
        LogLines,
        LogMatches,
        LogState,
        QueueView,
        RowChanges,
        Submission,
        Wait,
    )
    from relevo.protocol.artifacts import ListedArtifact
    from relevo.store.contract import RunRow

T = TypeVar("T")


class Relay:
    """See the module. An `api.EngineApi` whose calls outlive the engine that they began with."""

    def __init__(
        self,
        home: Home,
        *,
        slots: int | None = None,
        provider: str = "process",
        engine: Embedded | None = None,
    ) -> None:
        """`engine`: this process is one already."""
        self._home = home
        self._slots = slots
        self._provider = provider
        self._api: EngineApi | None = None if engine is None else engine.api
        self._embedded: Embedded | None = engine
        self._client: Client | None = None
        self._attaching = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        if engine is not None:
            self._watch(engine)

    def _watch(self, embedded: Embedded) -> None:
        self._watching = asyncio.get_running_loop().create_task(_leave_when_taken_over(embedded))

    @property
    def embedded(self) -> Embedded | None:
        """The engine of this process, if it is one just now."""
        return self._embedded

    async def attached(self) -> bool:
        """Have an engine; whether it is this process."""
        await self._current()
        return self._embedded is not None

    async def left(self) -> None:
        """Returns when the engine that is used now has gone, or was replaced."""
        if self._embedded is not None:
            await self._embedded.taken_over.wait()
        elif self._client is not None:
            await self._client.left.wait()

    async def close(self) -> None:
        """Leave. Runs go on as far as they can without us. Idempotent."""
        self._api = None
        watching, self._watching = self._watching, None
        embedded, self._embedded = self._embedded, None
        client, self._client = self._client, None
        if client is not None:
            client.close()
        if watching is not None and embedded is not None:
            if embedded.taken_over.is_set():
                await asyncio.shield(watching)  # it is closing that engine, and is not to be cut short
            else:
                watching.cancel()
        if embedded is not None:
            await asyncio.shield(embedded.close())

    async def _current(self) -> EngineApi:
        async with self._attaching:
            embedded = self._embedded
            if embedded is not None and embedded.taken_over.is_set():
                await self.close()
            if self._client is not None and self._client.gone:
                await self.close()
            if self._api is None:
                self._api, self._embedded, self._client = await self._attach()
                if self._embedded is not None:
                    self._watch(self._embedded)
            return self._api

    async def _attach(self) -> tuple[EngineApi, Embedded | None, Client | None]:
        return await attach(self._home, slots=self._slots, provider=self._provider)

    async def _ask(self, call: Callable[[EngineApi], Awaitable[T]]) -> T:
        while True:
            api = await self._current()
            try:
                return await call(api)
            except RelevoError:
                if not self._was_left(api):
                    raise

    async def submit(self, submission: Submission) -> str:
        if submission.idempotency_key is not None:
            return await self._ask(lambda api: api.submit(submission))
        from msgspec.structs import replace

        # An engine may die between the commit and its answer: asked again, the next one knows the run. One of this process is
        # given its id, which costs nothing; another a key, which it stores.
        own = None if self._embedded is None else self._embedded.api
        run = "" if own is None else await own.new_id()
        keyed = replace(submission, run=run, idempotency_key=run or os.urandom(16).hex())

        async def ask(api: EngineApi) -> str:
            if api is own:
                return await api.submit(replace(submission, run=run))
            if run and await _has(api, run):
                return run
            return await api.submit(keyed)

        return await self._ask(ask)

    async def events(
        self, run: str, after: int = 0, *, follow: bool = True, past_holds: bool = False
    ) -> AsyncIterator[dict[str, Any]]:
        reached = after
        told = 0  # events of the append `reached` that were handed out
        while True:
            api = await self._current()
            skip = told
            start = max(0, reached - 1) if told else reached
            if past_holds:
                source = api.events(run, start, follow=follow, past_holds=True)
            else:
                source = api.events(run, start, follow=follow)
            try:
                async for event in source:
                    sequence = event["seq"]
                    if sequence == reached and skip:
                        skip -= 1
                        continue
                    told = told + 1 if sequence == reached else 1
                    reached = sequence
                    yield event
                    if event["event"] == "run.finished":
                        return
            except RelevoError:
                if not self._was_left(api):
                    raise
                continue
            finally:
                await source.aclose()  # type: ignore[attr-defined]  # all sources are generators
            if not follow or not self._was_left(api):
                return

    def _was_left(self, api: EngineApi) -> bool:
        """Whether something ended because the engine behind `api` did. Somebody else may have gone to the next one by now."""
        if api is not self._api:
            return True
        return (self._embedded is not None and self._embedded.taken_over.is_set()) or (
            self._client is not None and self._client.gone
        )

    async def log(
        self,
        run: str,
        job: str | int,
        *,
        attempt: int | None = None,
        start: int = 0,
        follow: bool = False,
    ) -> AsyncIterator[LogFrame]:
        while True:
            api = await self._current()
            source = api.log(run, job, attempt=attempt, start=start, follow=follow)
            try:
                async for frame in source:
                    start = frame.offset + len(frame.data)
                    yield frame
            except RelevoError:
                if not self._was_left(api):
                    raise
                continue
            finally:
                await source.aclose()  # type: ignore[attr-defined]  # all sources are generators
            if not follow or not self._was_left(api):
                return

    async def log_state(self, run: str, job: str | int, *, attempt: int | None = None) -> LogState:
        return await self._ask(lambda api: api.log_state(run, job, attempt=attempt))

    async def log_lines(self, run: str, job: str | int, **asked: Any) -> LogLines:
        return await self._ask(lambda api: api.log_lines(run, job, **asked))

    async def log_search(self, run: str, job: str | int, **asked: Any) -> LogMatches:
        return await self._ask(lambda api: api.log_search(run, job, **asked))

    async def accepted_as(self, key: str, asked: str = "") -> str | None:
        return await self._ask(lambda api: api.accepted_as(key, asked))

    async def rows(self, after: int | None = None) -> AsyncIterator[RowChanges]:
        while True:
            api = await self._current()
            source = api.rows(after)
            try:
                async for changes in source:
                    after = changes.sequence
                    yield changes
            except RelevoError:
                if not self._was_left(api):
                    raise
                continue
            finally:
                await source.aclose()  # type: ignore[attr-defined]  # all sources are generators
            if not self._was_left(api):
                return

    async def artifacts(self, run: str) -> list[ListedArtifact]:
        return await self._ask(lambda api: api.artifacts(run))

    async def artifact(self, run: str, name: str) -> AsyncIterator[bytes]:
        # Not begun anew with the next engine: who has a part of it asks again.
        async for piece in (await self._current()).artifact(run, name):
            yield piece

    async def workers(self) -> list[AgentView]:
        return await self._ask(lambda api: api.workers())

    async def queue(self, *, limit: int = 100) -> QueueView:
        return await self._ask(lambda api: api.queue(limit=limit))

    async def cancel(self, run: str, *, force: bool = False) -> None:
        await self._ask(lambda api: api.cancel(run, force=force))

    async def retry(
        self,
        run: str,
        *,
        failed: bool = False,
        job: str | int | None = None,
        secrets: dict[str, str] | None = None,
        idempotency_key: str | None = None,
        traceparent: str = "",
        tracestate: str = "",
    ) -> str:
        trace = {"traceparent": traceparent, "tracestate": tracestate} if traceparent else {}
        key = idempotency_key or os.urandom(16).hex()  # asked again of the next engine, it is the same retry
        return await self._ask(
            lambda api: api.retry(run, failed=failed, job=job, secrets=secrets, idempotency_key=key, **trace)
        )

    async def fail(self, run: str, *, job: str | int) -> None:
        await self._ask(lambda api: api.fail(run, job=job))

    async def drain(self, agent: str, *, reason: str = "") -> None:
        await self._ask(lambda api: api.drain(agent, reason=reason))

    async def undrain(self, agent: str) -> None:
        await self._ask(lambda api: api.undrain(agent))

    async def delivered(self, run: str) -> None:
        await self._ask(lambda api: api.delivered(run))

    async def runs(
        self, *, live: bool | None = None, limit: int = 50, before: str | None = None
    ) -> list[RunRow]:
        return await self._ask(lambda api: api.runs(live=live, limit=limit, before=before))

    async def why(self, run: str, job: str | None = None) -> list[Wait]:
        return await self._ask(lambda api: api.why(run, job))

    async def find(self, prefix: str) -> RunRow:
        return await self._ask(lambda api: api.find(prefix))

    async def prune(self, **limits: Any) -> dict[str, Any]:
        return await self._ask(lambda api: api.prune(**limits))

    async def ping(self) -> dict[str, Any]:
        return await self._ask(lambda api: api.ping())

    async def actors(self) -> list[dict[str, Any]]:
        return await self._ask(lambda api: api.actors())

    async def metrics(self) -> str:
        return await self._ask(lambda api: api.metrics())


async def _has(api: EngineApi, run: str) -> bool:
    try:
        return (await api.find(run)).run == run
    except UserError:
        return False


async def _leave_when_taken_over(embedded: Embedded) -> None:
    """End the streams of an engine that is none any more: who reads them goes on with the next one."""
    await embedded.taken_over.wait()
    await embedded.close()


@asynccontextmanager
async def open_engine(
    home: str,
    *,
    jobs: int | None = None,
    provider: str = "process",
) -> AsyncIterator[EngineApi]:
    """An engine of a home that can do everything: the living one, else this process. `jobs`: how many run at a time."""
    relay = Relay(Home(home), slots=jobs, provider=provider)
    try:
        yield relay
    finally:
        await relay.close()
