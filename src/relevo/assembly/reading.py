"""What can be told from store and logs alone, with an engine or without one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from relevo.assembly.replays import INLINE_BYTES, Replays
from relevo.bus.contract import Bus, Lagged
from relevo.domain.errors import DamagedError, UserError
from relevo.domain.ids import AttemptKey
from relevo.domain.run import Job, Run
from relevo.domain.states import AT_AGENT, JOB_ENDS
from relevo.domain.stored import Stored
from relevo.logs.contract import LogFrame, LogStore
from relevo.orchestrator.public import Projection, resolved
from relevo.store.contract import EventStore, RunRow

if TYPE_CHECKING:
    from relevo.orchestrator.api import LogLines, LogMatches, LogState, RowChanges, Wait
    from relevo.orchestrator.why import Scene
    from relevo.protocol.artifacts import ListedArtifact

#: What changes within this time is told together.
ROWS_EVERY_S: Final = 0.05
#: Rows that are told at a time, and appends that are looked through for one who was away; beyond, the list is read again.
MOST_ROWS: Final = 500
MOST_MISSED: Final = 5_000
#: Bytes of stored events that are told at a time: a few hundred events.
PART_BYTES: Final = 32 << 10
#: Events that are told before others have their turn.
EVENTS_AT_ONCE: Final = 500


class Reading:
    """The reading half of `api.EngineApi`. Without a bus nothing is followed: streams end with what is stored."""

    def __init__(self, store: EventStore, logs: LogStore, bus: Bus | None = None) -> None:
        self._store = store
        self._logs = logs
        self._bus = bus
        self._replays = Replays(store)

    async def events(
        self, run: str, after: int = 0, *, follow: bool = True, past_holds: bool = False
    ) -> AsyncIterator[dict[str, Any]]:
        """See EngineApi.events."""
        projection = Projection()
        version = 0
        over = False
        ends = _finished if past_holds else until_held
        live = self._bus.subscribe(run) if follow and self._bus is not None else None
        try:
            for part in _parts(await self._store.read(run)):
                version = part[-1].version
                for number, event in enumerate(await _projected(projection, part), 1):
                    if number % EVENTS_AT_ONCE == 0:
                        await asyncio.sleep(0)  # one append may hold thousands
                    over = ends(event["event"], over)
                    if event["seq"] > after:
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
        return (await self._replays.get(run))[0]

    async def log(
        self,
        run: str,
        job: str | int,
        *,
        attempt: int | None = None,
        start: int = 0,
        follow: bool = False,
    ) -> AsyncIterator[LogFrame]:
        """See EngineApi.log."""
        state, accepted = await self._replays.get(run)
        key, goes_on = _attempt(state, job, attempt)
        if not key.number:
            return
        found = state.jobs[key.job]
        number = key.number
        if follow and self._bus is not None and goes_on:
            async for frame in self._logs.follow(key, start):
                yield frame
            return
        # Before it is read: what is accepted meanwhile is not in what this reads.
        promised = accepted.get((found.index, number), 0)
        reached = start
        for frame in self._logs.frames(key, start):
            reached = frame.offset + len(frame.data)
            yield frame
        if reached < promised:
            raise DamagedError(
                f"the log of job {found.decl.name!r} of run {run} holds {reached} of {promised} bytes",
                where=f"logs/{run}",
            )

    async def log_state(self, run: str, job: str | int, *, attempt: int | None = None) -> LogState:
        """See EngineApi.log_state."""
        from relevo.assembly import log_pages

        key, goes_on = _attempt(await self.state(run), job, attempt)
        return await asyncio.to_thread(log_pages.state, self._logs, key, complete=not goes_on)

    async def log_lines(
        self, run: str, job: str | int, *, attempt: int | None = None, first: int = 0, count: int = 1_000
    ) -> LogLines:
        """See EngineApi.log_lines."""
        from relevo.assembly import log_pages

        key, goes_on = _attempt(await self.state(run), job, attempt)
        return await asyncio.to_thread(log_pages.lines, self._logs, key, first, count, complete=not goes_on)

    async def log_search(
        self,
        run: str,
        job: str | int,
        *,
        text: str,
        attempt: int | None = None,
        first: int = 0,
        limit: int = 100,
    ) -> LogMatches:
        """See EngineApi.log_search."""
        from relevo.assembly import log_pages

        if not text or "\n" in text or limit < 1:
            raise UserError("what is looked for is a text within one line, and at least one match of it")
        key, _ = _attempt(await self.state(run), job, attempt)
        return await asyncio.to_thread(log_pages.search, self._logs, key, text, max(0, first), limit)

    async def artifacts(self, run: str) -> list[ListedArtifact]:
        """See EngineApi.artifacts."""
        from relevo.orchestrator.artifacts import artifacts_of

        if await self._store.run(run) is None:
            raise UserError(f"there is no run {run}", hint="relevo runs lists them")
        return sorted((await artifacts_of(self._store, run)).values(), key=lambda one: one.name)

    async def accepted_as(self, key: str, asked: str = "") -> str | None:
        """See EngineApi.accepted_as."""
        from relevo.orchestrator import keys

        found = await self._store.fact(keys.PREFIX + key)
        return None if found is None else keys.same(key, found, asked)

    async def rows(self, after: int | None = None) -> AsyncIterator[RowChanges]:
        """See EngineApi.rows."""
        from relevo.orchestrator.api import RowChanges

        live = self._bus.subscribe() if self._bus is not None else None
        try:
            reached = self._store.sequence
            missed = None if after is None else await self._changed(after)
            if missed is None:
                yield RowChanges(reached, [], reset=after is not None)
            else:
                yield RowChanges(reached, await self._rows_of(missed))
            if live is None:
                return
            while True:
                heard = await anext(live, None)
                if heard is None:
                    return
                await asyncio.sleep(ROWS_EVERY_S)
                changed: dict[str, None] = {}
                lagged = False
                for one in (heard, *live.waiting()):  # type: ignore[attr-defined]  # of the bus of this process
                    if isinstance(one, Lagged):
                        lagged = True
                    elif one.sequence > reached:
                        changed[one.stream] = None
                        reached = one.sequence
                if lagged or len(changed) > MOST_ROWS:
                    reached = max(reached, self._store.sequence)
                    yield RowChanges(reached, [], reset=True)
                elif changed:
                    yield RowChanges(reached, await self._rows_of(changed))
        finally:
            if live is not None:
                await live.aclose()  # type: ignore[attr-defined]  # subscriptions are closed, as the contract asks

    async def _changed(self, after: int) -> dict[str, None] | None:
        """Runs that changed after a sequence; None: too many to tell."""
        if not 0 <= self._store.sequence - after <= MOST_MISSED:
            return None
        changed: dict[str, None] = {}
        async for batch in self._store.scan(after):
            changed.update(dict.fromkeys(stored.stream for stored in batch))
        return changed if len(changed) <= MOST_ROWS else None

    async def _rows_of(self, changed: dict[str, None]) -> list[RunRow]:
        rows = [await self._store.run(run) for run in changed]
        return [row for row in rows if row is not None]

    async def runs(
        self, *, live: bool | None = None, limit: int = 50, before: str | None = None
    ) -> list[RunRow]:
        """Newest first."""
        return list(await self._store.runs(live=live, limit=limit, before=before))

    async def why(self, run: str, job: str | None = None) -> list[Wait]:
        """See EngineApi.why; without an engine that could tell more."""
        from relevo.orchestrator.why import Scene

        return waits(Scene(engine=False), await self.state(run), job)

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


def _parts(history: Sequence[Stored]) -> Iterator[Sequence[Stored]]:
    """A history in parts, each of which takes some milliseconds."""
    start = size = 0
    for index, stored in enumerate(history):
        size += len(stored.events)
        if size > PART_BYTES or index == len(history) - 1:
            yield history[start : index + 1]
            start, size = index + 1, 0


async def _projected(projection: Projection, part: Sequence[Stored]) -> Iterable[dict[str, Any]]:
    """The public events of a part: in a thread, unless they are few."""
    if sum(len(stored.events) for stored in part) > INLINE_BYTES:
        return await asyncio.to_thread(_project, projection, part)
    return _project(projection, part)


def _project(projection: Projection, part: Sequence[Stored]) -> list[dict[str, Any]]:
    return [event for stored in part for event in projection.project(stored)]


def _attempt(run: Run, job: str | int, attempt: int | None) -> tuple[AttemptKey, bool]:
    """An attempt of a job, number 0 when there is none so far, and whether its log may go on. Raises UserError."""
    found = job_named(run, job)
    name = found.decl.name
    if found.decl.calls:
        names = [known.decl.name for known in run.jobs if known.decl.name.startswith(f"{name} / ")]
        hint = f"its jobs: {', '.join(names[:20])}" if names else None
        raise UserError(f"job {name!r} only calls {found.decl.calls}: it has no log of its own", hint=hint)
    number = attempt if attempt is not None else found.number
    if attempt is not None and not 1 <= number <= found.number:
        raise UserError(f"job {name!r} has no attempt {number}", hint=f"it had {found.number}")
    ended = found.status in JOB_ENDS or run.ended
    goes_on = not ended if not number else number == found.number and found.status in AT_AGENT
    return AttemptKey(run.id, found.index, number), goes_on


def waits(scene: Scene, run: Run, job: str | None) -> list[Wait]:
    """Why the jobs of a run wait, or one of them. Raises UserError when there is no such job."""
    from relevo.orchestrator.why import why_named, why_run

    if job is None:
        return why_run(scene, run)
    found = why_named(scene, run, job)
    if found is None:
        job_named(run, job)  # tells which there are
    return [] if found is None else [found]


def job_named(run: Run, name: str | int) -> Job:
    """A job of a run by its id or number. Raises UserError that names those there are."""
    if isinstance(name, int):
        found = run.jobs[name] if 0 <= name < len(run.jobs) else None
    else:
        found = next((known for known in run.jobs if known.decl.name == name), None)
    if found is None:
        names = ", ".join(known.decl.name for known in run.jobs[:20]) or "none so far"
        raise UserError(f"run {run.id} has no job {name!r}", hint=f"its jobs: {names}")
    return found


def _finished(kind: str, over: bool) -> bool:
    """Whether a run is over with an event of this kind."""
    return over or kind == "run.finished"


def until_held(kind: str, over: bool) -> bool:
    """Whether nothing goes on by itself after an event of this kind, given whether that was so before it."""
    if kind in ("run.finished", "run.held"):
        return True
    return over and kind != "run.released"
