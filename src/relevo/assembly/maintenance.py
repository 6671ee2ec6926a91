"""The care of a home: verify what is stored."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

from relevo.assembly.home import Home
from relevo.domain import events as e
from relevo.domain import groups
from relevo.domain.errors import DamagedError, RelevoError, UserError
from relevo.domain.evolution import evolve
from relevo.domain.ids import LEASE
from relevo.domain.run import Run
from relevo.orchestrator.plans import GROUP_STREAM
from relevo.orchestrator.run_actor import run_row
from relevo.store.contract import RunRow


class Checked(NamedTuple):
    """What a check of the store found."""

    runs: int
    appends: int
    problems: list[str]  #: each names where and what
    rebuilt: bool


async def check(home: str, *, rebuild: bool = False) -> Checked:
    """Replay all events, verify the checksums of events and logs, compare the read models; `rebuild` writes these anew.

    Reading works beside a living engine; rebuilding needs the home for itself. Raises UserError.
    """
    place = Home(home)
    if not place.exists:
        raise UserError(f"there is nothing in {place.path} to be checked", hint="is RELEVO_HOME right?")
    async with AsyncExitStack() as stack:
        if rebuild:
            await stack.enter_async_context(_alone(place))
        return await _check(place, rebuild=rebuild)


async def _check(place: Home, *, rebuild: bool) -> Checked:
    from relevo.logs.blocking import Threads
    from relevo.logs.store import FileLogStore
    from relevo.runtime.disk import OsDisk
    from relevo.store.sqlite import open_reader
    from relevo.store.sqlite.check import all_streams, integrity, write_rows

    loop = asyncio.get_running_loop()
    problems = await asyncio.to_thread(integrity, place.database)
    store = open_reader(place.database, loop)
    threads = Threads(loop)
    logs = FileLogStore(OsDisk(), place.logs, loop, threads)
    runs = appends = 0
    rows: list[RunRow] = []
    try:
        for stream in await asyncio.to_thread(all_streams, place.database):
            if stream.startswith(GROUP_STREAM):
                problems += await _wrong_with_group(store, stream)
                continue
            runs += 1
            try:
                run, count = await _replayed(store, stream)
            except (RelevoError, ValueError, LookupError) as error:
                problems.append(f"run {stream}: {error}")
                continue
            appends += count
            row = run_row(run)
            rows.append(row)
            if not await _tells(store, row):
                problems.append(
                    f"run {stream}: its row is not what its events tell; --rebuild writes it anew"
                )
            problems += [f"run {stream}: {found}" for found in await logs.verify(stream)]
            problems += _missing_logs(run, await _ends(store, stream), logs, f"{place.logs}/{stream}")
        if rebuild:
            await asyncio.to_thread(write_rows, place.database, rows)
            problems = [problem for problem in problems if "--rebuild" not in problem]
    finally:
        await store.close()
        await logs.close()
        threads.close()
    return Checked(runs, appends, problems, rebuild)


async def _tells(store: Any, row: RunRow) -> bool:
    """Whether the stored row of a run is this one. A damaged one is not, and `integrity` has named it."""
    try:
        return bool(await store.run(row.run) == row)
    except DamagedError:
        return False


@asynccontextmanager
async def _alone(place: Home) -> AsyncIterator[None]:
    """The home for itself: nobody writes while its lease is ours. Raises UserError when an engine lives."""
    from relevo.leases.contract import Holder, LeaseHeld
    from relevo.leases.local import LocalLeases
    from relevo.runtime.clock import SystemClock
    from relevo.runtime.processes import identity
    from relevo.store.sqlite import open_database

    who = identity(os.getpid())
    now = SystemClock().wall_ms()
    holder = Holder(who.pid, who.start_ticks, who.boot_id, os.uname().nodename, now, "")
    leases = LocalLeases(lambda: open_database(place.database))
    try:
        lease = await leases.acquire(LEASE, holder)
    except LeaseHeld as error:
        raise UserError(
            f"process {error.holder.pid} is the engine of {place.path}", hint="rebuild when it has ended"
        ) from error
    try:
        yield
    finally:
        await leases.release(lease)


async def _replayed(store: Any, stream: str) -> tuple[Run, int]:
    run = Run()
    count = 0
    for stored in await store.read(stream):
        for event in e.decode(stored.events):
            evolve(run, event)
        count += 1
    if run.accepted is None:
        raise DamagedError("the beginning is missing", where=stream)
    return run, count


async def _wrong_with_group(store: Any, stream: str) -> list[str]:
    """What is wrong with a concurrency group. It begins anew where it cannot be read: runs know what they have."""
    group = groups.Group()
    try:
        for stored in await store.read(stream):
            groups.replay(groups.decode(stored.events), group)
    except (RelevoError, ValueError) as error:
        return [f"concurrency group {stream}: {error}"]
    return []


async def _ends(store: Any, stream: str) -> list[e.AttemptEnded]:
    return [
        event
        for stored in await store.read(stream)
        for event in e.decode(stored.events)
        if isinstance(event, e.AttemptEnded) and event.log_size and event.result != "lost"
    ]


def _missing_logs(run: Run, ends: list[e.AttemptEnded], logs: Any, folder: str) -> list[str]:
    """Logs that are not what the end that was accepted says, or are gone."""
    from relevo.domain.ids import AttemptKey

    found = []
    for end in ends:
        key = AttemptKey(run.id, end.job, end.number)
        try:
            held, ended = logs.size(key), logs.ended(key)
        except DamagedError:
            continue  # told by the logs' own check
        name = run.jobs[end.job].decl.name
        if held < end.log_size:
            found.append(f"run {run.id}: {folder}: the log of {name} holds {held} of {end.log_size} bytes")
        elif ended is None:
            found.append(f"run {run.id}: {folder}: the log of {name} has lost its end record")
        elif (ended.size_bytes, ended.digest) != (end.log_size, end.log_digest):
            found.append(f"run {run.id}: {folder}: the log of {name} is not the one that was accepted")
    return found
