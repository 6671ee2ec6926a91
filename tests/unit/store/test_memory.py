from __future__ import annotations

import asyncio
from typing import Any

import pytest

from relevo.domain.stored import Stored
from relevo.store.contract import StoreUnavailable
from relevo.store.memory import MemoryDisk, MemoryStore
from relevo.testing.contracts.store import EventStoreContract, append, commit, submit


class MemoryHome:
    def __init__(self) -> None:
        self.disk = MemoryDisk()

    async def open(self, epoch: int) -> MemoryStore:
        return MemoryStore(self.disk, asyncio.get_running_loop(), epoch)

    async def damage(self, stream: str, version: int) -> None:
        self.disk.damage.add((stream, version))


class TestMemory(EventStoreContract):
    @pytest.fixture
    def home(self) -> MemoryHome:
        return MemoryHome()


class ByHand:
    """A loop whose timers fire when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Any, tuple[Any, ...]]] = []

    def call_later(self, delay: float, call: Any, *arguments: Any) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(self.now + delay, call, arguments, asyncio.get_running_loop())
        self.timers.append((self.now + delay, handle, ()))
        return handle

    def advance(self, to: float) -> None:
        self.now = to
        due = [timer for timer in self.timers if timer[0] <= to]
        self.timers = [timer for timer in self.timers if timer[0] > to]
        for _, handle, _ in due:
            if not handle.cancelled():
                handle._run()


@pytest.mark.parametrize(("crash_at", "stored"), [(0.4, 0), (0.6, 1), (1.1, 1)])
async def test_a_crash_loses_what_is_not_durable_and_only_that(crash_at: float, stored: int) -> None:
    loop = ByHand()
    disk = MemoryDisk()
    store = MemoryStore(disk, loop, 1, lambda: 1.0)  # type: ignore[arg-type]
    told: list[Any] = []
    store.append(append("a"), told.append)
    for moment in (0.25, 0.5, 0.55, 0.75, 1.0):
        if moment > crash_at:
            break
        loop.advance(moment)
    store.crash()
    loop.advance(9)
    assert len(told) == (1 if crash_at > 1 else 0)
    assert len(disk.streams.get("a", [])) == stored

    again = MemoryStore(disk, asyncio.get_running_loop(), 2)
    assert again.sequence == stored
    assert (await commit(again, append("a", stored))).sequence == stored + 1


async def test_what_comes_while_a_commit_runs_shares_the_next_one() -> None:
    loop = ByHand()
    store = MemoryStore(MemoryDisk(), loop, 1, lambda: 1.0)  # type: ignore[arg-type]
    told: list[Any] = []
    store.append(append("a"), told.append)
    loop.advance(0.5)
    for n in range(10):
        store.append(append(f"b{n}"), told.append)
    loop.advance(1.0)
    assert len(told) == 1
    loop.advance(1.5)
    loop.advance(2.0)
    assert len(told) == 11


async def test_a_full_disk_refuses_until_there_is_room() -> None:
    disk = MemoryDisk()
    store = MemoryStore(disk, asyncio.get_running_loop(), 1)
    disk.full = True
    refused = await submit(store, append("a"))
    assert isinstance(refused, StoreUnavailable)
    assert refused.full
    disk.full = False
    assert isinstance(await submit(store, append("a")), Stored)
