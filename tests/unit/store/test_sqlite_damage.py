"""Bytes that go bad are found, named, and cost no other run anything."""

from __future__ import annotations

import pytest

from relevo.domain.errors import DamagedError, UserError
from relevo.domain.stored import Stored
from relevo.store.contract import Fact, RunRow, StoreUnavailable
from relevo.store.sqlite import check
from relevo.store.sqlite.schema import migrations
from relevo.testing.contracts.store import append, collect, commit, row, submit
from tests.unit.store.conftest import SqliteHome


@pytest.fixture
async def written(home: SqliteHome) -> SqliteHome:
    """Runs a, b, c of three appends each, a group, and facts."""
    store = await home.open()
    for version in range(3):
        for run in "abc":
            events = f"events-of-{run}-{version + 1}".encode()
            facts = [Fact(f"outputs/{run}/{version}", f"value-of-{run}-{version}".encode())]
            title = f"title-of-{run}"
            await commit(store, append(run, version, events, row=row(run, title=title), facts=facts))
    await commit(store, append("group/main", 0, b"granted"))
    await store.close()
    return home


async def test_a_sound_home_is_found_sound(written: SqliteHome) -> None:
    assert check.integrity(written.path) == []
    assert check.all_streams(written.path) == ["a", "b", "c", "group/main"]


async def test_a_flipped_bit_in_events(written: SqliteHome) -> None:
    written.flip(b"events-of-b-2")
    assert len(check.integrity(written.path)) == 1
    assert "append 2 of b" in check.integrity(written.path)[0]
    store = await written.open(2)
    with pytest.raises(DamagedError, match="append 2 of b") as met:
        await store.read("b")
    assert written.path in met.value.where
    assert "sequence 5" in met.value.where
    assert {s.stream for s in await collect(store.scan_live())} == {"a", "c"}
    assert [stream for stream, _ in store.damaged()] == ["b"]
    await store.close()


@pytest.mark.parametrize(
    "change",
    [
        "version = 7",
        "epoch = 2",
        "at_ms = 0",
        "count = 2",
        "stream = 'c'",
        "previous = 1",
        "previous = 99",
        "checksum = 0",
        "events = x''",
        "events = 5",
        "at_ms = 'text'",
    ],
)
async def test_a_changed_column(written: SqliteHome, change: str) -> None:
    written.execute(f"UPDATE appends SET {change} WHERE stream = 'b' AND version = 2")
    store = await written.open(2)
    with pytest.raises(DamagedError, match="append 2 of b"):
        await store.read("b")
    assert {s.stream for s in await collect(store.scan_live())} == {"a", "c"}
    await store.close()
    assert any("append 2 of b" in found for found in check.integrity(written.path))


async def test_an_append_that_is_gone(written: SqliteHome) -> None:
    written.execute("DELETE FROM appends WHERE stream = 'b' AND version = 2")
    store = await written.open(2)
    with pytest.raises(DamagedError, match="append 2 of b is damaged: it is missing"):
        await store.read("b")
    await store.close()
    assert any("append 2 of b" in found for found in check.integrity(written.path))


@pytest.mark.parametrize("change", ["head = 1", "head = 9", "version = 2", "version = 4", "head = 10"])
async def test_a_stream_that_points_elsewhere(written: SqliteHome, change: str) -> None:
    written.execute(f"UPDATE streams SET {change} WHERE stream = 'b'")
    store = await written.open(2)
    with pytest.raises(DamagedError):
        await store.read("b")
    await store.close()
    assert check.integrity(written.path) != []


async def test_a_stream_that_is_gone_leaves_appends_that_are_named(written: SqliteHome) -> None:
    written.execute("DELETE FROM streams WHERE stream = 'b'")
    found = check.integrity(written.path)
    assert len(found) == 3
    assert all("of b is not in the chain" in text for text in found)


async def test_a_damaged_row_is_left_out_and_written_anew(written: SqliteHome) -> None:
    written.flip(b"title-of-b")
    assert [text for text in check.integrity(written.path) if "row of run b" in text]
    store = await written.open(2)
    with pytest.raises(DamagedError, match="row of run b"):
        await store.run("b")
    assert [r.run for r in await store.runs()] == ["c", "a"]
    assert [stream for stream, _ in store.damaged()] == ["b"]
    assert {s.stream for s in await collect(store.scan_live())} == {"a", "b", "c"}
    await store.close()

    sound = row("b", live=False, title="told by events", status="failed")
    nobody: RunRow = row("nobody")
    check.write_rows(written.path, [sound, nobody])
    assert check.integrity(written.path) == []
    store = await written.open(3)
    assert await store.run("b") == sound
    assert [r.run for r in await store.runs(live=True)] == ["c", "a"]
    assert await store.run("nobody") is None
    assert (await commit(store, append("b", 3, row=sound))).version == 4
    await store.close()


async def test_a_damaged_fact_is_not_handed_out(written: SqliteHome) -> None:
    written.flip(b"value-of-b-1")
    assert check.integrity(written.path) == [f"{written.path}: fact outputs/b/1 is damaged"]
    store = await written.open(2)
    with pytest.raises(DamagedError, match="outputs/b/1"):
        await store.fact("outputs/b/1")
    with pytest.raises(DamagedError, match="outputs/b/1"):
        await store.facts("outputs/b")
    assert len(await store.facts("outputs/a")) == 3
    await store.close()


async def test_a_page_of_nonsense_is_told_and_confined_to_what_it_held(written: SqliteHome) -> None:
    written.overwrite_page(written.page_of("facts"))
    store = await written.open(2)
    with pytest.raises(DamagedError, match="relevo db check"):
        await store.fact("outputs/a/1")
    assert len(await store.read("a")) == 3
    refused, sound = (
        submit(store, append("a", 3, facts=[Fact("outputs/a/3", b"v")])),
        submit(store, append("b", 3)),
    )
    outcome = await refused
    assert isinstance(outcome, StoreUnavailable)
    assert "relevo db check" in str(outcome)
    assert isinstance(await sound, Stored)
    await store.close()
    assert check.integrity(written.path) != []


async def test_a_header_of_nonsense_is_no_database(written: SqliteHome) -> None:
    written.overwrite_page(1)
    with pytest.raises(UserError, match="not a relevo database"):
        await written.open(2)
    assert len(check.integrity(written.path)) == 1


async def test_a_cut_file_is_named(written: SqliteHome) -> None:
    with open(written.path, "r+b") as file:  # noqa: ASYNC230
        file.truncate(8192)
    assert check.integrity(written.path) != []
    with pytest.raises((DamagedError, StoreUnavailable)):
        await open_and_read(written)


async def open_and_read(written: SqliteHome) -> None:
    store = await written.open(2)
    try:
        await store.read("a")
    finally:
        await store.close()


async def test_a_migration_that_is_not_ours_is_named(written: SqliteHome) -> None:
    written.execute("UPDATE migrations SET checksum = 'other'")
    name = migrations()[0][1].rpartition("/")[2]
    assert name in check.integrity(written.path)[0]
