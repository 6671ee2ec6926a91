"""The promises of `relevo.store.contract`.

class TestMine(EventStoreContract):
    @pytest.fixture
    def home(self) -> StoreHome: ...
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

import pytest

from relevo.domain.errors import DamagedError, RelevoError
from relevo.domain.stored import Stored
from relevo.store.contract import (
    Append,
    Conflict,
    EventStore,
    Fact,
    FactExists,
    Fenced,
    LiveRun,
    RunRow,
    StoreUnavailable,
)


class StoreHome(Protocol):
    """What outlives a store: it can be opened again, and bytes in it can go bad."""

    async def open(self, epoch: int) -> EventStore:
        """A store on it. Earlier ones may still be open, as after a take-over."""

    async def damage(self, stream: str, version: int) -> None:
        """Spoil the stored bytes of an append. All stores are closed."""


def row(run: str, *, live: bool = True, priority: int = 0, created_ms: int = 0, **more: Any) -> RunRow:
    """A run's row, with what a test does not care about filled in."""
    fields: dict[str, Any] = {
        "status": "running" if live else "succeeded",
        "workflow": "ci",
        "title": f"Run {run}",
        "event": "push",
        "ended_ms": None if live else created_ms + 1,
        "jobs": 1,
        "jobs_ended": 0 if live else 1,
        "retried_from": None,
        "run_attempt": 1,
        "delivered": False,
    }
    return RunRow(run=run, live=live, priority=priority, created_ms=created_ms, **{**fields, **more})


def append(
    stream: str,
    version: int = 0,
    events: bytes = b"events",
    *,
    row: RunRow | None = None,
    facts: Sequence[Fact] = (),
) -> Append:
    """An append, with what a test does not care about filled in."""
    return Append(stream, version, events, 1, 1_700_000_000_000, row, tuple(facts))


def submit(store: EventStore, append: Append) -> asyncio.Future[Stored | RelevoError]:
    """Queue an append; the future holds what `done` got."""
    outcome: asyncio.Future[Stored | RelevoError] = asyncio.get_running_loop().create_future()
    store.append(append, outcome.set_result)  # a second call of `done` raises InvalidStateError
    return outcome


async def commit(store: EventStore, append: Append) -> Stored:
    """Append and wait. Raises what the store refused it with."""
    outcome = await submit(store, append)
    if isinstance(outcome, RelevoError):
        raise outcome
    return outcome


async def collect(batches: AsyncIterator[Sequence[Stored]]) -> list[Stored]:
    """All of a scan."""
    return [stored async for batch in batches for stored in batch]


def _sequence(outcome: Stored | RelevoError) -> int:
    assert isinstance(outcome, Stored)
    return outcome.sequence


