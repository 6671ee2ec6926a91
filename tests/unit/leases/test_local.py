from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from msgspec.structs import replace

from relevo.domain.errors import InfrastructureError
from relevo.domain.ids import LEASE
from relevo.domain.stored import Stored
from relevo.leases import local
from relevo.leases.contract import Holder, LeaseHeld
from relevo.leases.local import LocalLeases
from relevo.runtime.processes import alive, identity
from relevo.store.contract import Fenced
from relevo.store.sqlite import SqliteStore, open_database
from relevo.store.sqlite.connection import CHECKPOINT_PAGES
from relevo.testing.contracts.leases import LeasesContract
from relevo.testing.contracts.store import append, submit
from relevo.testing.small_disk import fill, needs_root, small_disk


def holder_of(pid: int, address: str) -> Holder:
    who = identity(pid)
    return Holder(who.pid, who.start_ticks, who.boot_id, os.uname().nodename, 0, address)


class Place:
    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def leases(self) -> LocalLeases:
        return LocalLeases(lambda: open_database(self.path))

    def living(self, address: str) -> Holder:
        return holder_of(os.getpid(), address)

    def dead(self, address: str) -> Holder:
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
            return holder_of(process.pid, address)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "relevo.db")


class TestLocal(LeasesContract):
    pass


async def test_a_grant_fences_the_store_of_the_earlier_holder_at_once(place: Place) -> None:
    leases = place.leases()
    first = await leases.acquire(LEASE, place.living("a"))
    store = await SqliteStore.open(place.path, first.epoch, asyncio.get_running_loop())
    assert isinstance(await submit(store, append("run-1")), Stored)
    second = await leases.acquire(LEASE, place.living("b"), take_over=first.holder)
    refused = await submit(store, append("run-1", 1))
    assert isinstance(refused, Fenced)
    assert refused.current == second.epoch
    await store.close()


async def test_a_holder_whose_pid_was_used_again_is_dead(place: Place) -> None:
    leases = place.leases()
    me = place.living("a")
    await leases.acquire(LEASE, replace(me, start_ticks=me.start_ticks - 1))
    assert await leases.holder(LEASE) is None
    await leases.acquire(LEASE, replace(me, boot_id="an earlier boot"))
    assert await leases.holder(LEASE) is None


async def test_a_holder_on_another_host_counts_as_alive(place: Place) -> None:
    leases = place.leases()
    far = replace(place.dead("a"), host="elsewhere")
    await leases.acquire(LEASE, far)
    with pytest.raises(LeaseHeld):
        await leases.acquire(LEASE, place.living("b"))
    await leases.acquire(LEASE, place.living("b"), take_over=far)


#: Takes the lease, opens the store, and stops itself in the middle of a commit, holding the write lock.
STOPPED = """
    import asyncio, os, sys
    from relevo.leases.contract import Holder
    from relevo.leases.local import LocalLeases
    from relevo.domain.ids import LEASE
    from relevo.runtime import failpoints
    from relevo.runtime.processes import identity
    from relevo.store.contract import Append
    from relevo.store.sqlite import SqliteStore, open_database

    async def main():
        path = sys.argv[1]
        who = identity(os.getpid())
        holder = Holder(who.pid, who.start_ticks, who.boot_id, os.uname().nodename, 0, "stopped")
        lease = await LocalLeases(lambda: open_database(path)).acquire(LEASE, holder)
        loop = asyncio.get_running_loop()
        store = await SqliteStore.open(path, lease.epoch, loop)
        stored = loop.create_future()
        store.append(Append("run-1", 0, b"kept", 1, 0), stored.set_result)
        await stored
        failpoints.arm("store.before-commit=stop")
        store.append(Append("run-1", 1, b"lost", 1, 0), lambda outcome: None)
        await asyncio.sleep(60)

    asyncio.run(main())
"""


@pytest.fixture
def stopped(place: Place) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(STOPPED), place.path]) as process:
        try:
            _, status = os.waitpid(process.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status)
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


async def test_a_stopped_holder_of_the_write_lock_is_killed_by_a_take_over(
    place: Place, stopped: subprocess.Popen[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "LOCK_MS", 50)
    leases = place.leases()
    with pytest.raises(LeaseHeld) as met:
        await leases.acquire(LEASE, place.living("b"))
    assert met.value.holder.pid == stopped.pid
    assert alive(identity(stopped.pid))
    lease = await leases.acquire(LEASE, place.living("b"), take_over=met.value.holder)
    assert lease.epoch == 2
    assert stopped.wait() == -signal.SIGKILL
    store = await SqliteStore.open(place.path, lease.epoch, asyncio.get_running_loop())
    assert [stored.events for stored in await store.read("run-1")] == [b"kept"]
    assert isinstance(await submit(store, append("run-1", 1)), Stored)
    await store.close()


async def test_the_lock_of_a_program_that_holds_no_lease_kills_nobody(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "LOCK_MS", 50)
    connection = open_database(place.path)
    connection.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(InfrastructureError, match="locked by another program"):
            await place.leases().acquire(LEASE, place.living("b"), take_over=place.living("a"))
    finally:
        connection.close()


async def until_refused(leases: LocalLeases, holder: Holder) -> None:
    for _ in range(100):  # the database's log may have room for some
        await leases.acquire(LEASE, holder)


@needs_root
async def test_a_full_disk_is_named(tmp_path: Path) -> None:
    me = holder_of(os.getpid(), "")
    with small_disk(tmp_path / "disk") as disk:
        leases = LocalLeases(lambda: open_database(str(disk / "relevo.db")))
        lease = await leases.acquire(LEASE, me)
        filler = fill(disk)
        with pytest.raises(InfrastructureError, match=r"no room for .*relevo\.db"):
            await until_refused(leases, me)
        filler.unlink()
        await leases.release(lease)


class Syncs(apsw.VFS):
    """A disk that knows whether a database was written to, and not synced since."""

    def __init__(self) -> None:
        self.unsynced: bool | None = None
        super().__init__("syncs", "")

    def xOpen(self, name: Any, flags: Any) -> Any:
        return SyncedFile(self, name, flags)


class SyncedFile(apsw.VFSFile):
    def __init__(self, disk: Syncs, name: Any, flags: Any) -> None:
        self.disk = disk
        self.database = bool(flags[0] & apsw.SQLITE_OPEN_MAIN_DB)
        super().__init__("", name, flags)

    def xWrite(self, data: Any, offset: int) -> None:
        super().xWrite(data, offset)
        if self.database:
            self.disk.unsynced = True

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        if self.database:
            self.disk.unsynced = False


async def test_a_release_that_moves_what_was_committed_into_the_database_syncs_it(tmp_path: Path) -> None:
    path = str(tmp_path / "relevo.db")
    leases = Place(Path(path)).leases()
    lease = await leases.acquire(LEASE, holder_of(os.getpid(), ""))
    store = open_database(path)
    store.execute("PRAGMA wal_autocheckpoint = 0; CREATE TABLE large (bytes)").fetchall()
    store.execute("INSERT INTO large VALUES (zeroblob(?))", (CHECKPOINT_PAGES * 4_096,))
    disk = Syncs()

    def connect() -> apsw.Connection:
        connection = apsw.Connection(path, vfs="syncs")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}").fetchall()
        return connection

    await LocalLeases(connect).release(lease)
    assert disk.unsynced is False  # not None: it was written to
    store.close()
