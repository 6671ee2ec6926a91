"""Two engines at one log: the one that was taken over goes on, and harms nothing."""

from __future__ import annotations

import asyncio

import pytest
from blake3 import blake3

from relevo.domain.ids import AttemptKey
from relevo.logs.claim import Claim
from relevo.logs.contract import LogEnd, LogFrame, LogUnavailable
from relevo.logs.store import FileLogStore
from relevo.testing.in_loop import InLoop
from relevo.testing.sim_disk import SimDisk

KEY = AttemptKey("run", 0, 1)
ROOT = "/home/logs"


def engine(disk: SimDisk, epoch: int) -> FileLogStore:
    in_loop = InLoop(asyncio.get_running_loop())
    return FileLogStore(disk, ROOT, in_loop.loop, in_loop, Claim(disk, ROOT, epoch))


def frame(offset: int, data: bytes) -> LogFrame:
    return LogFrame(offset, 0, 0, data)


async def synced(store: FileLogStore) -> LogUnavailable | None:
    done: asyncio.Future[LogUnavailable | None] = asyncio.get_running_loop().create_future()
    store.sync(done.set_result)
    return await done


async def test_what_the_predecessor_appends_is_cut_off_by_the_successor(disk: SimDisk):
    old = engine(disk, 1)
    old.write(KEY, frame(0, b"one "))
    assert await synced(old) is None
    new = engine(disk, 2)
    new.size(KEY)  # it has read what there is
    old.write(KEY, frame(4, b"two "))
    new.write(KEY, frame(4, b"two "))
    new.write(KEY, frame(8, b"three"))
    new.end(KEY, LogEnd(13, blake3(b"one two three").digest()))
    assert await synced(new) is None
    assert b"".join(bytes(one.data) for one in new.frames(KEY)) == b"one two three"
    assert b"".join(bytes(one.data) for one in engine(disk, 3).frames(KEY)) == b"one two three"


async def test_the_predecessor_leaves_alone_what_the_successor_wrote(disk: SimDisk):
    old = engine(disk, 1)
    old.write(KEY, frame(0, b"one "))
    assert await synced(old) is None
    new = engine(disk, 2)
    new.write(KEY, frame(4, b"two"))
    with pytest.raises(LogUnavailable):
        old.write(KEY, frame(4, b"two"))
    assert b"".join(bytes(one.data) for one in new.frames(KEY)) == b"one two"


async def test_a_sync_that_failed_is_tried_again_when_somebody_wants_to_write(disk: SimDisk):
    store = engine(disk, 1)
    store.write(KEY, frame(0, b"one "))
    disk.fail_sync(ROOT)
    assert await synced(store) is not None
    with pytest.raises(LogUnavailable):
        store.write(KEY, frame(4, b"two"))
    for _ in range(20):
        await asyncio.sleep(0)
    store.write(KEY, frame(4, b"two"))
    assert await synced(store) is None
