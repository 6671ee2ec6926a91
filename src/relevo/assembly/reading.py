"""What can be told from store and logs alone, with an engine or without one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from relevo.bus.contract import Bus, Lagged
from relevo.domain import events as e
from relevo.domain.errors import DamagedError, UserError
from relevo.domain.evolution import evolve
from relevo.domain.ids import AttemptKey
from relevo.domain.run import Job, Run
from relevo.domain.states import AT_AGENT
from relevo.domain.stored import Stored
from relevo.logs.contract import LogFrame, LogStore
from relevo.orchestrator.public import Projection, resolved
from relevo.store.contract import EventStore, RunRow


class Reading:
    """The reading half of `api.EngineApi`. Without a bus nothing is followed: streams end with what is stored."""

    def __init__(self, store: EventStore, logs: LogStore, bus: Bus | None = None) -> None:
        self._store = store
        self._logs = logs
        self._bus = bus

    async def events(self, run: str, after: int = 0, *, follow: bool = True) -> AsyncIterator[dict[str, Any]]:
        """See EngineApi.events."""
        projection = Projection()
        version = 0
        over = False
        live = self._bus.subscribe(run) if follow and self._bus is not None else None
        try:
            for stored in await self._store.read(run):
                version = stored.version
                for event in projection.project(stored):
                    over = ends(event["event"], over)
                    if stored.sequence > after:
                        yield await resolved(event, self._store.fact)
            if not version:
                raise UserError(f"there is no run {run}", hint="relevo runs lists them")
            if live is None or over:
                return
            async for heard in live:
                for stored in await self._missing(run, version, heard):
                    version = stored.version
                    for event in projection.project(stored):
                        over = ends(event["event"], over)
                        yield await resolved(event, self._store.fact)
                if over:
                    return
        finally:
            if live is not None:
                await live.aclose()  # type: ignore[attr-defined]  # subscriptions are closed, as the contract asks

    async def _missing(self, run: str, version: int, heard: Stored | Lagged) -> list[Stored]:
        """What came after `version`, up to what was heard: from the bus where it is next, else from the store."""
        if isinstance(heard, Stored):
            if heard.version == version + 1:
                return [heard]
            if heard.version <= version:
                return []
        return list(await self._store.read(run, version))

    async def state(self, run: str) -> Run:
        """A run as its events tell it. Raises UserError when there is none."""
        return (await self._replayed(run))[0]

    async def _replayed(self, run: str) -> tuple[Run, dict[tuple[int, int], int]]:
        """A run, and the bytes of log that were accepted with the ends of its attempts, by job and number."""
        found = Run()
        logs: dict[tuple[int, int], int] = {}
        for stored in await self._store.read(run):
            for event in e.decode(stored.events):
                evolve(found, event)
                if isinstance(event, e.AttemptEnded) and event.result != "lost":
                    logs[event.job, event.number] = event.log_size
            found.version = stored.version
        if found.accepted is None:
            raise UserError(f"there is no run {run}", hint="relevo runs lists them")
        return found, logs

    async def log(
        self,
        run: str,
        job: str,
        *,
        attempt: int | None = None,
        start: int = 0,
        follow: bool = False,
    ) -> AsyncIterator[LogFrame]:
        """See EngineApi.log."""
        state, accepted = await self._replayed(run)
        found = job_named(state, job)
        if found.decl.calls:
            names = [known.decl.name for known in state.jobs if known.decl.name.startswith(f"{job} / ")]
            hint = f"its jobs: {', '.join(names[:20])}" if names else None
            raise UserError(f"job {job!r} only calls {found.decl.calls}: it has no log of its own", hint=hint)
        number = attempt if attempt is not None else found.number
        if number < 1 or number > found.number:
            if attempt is None:
                return
            raise UserError(f"job {job!r} has no attempt {number}", hint=f"it had {found.number}")
        key = AttemptKey(run, found.index, number)
        goes_on = number == found.number and found.status in AT_AGENT
        if follow and self._bus is not None and goes_on:
            async for frame in self._logs.follow(key, start):
                yield frame
            return
        reached = start
        for frame in self._logs.frames(key, start):
            reached = frame.offset + len(frame.data)
            yield frame
        promised = accepted.get((found.index, number), 0)
        if reached < promised:
            raise DamagedError(
                f"the log of job {job!r} of run {run} holds {reached} of {promised} bytes",
                where=f"logs/{run}",
            )

    async def runs(self, *, live: bool | None = None, limit: int = 50) -> list[RunRow]:
        """Newest first."""
        return list(await self._store.runs(live=live, limit=limit))

    async def find(self, prefix: str) -> RunRow:
        """See EngineApi.find."""
        if prefix in ("latest", ""):
            newest = await self._store.runs(limit=1)
            if not newest:
                raise UserError("there is no run yet", hint="relevo run starts one")
            return newest[0]
        row = await self._store.run(prefix)
        if row is not None:
            return row
        matching = [known for known in await self._store.runs(limit=10_000) if known.run.startswith(prefix)]
        if len(matching) == 1:
            return matching[0]
        if not matching:
            raise UserError(f"there is no run {prefix}", hint="relevo runs lists them")
        some = ", ".join(known.run for known in matching[:5])
        raise UserError(
            f"{prefix} is the beginning of {len(matching)} runs", hint=f"write more of it: {some}"
        )


def job_named(run: Run, name: str) -> Job:
    """A job of a run by its id. Raises UserError that names those there are."""
    found = next((known for known in run.jobs if known.decl.name == name), None)
    if found is None:
        names = ", ".join(known.decl.name for known in run.jobs[:20]) or "none so far"
        raise UserError(f"run {run.id} has no job {name!r}", hint=f"its jobs: {names}")
    return found


def ends(kind: str, over: bool) -> bool:
    """Whether nothing goes on by itself after an event of this kind, given whether that was so before it."""
    if kind in ("run.finished", "run.held"):
        return True
    return over and kind != "run.released"
