"""`relevo db check` over a home as an engine left it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import apsw
import pytest
from msgspec.structs import replace

from relevo.assembly.home import Home
from relevo.assembly.maintenance import check
from relevo.domain import events as e
from relevo.domain import groups
from relevo.domain.errors import UserError
from relevo.domain.evolution import evolve
from relevo.domain.ids import LEASE
from relevo.domain.run import Run
from relevo.leases.contract import Holder
from relevo.leases.local import LocalLeases
from relevo.orchestrator.plans import GROUP_STREAM
from relevo.orchestrator.run_actor import run_row
from relevo.runtime.processes import identity
from relevo.store.contract import Append, RunRow
from relevo.store.sqlite import SqliteStore, open_database
from relevo.testing.contracts.store import commit


def accepted(run: str) -> tuple[bytes, RunRow]:
    """The beginning of a run, and the row that its engine would write."""
    event = e.RunAccepted(run, "ci", f"title of {run}", "push", "spec", at_ms=1_700_000_000_000)
    state = Run()
    evolve(state, event)
    return e.encode([event]), run_row(state)


@pytest.fixture
async def home(tmp_path: Path) -> Home:
    home = Home(str(tmp_path / "home"))
    home.make()
    store = await SqliteStore.open(home.database, 1, asyncio.get_running_loop())
    for run in ("a", "b"):
        events, row = accepted(run)
        wrong = replace(row, title="not what the events tell") if run == "b" else row
        await commit(store, Append(run, 0, events, 1, 0, wrong))
    await store.close()
    return home


def execute(home: Home, sql: str) -> None:
    connection = apsw.Connection(home.database)
    connection.execute(sql)
    connection.close()


async def rows(home: Home) -> list[RunRow]:
    store = await SqliteStore.open(home.database, 99, asyncio.get_running_loop())
    found = list(await store.runs())
    await store.close()
    return found


async def test_a_row_that_differs_from_its_events_is_named_and_rebuilt(home: Home) -> None:
    found = await check(home.path)
    assert (found.runs, found.appends) == (2, 2)
    assert [problem for problem in found.problems if "run b: its row" in problem] == found.problems
    assert (await check(home.path, rebuild=True)).problems == []
    assert (await check(home.path)).problems == []
    assert [row.title for row in await rows(home)] == ["title of b", "title of a"]


async def test_a_damaged_row_is_named_and_rebuilt(home: Home) -> None:
    execute(home, "UPDATE streams SET checksum = 0 WHERE stream = 'a'")
    found = await check(home.path)
    assert any("row of run a is damaged" in problem for problem in found.problems)
    assert (await check(home.path, rebuild=True)).problems == []
    assert len(await rows(home)) == 2


async def test_damaged_events_are_named_and_stay_as_they_are(home: Home) -> None:
    execute(home, "UPDATE appends SET events = x'00' WHERE stream = 'a'")
    found = await check(home.path, rebuild=True)
    assert any("append 1 of a is damaged" in problem for problem in found.problems)
    assert [row.title for row in await rows(home)] == ["title of b", "title of a"]


async def test_nothing_is_rebuilt_beside_a_living_engine(home: Home) -> None:
    me = identity(os.getpid())
    engine = Holder(me.pid, me.start_ticks, me.boot_id, os.uname().nodename, 0, "the engine")
    leases = LocalLeases(lambda: open_database(home.database))
    lease = await leases.acquire(LEASE, engine)
    assert len((await check(home.path)).problems) == 1
    with pytest.raises(UserError, match=f"process {me.pid} is the engine"):
        await check(home.path, rebuild=True)
    await leases.release(lease)
    await check(home.path, rebuild=True)
    assert await leases.holder(LEASE) is None


async def test_concurrency_groups_are_no_runs_and_what_is_wrong_with_them_is_named(home: Home) -> None:
    store = await SqliteStore.open(home.database, 1, asyncio.get_running_loop())
    good = groups.encode([groups.Asked("a", 0, "run a", "g"), groups.Granted("a", 0)])
    wrong = groups.encode([groups.Granted("a", 0)])
    for name, events in (("good", good), ("wrong", wrong)):
        await commit(store, Append(f"{GROUP_STREAM}{name}", 0, events, 2, 0))
    await store.close()
    found = await check(home.path)
    assert found.runs == 2
    told = [problem for problem in found.problems if "concurrency group" in problem]
    assert told == [f"concurrency group {GROUP_STREAM}wrong: member 0 of run a: no way from None to holding"]
    await check(home.path, rebuild=True)
    assert len(await rows(home)) == 2
