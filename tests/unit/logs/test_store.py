"""What the file store promises beyond the contract: few syncs, few descriptors, flat memory, exactness when the disk refuses."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable

import pytest

from relevo.domain.errors import DamagedError
from relevo.domain.ids import AttemptKey
from relevo.logs import framing, segments, store, syncing, tail
from relevo.logs.contract import LogFrame, LogUnavailable
from relevo.logs.store import FileLogStore
from relevo.testing.contracts.logs import RUN, A, B, end_of, followed, frame, held, synced
from relevo.testing.sim_disk import Killed, SimDisk

OpenStore = Callable[[], FileLogStore]
ROOT = "/home/logs"
FIRST = f"{ROOT}/{RUN}/000001.seg"
SECOND = f"{ROOT}/{RUN}/000002.seg"


async def until(reached: Callable[[], bool]) -> None:
    """Turn the loop until something holds."""
    for _ in range(1000):
        if reached():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to it")


async def test_syncs_share_rounds(sim_store: OpenStore, disk: SimDisk) -> None:
    logs = sim_store()
    answers: list[object] = []
    for job in range(500):
        logs.write(AttemptKey(RUN, job, 1), frame(0, b"tiny"))
        logs.sync(answers.append)
    await synced(logs)
    assert answers == [None] * 500
    assert disk.syncs == 1
    await synced(logs)
    assert disk.syncs == 1, "nothing new, nothing to sync"
    await logs.close()


async def test_a_request_during_a_round_waits_for_the_next(sim_store: OpenStore, disk: SimDisk) -> None:
    logs = sim_store()
    logs.write(A, frame(0, b"a"))
    answers: list[str] = []
    logs.sync(lambda error: answers.append("first"))
    await asyncio.sleep(0)  # the round begins
    logs.write(A, frame(1, b"b"))
    logs.sync(lambda error: answers.append("second"))
    await until(lambda: bool(answers))
    assert answers == ["first"]
    await synced(logs)
    assert answers == ["first", "second"]
    assert disk.syncs == 2
    await logs.close()


async def test_descriptors_are_bounded_and_all_is_synced(
    sim_store: OpenStore, disk: SimDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "OPEN_RUNS", 8)
    logs = sim_store()
    keys = [AttemptKey(f"run-{n:03}", 0, 1) for n in range(100)]
    for part in (b"one ", b"two"):
        for key in keys:
            logs.write(key, frame(logs.size(key), part))
            assert disk.open_files <= 8
    assert await synced(logs) is None
    disk.crash(NoLuck())

    logs = sim_store()
    assert {held(logs, key) for key in keys} == {b"one two"}
    await logs.close()


class NoLuck:
    """Everything that was not synced is lost."""

    def uniform(self) -> float:
        return 0.0

    def token(self, size_bytes: int) -> bytes:
        return bytes(size_bytes)


class SomeLuck(NoLuck):
    """A write that is cut short leaves a quarter of its bytes behind."""

    def uniform(self) -> float:
        return 0.25


async def test_a_run_can_be_deleted_while_it_is_synced(sim_store: OpenStore, disk: SimDisk) -> None:
    logs = sim_store()
    logs.write(A, frame(0, b"a"))
    answers: list[object] = []
    logs.sync(answers.append)
    await asyncio.sleep(0)  # the round begins
    deletion = asyncio.ensure_future(logs.delete(RUN))
    await asyncio.sleep(0)
    with pytest.raises(LogUnavailable, match="being removed"):
        logs.write(A, frame(0, b"b"))
    await deletion
    assert answers == [None]
    assert disk.list(ROOT) == []
    assert disk.open_files == 0
    assert logs.write(A, frame(0, b"b")) == 1
    await logs.close()


async def test_idle_runs_leave_memory(sim_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LOADED_RUNS", 5)
    logs = sim_store()
    keys = [AttemptKey(f"run-{n:03}", 0, 1) for n in range(50)]
    for key in keys:
        logs.write(key, frame(0, b"x"))
        await synced(logs)
    assert len(logs._runs) <= 5
    assert logs._attempts <= 5
    for key in keys:
        assert logs.write(key, frame(1, b"y")) == 2
        logs.end(key, end_of(b"xy"))
    await logs.close()


@pytest.mark.parametrize("ragged", [False, True])
async def test_a_full_disk_leaves_the_segment_exact(
    sim_store: OpenStore, disk: SimDisk, ragged: bool
) -> None:
    logs = sim_store()
    logs.write(A, frame(0, b"kept"))
    before = disk.read(FIRST)
    disk.fill(30, ragged=ragged)
    with pytest.raises(LogUnavailable) as fault:
        logs.write(A, frame(4, b"no room"))
    assert fault.value.full
    assert ragged or disk.read(FIRST) == before
    with pytest.raises(LogUnavailable):
        logs.write(AttemptKey("other", 0, 1), frame(0, b"no room either"))
    assert logs.size(A) == 4
    assert logs.attempts("other") == []
    disk.free()
    assert logs.write(A, frame(4, b" and more")) == 13
    assert held(logs, A) == b"kept and more"
    assert await logs.verify(RUN) == []
    await logs.close()


async def test_a_full_disk_at_the_seal_leaves_the_segment_exact(
    sim_store: OpenStore, disk: SimDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 400)
    reached: list[str] = []
    monkeypatch.setattr(segments, "reach", reached.append)
    logs = sim_store()
    logs.write(A, frame(0, b"a" * 200))
    assert reached == []
    disk.fill(10)
    with pytest.raises(LogUnavailable):
        logs.write(A, frame(200, b"b" * 200))
    assert reached == ["logs.at-seal"]
    disk.free()
    logs.write(A, frame(200, b"b" * 200))
    assert disk.list(f"{ROOT}/{RUN}") == ["000001.seg", "000002.seg"]
    assert held(logs, A) == b"a" * 200 + b"b" * 200
    await logs.close()
    assert held(sim_store(), A) == b"a" * 200 + b"b" * 200


async def test_after_a_failed_sync_the_bytes_are_written_anew(sim_store: OpenStore, disk: SimDisk) -> None:
    logs = sim_store()
    other = AttemptKey("other", 0, 1)
    logs.write(A, frame(0, b"precious"))
    logs.write(other, frame(0, b"fine"))
    disk.fail_sync(RUN)
    error = await synced(logs)
    assert error is not None
    assert RUN in str(error)
    with pytest.raises(LogUnavailable):
        logs.write(A, frame(8, b"!"))
    assert logs.write(other, frame(4, b"!")) == 5, "its neighbour goes on"
    assert await synced(logs) is None
    assert logs.write(A, frame(8, b"!")) == 9
    assert await synced(logs) is None
    disk.crash(NoLuck())
    logs = sim_store()
    assert held(logs, A) == b"precious!"
    assert held(logs, other) == b"fine!"
    await logs.close()


async def test_an_acknowledgement_needs_the_names_too(sim_store: OpenStore, disk: SimDisk) -> None:
    logs = sim_store()
    logs.write(A, frame(0, b"a"))
    await synced(logs)
    disk.crash(NoLuck())
    assert held(sim_store(), A) == b"a"


async def test_bytes_sent_again_after_a_kill_are_synced_before_they_are_acknowledged(
    sim_store: OpenStore, disk: SimDisk
) -> None:
    logs = sim_store()
    logs.write(A, frame(0, b"only in the page cache"))
    disk.kill()
    logs = sim_store()
    assert logs.write(A, frame(0, b"only in the page cache")) == 22
    assert await synced(logs) is None
    disk.crash(NoLuck())
    assert held(sim_store(), A) == b"only in the page cache"


async def test_what_another_process_failed_to_sync_is_written_anew(
    sim_store: OpenStore, disk: SimDisk
) -> None:
    logs = sim_store()
    logs.write(A, frame(0, b"the kernel takes this for clean"))
    disk.fail_sync(RUN)
    assert await synced(logs) is not None
    disk.kill()
    logs = sim_store()
    size = logs.size(A)
    logs.write(A, frame(size, b", and more"))
    assert await synced(logs) is None
    disk.crash(NoLuck())
    assert held(sim_store(), A) == b"the kernel takes this for clean, and more"


async def test_a_header_that_another_process_failed_to_sync_is_written_anew(
    sim_store: OpenStore, disk: SimDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that counts of a torn segment is its header, and the kernel may take that for clean, too."""
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 300)
    logs = sim_store()
    logs.write(A, frame(0, b"a" * 200))
    disk.kill_at_write(2, SomeLuck())  # the first one seals, the second begins a segment
    with pytest.raises(Killed):
        logs.write(B, frame(0, b"b" * 200))
    assert framing.HEADER_SIZE < disk.size(SECOND) < 200
    disk.kill()
    logs = sim_store()
    logs.write(B, frame(0, b""))
    disk.fail_sync(SECOND)
    assert await synced(logs) is not None
    disk.kill()
    logs = sim_store()
    logs.write(B, frame(0, b"b" * 200))
    assert await synced(logs) is None
    disk.crash(NoLuck())
    logs = sim_store()
    assert held(logs, A) == b"a" * 200
    assert held(logs, B) == b"b" * 200
    assert await logs.verify(RUN) == []


