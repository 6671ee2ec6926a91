from __future__ import annotations

import asyncio
from typing import Any

import pytest

from relevo.domain.stored import Stored
from relevo.store.contract import Conflict, StoreUnavailable
from relevo.store.memory import MemoryDisk, MemoryStore
from relevo.testing.contracts.store import EventStoreContract, append, commit, submit
from relevo.testing.faulty_store import FaultyStore


class FaultyHome:
    def __init__(self) -> None:
        self.disk = MemoryDisk()

    async def open(self, epoch: int) -> FaultyStore:
        loop = asyncio.get_running_loop()
        return FaultyStore(MemoryStore(self.disk, loop, epoch), loop)

    async def damage(self, stream: str, version: int) -> None:
        self.disk.damage.add((stream, version))


class TestFaultyWithoutFaults(EventStoreContract):
    @pytest.fixture
    def home(self) -> FaultyHome:
        return FaultyHome()


@pytest.fixture
async def store() -> FaultyStore:
    return await FaultyHome().open(1)


async def test_a_refused_append_is_not_stored(store: FaultyStore) -> None:
    store.fail(2, "refuse", StoreUnavailable("full", full=True))
    first, second, third = await asyncio.gather(*(submit(store, append(run)) for run in "abc"))
    assert isinstance(first, Stored)
    assert isinstance(second, StoreUnavailable)
    assert second.full
    assert isinstance(third, Stored)
    assert list(await store.read("b")) == []
    assert store.struck == 1


async def test_a_denied_append_is_stored_all_the_same(store: FaultyStore) -> None:
    store.fail(1, "deny")
    assert isinstance(await submit(store, append("a")), StoreUnavailable)
    assert len(await store.read("a")) == 1
    assert isinstance(await submit(store, append("a")), Conflict)


async def test_a_lost_answer_never_comes_and_holds_nobody_up(store: FaultyStore) -> None:
    store.fail(1, "lose-answer")
    lost = submit(store, append("a"))
    await commit(store, append("b"))
    assert not lost.done()
    assert len(await store.read("a")) == 1


async def test_a_delayed_answer_keeps_the_order(store: FaultyStore) -> None:
    store.fail(1, "delay", delay_s=0.001)
    told: list[Any] = []
    both = [submit(store, append(run)) for run in "ab"]
    for future in both:
        future.add_done_callback(lambda done: told.append(done.result().stream))
    await asyncio.gather(*both)
    await asyncio.sleep(0)
    assert told == ["a", "b"]
