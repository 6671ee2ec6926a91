from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from relevo.domain.errors import UserError
from relevo.domain.stored import Stored
from relevo.runtime import failpoints
from relevo.store.contract import Conflict, Fact, LiveRun, NewerHome, StoreUnavailable
from relevo.store.sqlite import open_database, open_reader, schema, writer
from relevo.testing.contracts.store import EventStoreContract, append, collect, commit, row, submit
from relevo.testing.small_disk import fill, make_read_only, needs_root, small_disk
from tests.unit.store.conftest import SqliteHome


class TestSqlite(EventStoreContract):
    pass


# --- commits --------------------------------------------------------------------------------------------------------


async def test_appends_of_one_turn_share_a_commit_and_a_wake_up(home: SqliteHome) -> None:
    store = await home.open()
    loop = asyncio.get_running_loop()
    calls: list[Any] = []
    wake = loop.call_soon_threadsafe
    loop.call_soon_threadsafe = lambda *a, **k: (calls.append(a), wake(*a, **k))[1]  # type: ignore[assignment, misc, method-assign]
    await asyncio.gather(*(submit(store, append(f"run-{n}")) for n in range(200)))
    assert len(calls) == 1
    await store.close()


async def test_a_failure_that_lies_in_one_append_fails_only_that(home: SqliteHome) -> None:
    store = await home.open()
    await commit(store, append("before"))
    too_big = append("huge", facts=[Fact("k", b"v")])
    spoiled = append("bad \ud800 name")
    outcomes = await asyncio.gather(
        *(submit(store, a) for a in (append("a"), spoiled, append("b"), too_big, append("a", 1)))
    )
    assert [type(outcome) for outcome in outcomes] == [Stored, StoreUnavailable, Stored, Stored, Stored]
    assert [o.sequence for o in outcomes if isinstance(o, Stored)] == [2, 3, 4, 5]
    await store.close()


async def test_a_failing_disk_refuses_the_commit_and_the_next_one_works(home: SqliteHome) -> None:
    store = await home.open()
    await commit(store, append("a", row=row("a")))
    failpoints.arm("store.before-commit=error")
    try:
        outcomes = await asyncio.gather(
            submit(store, append("a", 1, facts=[Fact("k", b"v")])), submit(store, append("b", row=row("b")))
        )
    finally:
        failpoints.arm("")
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable, StoreUnavailable]
    assert await store.fact("k") is None
    assert await store.run("b") is None
    assert (await commit(store, append("a", 1))).sequence == 2
    await store.close()


async def test_an_append_whose_answer_failed_is_a_conflict_when_repeated(home: SqliteHome) -> None:
    store = await home.open()
    failpoints.arm("store.after-commit=error")
    try:
        assert isinstance(await submit(store, append("a")), StoreUnavailable)
    finally:
        failpoints.arm("")
    assert isinstance(await submit(store, append("a")), Conflict)
    assert (await commit(store, append("a", 1))).sequence == 2
    await store.close()