async def test_a_segment_that_never_was_durable_may_be_missing(
    sim_store: OpenStore, disk: SimDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 300)
    logs = sim_store()
    for n in range(3):
        logs.write(A, frame(n * 200, b"x" * 200))
    disk.kill()
    disk.remove(FIRST)
    logs = sim_store()
    assert (logs.size(A), await logs.verify(RUN)) == (0, [])
    logs.write(A, frame(0, b"anew"))
    assert disk.list(f"{ROOT}/{RUN}") == ["000001.seg"]
    await logs.close()


async def test_a_missing_segment_that_was_durable_is_named(
    sim_store: OpenStore, disk: SimDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 300)
    logs = sim_store()
    for n in range(3):
        logs.write(A, frame(n * 200, b"x" * 200))
        await synced(logs)
    disk.kill()
    disk.remove(FIRST)
    logs = sim_store()
    assert f"{FIRST}:0: the segment is missing" in await logs.verify(RUN)
    with pytest.raises(DamagedError):
        held(logs, A)
    await logs.close()


async def test_damage_is_named_and_confined(sim_store: OpenStore, disk: SimDisk) -> None:
    logs = sim_store()
    other = AttemptKey("other", 0, 1)
    for key in (A, B, other):
        logs.write(key, frame(0, b"x" * 100))
        logs.end(key, end_of(b"x" * 100))
    await synced(logs)
    at = disk.read(FIRST).index(b"x" * 100)
    disk.kill()
    disk.flip(FIRST, at + 5)
    logs = sim_store()
    position = at - framing.HEAD_SIZE
    assert logs.ended(A) is None, "never green"
    assert any(f"{FIRST}:{position}" in line for line in await logs.verify(RUN))
    with pytest.raises(DamagedError) as damage:
        held(logs, A)
    assert damage.value.where.startswith(FIRST)
    assert held(logs, B) == b"x" * 100
    assert held(logs, other) == b"x" * 100
    assert await logs.verify("other") == []
    disk.flip(FIRST, at + 5)
    logs = sim_store()
    assert await logs.verify(RUN) == []
    await logs.close()


