"""A home that no engine lives in, as far as it can be read: the reading part of `api.EngineApi`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, NoReturn

from relevo.assembly.home import Home
from relevo.assembly.reading import Reading
from relevo.domain.errors import UserError

if TYPE_CHECKING:
    from relevo.logs.blocking import Threads
    from relevo.logs.contract import LogFrame
    from relevo.orchestrator.api import (
        AgentView,
        LogLines,
        LogMatches,
        LogState,
        QueueView,
        RowChanges,
        Submission,
        Wait,
    )
    from relevo.protocol.artifacts import ListedArtifact
    from relevo.store.contract import EventStore, RunRow


class Offline:
    """Reads what is stored. Nothing is made or changed; what would need an engine raises UserError."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._store: EventStore | None = None
        self._threads: Threads | None = None
        self._reading: Reading | None = None

    async def open(self) -> None:
        """Open what there is. Raises UserError, NewerHome."""
        if not self._home.exists:
            return
        from relevo.logs.blocking import Threads
        from relevo.logs.store import FileLogStore
        from relevo.runtime.disk import OsDisk
        from relevo.store.sqlite.store import open_reader

        loop = asyncio.get_running_loop()
        self._store = open_reader(self._home.database, loop)
        self._threads = Threads(loop)
        logs = FileLogStore(OsDisk(), self._home.logs, loop, self._threads)
        self._reading = Reading(self._store, logs)

    async def close(self) -> None:
        """Let go of it. Idempotent."""
        if self._store is not None:
            await self._store.close()
        if self._threads is not None:
            self._threads.close()

    def _there(self) -> Reading:
        if self._reading is None:
            raise UserError(f"there is no run yet in {self._home.path}", hint="relevo run starts one")
        return self._reading

    def events(
        self, run: str, after: int = 0, *, follow: bool = True, past_holds: bool = False
    ) -> AsyncIterator[dict[str, Any]]:
        """See EngineApi.events; nothing is followed."""
        return self._there().events(run, after, follow=False)

    def log(
        self, run: str, job: str | int, *, attempt: int | None = None, start: int = 0, follow: bool = False
    ) -> AsyncIterator[LogFrame]:
        """See EngineApi.log; nothing is followed."""
        return self._there().log(run, job, attempt=attempt, start=start)

    async def log_state(self, run: str, job: str | int, *, attempt: int | None = None) -> LogState:
        """See EngineApi.log_state."""
        return await self._there().log_state(run, job, attempt=attempt)

    async def log_lines(self, run: str, job: str | int, **asked: Any) -> LogLines:
        """See EngineApi.log_lines."""
        return await self._there().log_lines(run, job, **asked)

    async def log_search(self, run: str, job: str | int, **asked: Any) -> LogMatches:
        """See EngineApi.log_search."""
        return await self._there().log_search(run, job, **asked)

    async def accepted_as(self, key: str, asked: str = "") -> str | None:
        """See EngineApi.accepted_as."""
        return None if self._reading is None else await self._reading.accepted_as(key, asked)

    async def runs(
        self, *, live: bool | None = None, limit: int = 50, before: str | None = None
    ) -> list[RunRow]:
        """See EngineApi.runs."""
        if self._reading is None:
            return []
        return await self._reading.runs(live=live, limit=limit, before=before)

    def rows(self, after: int | None = None) -> AsyncIterator[RowChanges]:
        """Nothing changes."""
        return self._there().rows(after)

    async def artifacts(self, run: str) -> list[ListedArtifact]:
        """See EngineApi.artifacts."""
        return await self._there().artifacts(run)

    def artifact(self, run: str, name: str) -> AsyncIterator[bytes]:
        """See EngineApi.artifact."""
        _needs_engine()

    async def workers(self) -> list[AgentView]:
        """None live."""
        return []

    async def queue(self, *, limit: int = 100) -> QueueView:
        """See EngineApi.queue."""
        _needs_engine()

    async def why(self, run: str, job: str | None = None) -> list[Wait]:
        """See EngineApi.why."""
        return await self._there().why(run, job)

    async def find(self, prefix: str) -> RunRow:
        """See EngineApi.find."""
        return await self._there().find(prefix)

    async def actors(self) -> list[dict[str, Any]]:
        """None live."""
        return []

    async def metrics(self) -> str:
        """Nobody counts."""
        raise UserError(
            "no engine lives here", hint="`relevo run` and `relevo resume` are engines while they run"
        )

    async def submit(self, submission: Submission) -> str:
        _needs_engine()

    async def cancel(self, run: str, *, force: bool = False) -> None:
        _needs_engine()

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
        _needs_engine()

    async def fail(self, run: str, *, job: str | int) -> None:
        _needs_engine()

    async def drain(self, agent: str, *, reason: str = "") -> None:
        _needs_engine()

    async def undrain(self, agent: str) -> None:
        _needs_engine()

    async def delivered(self, run: str) -> None:
        _needs_engine()

    async def prune(
        self,
        *,
        keep_days: float | None = None,
        keep_runs: int | None = None,
        max_bytes: int | None = None,
        max_cache_bytes: int | None = None,
        dry: bool = False,
    ) -> dict[str, Any]:
        _needs_engine()

    async def ping(self) -> dict[str, Any]:
        _needs_engine()


def _needs_engine() -> NoReturn:
    raise UserError("no engine lives in this home", hint="relevo resume starts one")