class EventStoreContract:
    """Subclass it, with a fixture `home`."""

    @pytest.fixture
    async def store(self, home: StoreHome) -> AsyncIterator[EventStore]:
        store = await home.open(1)
        yield store
        await store.close()

    # --- appending --------------------------------------------------------------------------------------------------

    async def test_an_append_is_read_back_as_it_was(self, store: EventStore) -> None:
        events = bytes(range(256)) * 256
        stored = await commit(store, append("run-1", events=events))
        assert stored == Stored(1, "run-1", 1, 1, 1_700_000_000_000, events)
        assert list(await store.read("run-1")) == [stored]
        assert store.sequence == 1

    async def test_done_is_not_called_within_append(self, store: EventStore) -> None:
        outcome = submit(store, append("run-1"))
        assert not outcome.done()
        await outcome

    async def test_sequences_are_gapless_over_all_streams_and_done_comes_in_order(
        self, store: EventStore
    ) -> None:
        told: list[int] = []
        outcomes = [submit(store, append(f"run-{n % 7}", n // 7)) for n in range(70)]
        for outcome in outcomes:
            outcome.add_done_callback(lambda o: told.append(_sequence(o.result())))
        await asyncio.gather(*outcomes)
        await asyncio.sleep(0)
        assert told == list(range(1, 71))

    async def test_a_conflict_does_not_fail_its_neighbours(self, store: EventStore) -> None:
        await commit(store, append("run-1"))
        before, late, early, after = await asyncio.gather(
            submit(store, append("run-2")),
            submit(store, append("run-1", 0)),
            submit(store, append("run-3", 5)),
            submit(store, append("run-1", 1)),
        )
        assert isinstance(late, Conflict)
        assert (late.stream, late.expected, late.actual) == ("run-1", 0, 1)
        assert isinstance(early, Conflict)
        assert (early.expected, early.actual) == (5, 0)
        assert isinstance(before, Stored)
        assert isinstance(after, Stored)
        assert (before.sequence, after.sequence, after.version) == (2, 3, 2)

    async def test_the_second_of_two_equal_appends_in_one_commit_conflicts(self, store: EventStore) -> None:
        first, second = await asyncio.gather(
            submit(store, append("run-1", events=b"a")), submit(store, append("run-1", events=b"b"))
        )
        assert isinstance(first, Stored)
        assert isinstance(second, Conflict)
        assert [stored.events for stored in await store.read("run-1")] == [b"a"]

    async def test_a_callback_that_raises_fails_nobody_else(self, store: EventStore) -> None:
        loop = asyncio.get_running_loop()
        met: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: met.append(context))

        def fail(_: object) -> None:
            raise ValueError("a caller's bug")

        store.append(append("run-1"), fail)
        assert (await commit(store, append("run-2"))).sequence == 2
        assert [type(context["exception"]) for context in met] == [ValueError]

    async def test_many_appends_at_once_are_all_stored(self, store: EventStore) -> None:
        outcomes = await asyncio.gather(
            *(submit(store, append(f"run-{n:05}", row=row(f"run-{n:05}"))) for n in range(3_000))
        )
        assert [stored.sequence for stored in outcomes if isinstance(stored, Stored)] == list(range(1, 3_001))
        assert len(await store.runs(limit=5_000)) == 3_000

    # --- reading ----------------------------------------------------------------------------------------------------

    async def test_a_stream_is_read_after_a_version(self, store: EventStore) -> None:
        for version in range(5):
            await commit(store, append("run-1", version))
            await commit(store, append("run-2", version))
        assert [stored.version for stored in await store.read("run-1", 3)] == [4, 5]
        assert list(await store.read("run-1", 5)) == []
        assert list(await store.read("run-1", 9)) == []
        assert list(await store.read("nobody")) == []

    async def test_a_scan_tells_all_in_order_and_ends_where_it_began(self, store: EventStore) -> None:
        for n in range(25):
            await commit(store, append(f"run-{n}"))
        batches = store.scan(5, limit=10)
        await commit(store, append("later"))
        sizes = []
        sequences: list[int] = []
        async for batch in batches:
            sizes.append(len(batch))
            sequences += [stored.sequence for stored in batch]
        assert sequences == list(range(6, 26))
        assert sizes == [10, 10]

    async def test_live_runs_come_by_priority_then_age_each_together(self, store: EventStore) -> None:
        for version in range(3):
            for run, priority, created_ms in (("a", 0, 30), ("b", 5, 20), ("c", 0, 10), ("d", 5, 20)):
                ended = run == "d" and version == 2
                await commit(
                    store,
                    append(
                        run, version, row=row(run, priority=priority, created_ms=created_ms, live=not ended)
                    ),
                )
        await commit(store, append("group/main"))
        batches = [list(batch) async for batch in store.scan_live(limit=4)]
        told = [(stored.stream, stored.version) for batch in batches for stored in batch]
        assert told == [(run, version) for run in "bca" for version in (1, 2, 3)]
        for batch in batches:
            assert len(batch) % 3 == 0, "a run was split"

    # --- rows and facts ---------------------------------------------------------------------------------------------

    async def test_rows_are_listed_newest_first(self, store: EventStore) -> None:
        for n in range(6):
            await commit(store, append(f"run-{n}", row=row(f"run-{n}", live=n % 2 == 0)))
        await commit(store, append("group/main"))
        assert [r.run for r in await store.runs()] == [f"run-{n}" for n in (5, 4, 3, 2, 1, 0)]
        assert [r.run for r in await store.runs(live=True)] == ["run-4", "run-2", "run-0"]
        assert [r.run for r in await store.runs(live=False)] == ["run-5", "run-3", "run-1"]
        assert [r.run for r in await store.runs(before="run-4", limit=2)] == ["run-3", "run-2"]
        assert [r.run for r in await store.runs(live=True, before="run-4")] == ["run-2", "run-0"]
        assert await store.run("group/main") is None

    async def test_a_row_is_as_the_last_append_left_it(self, store: EventStore) -> None:
        last = row(
            "run-1", live=False, status="failed", retried_from="run-0", title="Ünïcode ✓", run_attempt=2
        )
        await asyncio.gather(
            submit(store, append("run-1", 0, row=row("run-1"))),
            submit(store, append("run-1", 1, row=row("run-1", jobs=3))),
            submit(store, append("run-1", 2, row=last)),
        )
        await commit(store, append("run-1", 3))
        assert await store.run("run-1") == last
        assert list(await store.runs(live=True)) == []
        assert await store.run("nobody") is None

    async def test_a_refused_append_leaves_no_row_and_no_fact(self, store: EventStore) -> None:
        await commit(store, append("run-1", row=row("run-1", title="first")))
        refused = append("run-1", row=row("run-1", title="second"), facts=[Fact("spec/1", b"x")])
        assert isinstance(await submit(store, refused), Conflict)
        found = await store.run("run-1")
        assert found is not None
        assert found.title == "first"
        assert await store.fact("spec/1") is None

    async def test_facts_are_put_changed_and_removed_with_their_append(self, store: EventStore) -> None:
        await commit(
            store, append("run-1", facts=[Fact("spec/1", b"one"), Fact("spec/2", b""), Fact("t", b"t")])
        )
        await commit(store, append("run-1", 1, facts=[Fact("spec/1", b"uno"), Fact("spec/2", None)]))
        await commit(store, append("run-1", 2, facts=[Fact("spec0", b"behind"), Fact("spec/10", b"ten")]))
        assert await store.fact("spec/1") == b"uno"
        assert await store.fact("spec/2") is None
        assert list(await store.facts("spec/")) == [("spec/1", b"uno"), ("spec/10", b"ten")]
        assert list(await store.facts("nothing")) == []
        assert await store.facts_named(["t", "spec/2", "spec/10"]) == {"t": b"t", "spec/10": b"ten"}
        assert await store.facts_named([]) == {}

    async def test_facts_of_the_home_belong_to_no_run(self, store: EventStore) -> None:
        await commit(store, append("run-1", row=row("run-1", live=False)))
        before = store.sequence
        await store.put_facts([Fact("drained/a", b"why"), Fact("drained/b", b"")])
        await asyncio.gather(
            store.put_facts([Fact("drained/a", b"other")]),
            submit(store, append("run-2", facts=[Fact("spec/1", b"x")])),
            store.put_facts([Fact("drained/b", None), Fact("drained/c", None)]),
        )
        assert list(await store.facts("drained/")) == [("drained/a", b"other")]
        assert await store.fact("spec/1") == b"x"
        assert store.sequence == before + 1
        await store.delete_run("run-1")
        assert await store.fact("drained/a") == b"other"

    async def test_streams_are_found_by_what_their_names_begin_with(self, store: EventStore) -> None:
        for stream in ("group-b", "group-a", "group.c", "groups", "run-1"):
            await commit(store, append(stream, row=row(stream) if stream == "run-1" else None))
        assert list(await store.streams("group-")) == ["group-a", "group-b"]
        await store.delete_run("group-a")
        assert list(await store.streams("group-")) == ["group-b"]
        assert list(await store.streams("nothing")) == []

    async def test_a_fact_that_exists_refuses_the_whole_append(self, store: EventStore) -> None:
        key = "idempotency/k"
        await commit(store, append("run-1", facts=[Fact(key, b"run-1", if_absent=True)]))
        same = append("run-2", facts=[Fact(key, b"run-1", if_absent=True)])
        other = append("run-3", facts=[Fact("spec/1", b"x"), Fact(key, b"run-3", if_absent=True)])
        first, second = await asyncio.gather(submit(store, same), submit(store, other))
        assert isinstance(first, Stored)
        assert isinstance(second, FactExists)
        assert (second.key, second.value) == (key, b"run-1")
        assert list(await store.read("run-3")) == []
        assert await store.fact("spec/1") is None

    async def test_a_fact_of_the_same_commit_exists_too(self, store: EventStore) -> None:
        one, two, three = await asyncio.gather(
            *(
                submit(store, append(f"run-{n}", facts=[Fact("k", b"%d" % n, if_absent=True)]))
                for n in range(2)
            ),
            submit(store, append("run-2", facts=[Fact("k", None)])),
        )
        four = await submit(store, append("run-3", facts=[Fact("k", b"free", if_absent=True)]))
        assert [type(outcome) for outcome in (one, two, three, four)] == [Stored, FactExists, Stored, Stored]

    # --- epochs -----------------------------------------------------------------------------------------------------

    async def test_a_higher_epoch_fences_off_a_lower_one(self, home: StoreHome, store: EventStore) -> None:
        await commit(store, append("run-1", row=row("run-1")))
        later = await home.open(3)
        try:
            outcomes = await asyncio.gather(submit(store, append("run-1", 1)), submit(store, append("run-2")))
            for outcome in outcomes:
                assert isinstance(outcome, Fenced)
                assert (outcome.own, outcome.current) == (1, 3)
            with pytest.raises(Fenced):
                await store.delete_run("run-1")
            stored = await commit(later, append("run-1", 1))
            assert (stored.epoch, stored.sequence) == (3, 2)
            assert [s.epoch for s in await later.read("run-1")] == [1, 3]
            with pytest.raises(Fenced):
                await home.open(2)
        finally:
            await later.close()

    # --- removing ---------------------------------------------------------------------------------------------------

    async def test_a_removed_run_leaves_nothing(self, home: StoreHome, store: EventStore) -> None:
        facts = [Fact("secrets/a", b"s"), Fact("outputs/a/0/1", b"o"), Fact("spec/1", b"x")]
        await commit(store, append("a", row=row("a"), facts=facts))
        await commit(store, append("ab", row=row("ab", live=False), facts=[Fact("outputs/ab/0/1", b"o")]))
        with pytest.raises(LiveRun):
            await store.delete_run("a")
        await commit(store, append("a", 1, row=row("a", live=False)))
        await store.delete_run("a")
        await store.delete_run("a")
        await store.delete_run("nobody")
        assert list(await store.read("a")) == []
        assert await store.run("a") is None
        assert [key for key, _ in await store.facts("")] == ["outputs/ab/0/1", "spec/1"]
        assert [s.stream for s in await collect(store.scan())] == ["ab"]
        assert (await commit(store, append("a", row=row("a", live=False)))).version == 1

    async def test_facts_that_only_a_run_named_go_with_it(self, store: EventStore) -> None:
        facts = [Fact("spec/1", b"x"), Fact("spec/2", b"y")]
        await commit(store, append("a", row=row("a", live=True), facts=facts))
        with pytest.raises(LiveRun):
            await store.delete_run("a", facts=["spec/1"])
        assert len(await store.facts("spec/")) == 2
        await commit(store, append("a", 1, row=row("a", live=False)))
        await store.delete_run("a", facts=["spec/1", "spec/none"])
        assert [key for key, _ in await store.facts("spec/")] == ["spec/2"]

    async def test_no_sequence_is_given_twice(self, home: StoreHome, store: EventStore) -> None:
        for version in range(3):
            await commit(store, append("a", version, row=row("a", live=False)))
        await store.delete_run("a")
        await store.close()
        again = await home.open(2)
        try:
            assert again.sequence == 3
            assert (await commit(again, append("b"))).sequence == 4
        finally:
            await again.close()

    # --- closing and opening ----------------------------------------------------------------------------------------

    async def test_closing_commits_what_is_queued(self, home: StoreHome, store: EventStore) -> None:
        outcomes = [submit(store, append(f"run-{n}", row=row(f"run-{n}"))) for n in range(100)]
        await store.close()
        assert [stored.sequence for o in outcomes if isinstance(stored := o.result(), Stored)] == [
            *range(1, 101)
        ]
        refused = await submit(store, append("late"))
        assert isinstance(refused, StoreUnavailable)
        with pytest.raises(StoreUnavailable):
            await store.read("run-1")
        await store.close()
        again = await home.open(1)
        try:
            assert again.sequence == 100
            assert len(await collect(again.scan_live(limit=7))) == 100
            assert (await commit(again, append("run-5", 1))).version == 2
        finally:
            await again.close()

    # --- damage -----------------------------------------------------------------------------------------------------

    async def test_damage_is_named_and_confined_to_its_run(self, home: StoreHome, store: EventStore) -> None:
        for version in range(3):
            for run in ("a", "b", "c"):
                await commit(store, append(run, version, row=row(run)))
        await store.close()
        await home.damage("b", 2)
        again = await home.open(2)
        try:
            with pytest.raises(DamagedError) as met:
                await again.read("b")
            assert "append 2 of b" in str(met.value)
            assert [s.version for s in await again.read("b", 2)] == [3]
            assert [s.version for s in await again.read("a")] == [1, 2, 3]
            assert {s.stream for s in await collect(again.scan_live())} == {"a", "c"}
            assert len(await collect(again.scan(limit=2))) == 8
            assert [stream for stream, _ in again.damaged()] == ["b"]
            assert (await commit(again, append("c", 3, row=row("c")))).version == 4
            await commit(again, append("b", 3, row=row("b", live=False)))
            await again.delete_run("b")
            assert list(again.damaged()) == []
        finally:
            await again.close()