async def test_another_program_s_transaction_delays_or_refuses(
    home: SqliteHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await home.open()
    store._connection.set_busy_timeout(20)
    other = open_database(home.path)
    other.execute("BEGIN IMMEDIATE")
    refused = await submit(store, append("a"))
    assert isinstance(refused, StoreUnavailable)
    assert not refused.full
    assert "locked by another process" in str(refused)
    other.execute("ROLLBACK")
    other.close()
    await commit(store, append("a"))
    await store.close()


async def test_what_is_remembered_of_streams_is_bounded(
    home: SqliteHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MOST_HEADS", 50)
    store = await home.open()
    for start in range(0, 300, 30):
        await asyncio.gather(*(submit(store, append(f"run-{n}")) for n in range(start, start + 30)))
    assert len(store._writer._heads) <= 80
    assert (await commit(store, append("run-0", 1))).version == 2
    assert isinstance(await submit(store, append("run-1")), Conflict)
    await store.close()


async def test_streams_of_ended_runs_are_not_remembered(home: SqliteHome) -> None:
    store = await home.open()
    for n in range(20):
        await commit(store, append(f"run-{n}", row=row(f"run-{n}")))
        await commit(store, append(f"run-{n}", 1, row=row(f"run-{n}", live=False)))
    assert store._writer._heads == {}
    assert (
        await commit(store, append("run-3", 2, row=row("run-3", live=False, delivered=True)))
    ).version == 3
    await store.close()


@needs_root
async def test_a_full_disk_refuses_and_all_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4 << 20) as disk:
        home = SqliteHome(disk / "relevo.db")
        store = await home.open()
        stored = 0
        await commit(store, append("a", stored, b"x" * 10_000, row=row("a")))
        stored += 1
        filler = fill(disk, leave_bytes=200_000)
        while True:
            outcome = await submit(
                store, append("a", stored, b"x" * 10_000, facts=[Fact(f"k/{stored}", b"v")])
            )
            if not isinstance(outcome, Stored):
                break
            stored += 1
        assert isinstance(outcome, StoreUnavailable)
        assert outcome.full
        assert isinstance(again := await submit(store, append("b")), StoreUnavailable | Stored), again
        assert len(await store.read("a")) == stored
        assert await store.fact(f"k/{stored}") is None
        filler.unlink()
        assert (await commit(store, append("a", stored, b"x" * 10_000))).version == stored + 1
        await store.close()
        reopened = await home.open(2)
        assert len(await reopened.read("a")) == stored + 1
        await reopened.close()


# --- opening --------------------------------------------------------------------------------------------------------


async def test_a_newer_home_is_left_alone(home: SqliteHome) -> None:
    store = await home.open()
    await store.close()
    home.execute("PRAGMA user_version = 99")
    before = Path(home.path).read_bytes()
    loop = asyncio.get_running_loop()
    with pytest.raises(NewerHome) as met:
        await home.open()
    assert (met.value.found, met.value.known) == (99, len(schema.migrations()))
    with pytest.raises(NewerHome):
        open_reader(home.path, loop)
    with pytest.raises(NewerHome):
        open_database(home.path)
    assert Path(home.path).read_bytes() == before


@pytest.mark.parametrize("content", [b"no database at all, but long enough to look at" * 100, None])
async def test_a_file_that_is_not_ours_is_left_alone(home: SqliteHome, content: bytes | None) -> None:
    if content is None:
        home.execute("CREATE TABLE somebody_elses (x)")
    else:
        Path(home.path).write_bytes(content)
    before = Path(home.path).read_bytes()
    with pytest.raises(UserError, match="not a relevo database"):
        await home.open()
    assert Path(home.path).read_bytes()[100:] == before[100:]


async def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    nowhere = SqliteHome(tmp_path / "missing" / "relevo.db")
    with pytest.raises(UserError) as met:
        await nowhere.open()
    assert str(tmp_path / "missing") in str(met.value)
    assert met.value.hint is not None


def test_several_may_make_a_home_at_once(home: SqliteHome) -> None:
    for n in range(5):
        path = f"{home.path}-{n}"
        met: list[BaseException] = []

        def make(path: str = path, met: list[BaseException] = met) -> None:
            try:
                open_database(path).close()
            except BaseException as error:
                met.append(error)

        threads = [threading.Thread(target=make) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert met == []


async def test_a_home_is_private(home: SqliteHome) -> None:
    before = os.umask(0o022)
    try:
        store = await home.open()
    finally:
        os.umask(before)
    await commit(store, append("a"))
    modes = {name: os.stat(f"{home.path}{name}").st_mode & 0o777 for name in ("", "-wal", "-shm")}
    assert modes == {"": 0o600, "-wal": 0o600, "-shm": 0o600}
    await store.close()


async def test_closing_leaves_one_file_and_no_thread(home: SqliteHome) -> None:
    before = {thread.name for thread in threading.enumerate()}
    store = await home.open()
    await commit(store, append("a"))
    await store.read("a")
    await store.close()
    assert os.listdir(os.path.dirname(home.path)) == ["relevo.db"]
    for thread in threading.enumerate():
        if thread.name.startswith("relevo-store"):
            thread.join(60)
    assert {thread.name for thread in threading.enumerate()} <= before


# --- reading beside an engine ---------------------------------------------------------------------------------------


async def test_a_reader_sees_what_is_committed_and_writes_nothing(home: SqliteHome) -> None:
    store = await home.open(7)
    await commit(store, append("a", row=row("a"), facts=[Fact("k", b"v")]))
    reader = open_reader(home.path, asyncio.get_running_loop())
    assert [s.version for s in await reader.read("a")] == [1]
    await commit(store, append("a", 1, row=row("a", live=False)))
    assert [s.version for s in await reader.read("a")] == [1, 2]
    assert len(await collect(reader.scan())) == 2
    assert (reader.sequence, reader.epoch) == (2, 7)
    assert await reader.fact("k") == b"v"
    found = await reader.run("a")
    assert found is not None
    assert not found.live
    assert isinstance(await submit(reader, append("a", 2)), StoreUnavailable)
    with pytest.raises(StoreUnavailable):
        await reader.delete_run("a")
    await reader.close()
    await store.close()


async def test_a_reader_needs_a_home(home: SqliteHome) -> None:
    with pytest.raises(UserError, match="no relevo home"):
        open_reader(home.path, asyncio.get_running_loop())
    assert not os.path.exists(home.path)


@needs_root
async def test_a_home_on_a_medium_that_nobody_can_write_is_read(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2 << 20) as disk:
        home = SqliteHome(disk / "relevo.db")
        store = await home.open()
        await commit(store, append("a", row=row("a")))
        await store.close()
        make_read_only(disk)
        reader = open_reader(home.path, asyncio.get_running_loop())
        assert len(await reader.read("a")) == 1
        assert [r.run for r in await reader.runs()] == ["a"]
        await reader.close()
        with pytest.raises(UserError, match="cannot be written") as met:
            await home.open()
        assert str(disk) in (met.value.hint or "")


async def test_a_read_that_is_cancelled_leaves_the_store_whole(home: SqliteHome) -> None:
    store = await home.open()
    await commit(store, append("a"))
    for _ in range(5):
        reading = asyncio.ensure_future(store.read("a"))
        await asyncio.sleep(0)
        reading.cancel()
    assert len(await store.read("a")) == 1
    await store.close()


def test_failpoints_reach_the_migration(home: SqliteHome) -> None:
    failpoints.arm("store.in-migration=error")
    try:
        with pytest.raises(StoreUnavailable):
            open_database(home.path)
    finally:
        failpoints.arm("")
    open_database(home.path).close()


async def test_a_commit_is_on_disk_when_it_returns(home: SqliteHome) -> None:
    store = await home.open()
    pragma = store._connection.pragma
    assert (pragma("journal_mode"), pragma("synchronous")) == ("wal", 2)
    await store.close()


async def test_an_append_that_writes_nothing_leaves_no_snapshot_behind(home: SqliteHome) -> None:
    """A statement that is not run to its end would keep the writer in the past, and then refuse it for ever."""
    store = await home.open()
    await commit(store, append("a", row=row("a")))
    for refused in (lambda: submit(store, append("unknown", 5)), lambda: submit(store, append("a", 0))):
        assert isinstance(await refused(), Conflict)
        home.execute("UPDATE leases SET holder = 'somebody'")
        await commit(store, append(f"after-{id(refused)}"))
    with pytest.raises(LiveRun):
        await store.delete_run("a")
    home.execute("UPDATE leases SET holder = 'somebody else'")
    assert (await commit(store, append("a", 1))).version == 2
    await store.close()
