"""The contract of log stores, over real files, over a simulated disk, and through the faulty adapter."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from relevo.logs import segments
from relevo.logs.blocking import Threads
from relevo.logs.contract import LogStore, LogUnavailable
from relevo.logs.store import FileLogStore
from relevo.runtime.disk import OsDisk
from relevo.testing.contracts.logs import A, LogStoreContract, frame, held, synced
from relevo.testing.faulty_logs import FaultyLogStore
from relevo.testing.sim_disk import SimDisk


class TestOnFiles(LogStoreContract):
    @pytest.fixture
    async def open_store(self, tmp_path: Path) -> Iterator[Callable[[], LogStore]]:
        loop = asyncio.get_running_loop()
        threads = Threads(loop)
        before = set(os.listdir("/proc/self/fd"))
        yield lambda: FileLogStore(OsDisk(), str(tmp_path / "logs"), loop, threads)
        threads.close()
        assert set(os.listdir("/proc/self/fd")) == before
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("relevo-logs")]


class TestOnSimulatedDisk(LogStoreContract):
    @pytest.fixture
    def open_store(
        self, sim_store: Callable[[], FileLogStore], disk: SimDisk
    ) -> Iterator[Callable[[], LogStore]]:
        yield sim_store
        assert disk.open_files == 0


class TestOnTinySegments(TestOnSimulatedDisk):
    """Every few frames a segment is sealed."""

    @pytest.fixture(autouse=True)
    def _tiny(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(segments, "SEGMENT_BYTES", 2000)


class TestThroughFaultyAdapter(LogStoreContract):
    @pytest.fixture
    def open_store(self, sim_store: Callable[[], FileLogStore]) -> Callable[[], LogStore]:
        return lambda: FaultyLogStore(sim_store())


async def test_the_faulty_adapter_fails_on_command(sim_store: Callable[[], FileLogStore]) -> None:
    store = FaultyLogStore(sim_store())
    store.fail("write", after=1, full=True)
    store.write(A, frame(0, b"a"))
    with pytest.raises(LogUnavailable) as fault:
        store.write(A, frame(1, b"b"))
    assert fault.value.full
    store.write(A, frame(1, b"b"))
    assert held(store, A) == b"ab"
    store.fail("sync", times=2)
    assert await synced(store) is not None
    assert await synced(store) is not None
    assert await synced(store) is None
    store.hold_syncs()
    answers: list[object] = []
    store.sync(answers.append)
    await synced(store.inner)
    assert answers == []
    store.release_syncs()
    assert answers == [None]
    await store.close()