async def test_damage_under_a_living_store_is_named(sim_store: OpenStore, disk: SimDisk) -> None:
    logs = sim_store()
    logs.write(A, frame(0, b"x" * 100))
    logs.end(A, end_of(b"x" * 100))
    await synced(logs)
    at = disk.read(FIRST).index(b"x" * 100)
    disk.flip(FIRST, at)
    with pytest.raises(DamagedError, match=f"{FIRST}:{at - framing.HEAD_SIZE}"):
        held(logs, A)
    with pytest.raises(DamagedError):
        await followed(logs, A)
    assert any(FIRST in line for line in await logs.verify(RUN))
    disk.cut(FIRST, at)
    assert any("cut" in line for line in await logs.verify(RUN))
    await logs.close()


async def test_a_frame_that_a_step_prints_is_not_taken_for_one(sim_store: OpenStore, disk: SimDisk) -> None:
    forged = b"".join(
        framing.pack_head(framing.salt(RUN, 1), position, framing.DATA, b"forged", attempt=B) + b"forged"
        for position in (0, 16, 500)
    )
    logs = sim_store()
    logs.write(A, frame(0, forged))
    logs.write(A, frame(len(forged), b"more"))
    await synced(logs)
    disk.kill()
    disk.flip(FIRST, framing.HEADER_SIZE + 9)  # the head before the forged frames
    logs = sim_store()
    assert logs.attempts(RUN) == [A]
    assert (logs.size(A), logs.size(B)) == (0, 0)
    assert any(FIRST in line for line in await logs.verify(RUN))
    await logs.close()


async def test_what_a_crash_tore_does_not_come_back(
    sim_store: OpenStore, disk: SimDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 300)
    logs = sim_store()
    for n in range(4):
        logs.write(A, frame(n * 150, b"x" * 150))
    disk.kill()
    disk.cut(FIRST, 100)  # never synced: the machine's right
    logs = sim_store()
    assert (logs.size(A), await logs.verify(RUN)) == (0, [])
    logs.write(A, frame(0, b"anew"))
    await logs.close()
    assert disk.list(f"{ROOT}/{RUN}") == ["000001.seg"]
    assert held(sim_store(), A) == b"anew"


async def test_a_later_format_is_refused(
    sim_store: OpenStore, disk: SimDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = sim_store()
    with monkeypatch.context() as later:
        later.setattr(framing, "VERSION", 2)
        logs.write(A, frame(0, b"x"))
        await logs.close()
    before = disk.read(FIRST)
    with pytest.raises(DamagedError, match="later relevo"):
        sim_store().size(A)
    assert disk.read(FIRST) == before


async def test_reading_writes_nothing(sim_store: OpenStore, disk: SimDisk) -> None:
    logs = sim_store()
    logs.write(A, frame(0, b"x" * 50))
    disk.kill()
    disk.cut(FIRST, disk.size(FIRST) - 10)
    before = disk.read(FIRST)
    reader = sim_store()
    assert reader.size(A) == 0
    assert await reader.verify(RUN) == []
    await reader.close()
    assert disk.read(FIRST) == before
    assert sim_store().write(A, frame(0, b"y")) == 1


async def test_a_sealed_log_opens_without_reading_it(
    sim_store: OpenStore, disk: SimDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 1_000_000)
    logs = sim_store()
    line = b"a line of a hundred bytes" + b"." * 74 + b"\n"
    offset = 0
    while offset < 10_000_000:
        offset = logs.write(A, frame(offset, line * 500))
    await logs.close()
    logs = sim_store()
    read: list[int] = []
    inner = disk.read
    monkeypatch.setattr(disk, "read", lambda *given: (data := inner(*given), read.append(len(data)))[0])
    assert logs.size(A) == offset
    assert sum(read) < 1_500_000, "the footers and the last segment"
    read.clear()
    assert logs.line_offset(A, 55_555) == 5_555_500
    assert sum(read) < 700_000
    read.clear()
    assert held(logs, A, 5_555_500, 5_555_600) == line
    assert sum(read) < 200_000
    await logs.close()


async def test_reading_holds_a_block_not_the_log(sim_store: OpenStore) -> None:
    logs = sim_store()
    offset = 0
    for n in range(100):
        offset = logs.write(A, frame(offset, bytes([n]) * 200_000))
    await synced(logs)
    tracemalloc.start()
    try:
        assert sum(len(piece.data) for piece in logs.frames(A)) == offset
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()
    await logs.close()


async def test_followers_share_the_frames(sim_store: OpenStore) -> None:
    logs = sim_store()
    seen: list[list[LogFrame]] = [[], [], []]

    async def follow(into: list[LogFrame]) -> None:
        into.extend([piece async for piece in logs.follow(A)])

    tasks = [asyncio.ensure_future(follow(into)) for into in seen]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    data = b"one buffer for all\n"
    logs.write(A, frame(0, data))
    logs.end(A, end_of(data))
    await asyncio.gather(*tasks)
    assert len({id(into[0]) for into in seen}) == 1
    assert seen[0][0].data is data
    await logs.close()


async def test_nothing_grows_with_followers_that_do_not_read(sim_store: OpenStore) -> None:
    logs = sim_store()
    stalled = [logs.follow(A) for _ in range(20)]
    logs.write(A, frame(0, b"x"))
    for follower in stalled:
        await anext(follower)
    for n in range(100):
        logs.write(A, frame(1 + n * 100_000, bytes(100_000)))
    kept = logs._tails[A]
    assert kept._bytes <= tail.WINDOW_BYTES
    assert kept.followers == 20
    assert not kept._waiting
    for follower in stalled:
        await follower.aclose()
    assert not logs._tails, "nobody follows: nothing is kept"
    await logs.close()


async def test_a_cancelled_follower_leaves_nothing(sim_store: OpenStore) -> None:
    logs = sim_store()
    logs.write(A, frame(0, b"x"))
    tasks = [asyncio.ensure_future(followed(logs, A)) for _ in range(3)]
    await until(lambda: A in logs._tails and len(logs._tails[A]._waiting) == 3)
    tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    assert len(logs._tails[A]._waiting) == 2
    logs.end(A, end_of(b"x"))
    assert await asyncio.gather(*tasks[1:]) == [b"x", b"x"]
    assert not logs._tails
    await logs.close()


def test_windows_shrink_when_many_are_followed() -> None:
    assert tail.window_bytes(1) == tail.WINDOW_BYTES
    assert tail.window_bytes(1000) * 1000 <= tail.ALL_WINDOWS_BYTES
    assert tail.window_bytes(100_000) == tail.WINDOW_LEAST_BYTES


async def test_the_digest_is_brought_up_in_the_background(sim_store: OpenStore, disk: SimDisk) -> None:
    logs = sim_store()
    text = bytes(range(256)) * 2000
    logs.write(A, frame(0, text))
    disk.kill()
    logs = sim_store()
    logs.write(A, frame(len(text), b"more"))
    log = logs._runs[RUN].attempts[0, 1]
    await until(lambda: log.hashed == log.size)
    logs.write(A, frame(len(text) + 4, b"!"))
    assert log.hashed == log.size
    logs.end(A, end_of(text + b"more!"))
    await logs.close()


async def test_many_runs_are_synced_in_shares(sim_store: OpenStore, disk: SimDisk) -> None:
    logs = sim_store()
    for n in range(10):
        logs.write(AttemptKey(f"run-{n}", 0, 1), frame(0, b"x"))
    disk.fail_sync("run-3")
    assert isinstance(await synced(logs), LogUnavailable)
    assert [bool(run.failed) for run in logs._runs.values()] == [n == 3 for n in range(10)]
    assert syncing.SHARES > 1
    assert await synced(logs) is None
    await logs.close()
