"""The spool: what was written is there after a kill, what was acknowledged is gone, damage is named."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.agent.spool import LINGER_S, Intent, Spool
from relevo.domain.ids import AttemptKey
from relevo.protocol import messages as m
from relevo.protocol.framing import FRAME_LIMIT
from relevo.runtime.disk import OsDisk
from relevo.runtime.entropy import SeededEntropy
from relevo.testing.sim_disk import SimDisk
from relevo.testing.virtual_loop import run_virtual

records = m.decoder(m.Records)


async def at_once(function):
    function()


def spool_on(disk, **options) -> Spool:
    return Spool(disk, "/spool", asyncio.get_running_loop(), at_once, **options)


def record(number: int, size: int = 0) -> m.LogBytes:
    return m.LogBytes("run", 0, 1, number, 0, 0, b"x" * size)


def numbers(spool: Spool) -> list[int]:
    """Offsets of all records that would be sent, in order."""
    found = []
    at = spool.first
    while (frame := spool.at(at)) is not None:
        first, count, payload = frame
        decoded = records.decode(payload)
        assert (decoded.first, len(decoded.records)) == (first, count)
        found += [one.offset for one in decoded.records]
        at = first + count
    return found


async def test_records_of_one_turn_are_one_frame_and_reach_the_listener_as_they_lie_on_disk():
    spool = spool_on(SimDisk())
    spool.open()
    heard = []
    spool.flushed = lambda first, count, payload: heard.append((first, count, payload))
    for number in range(3):
        spool.add(record(number))
    await asyncio.sleep(0)
    assert [(first, count) for first, count, _ in heard] == [(1, 3)]
    assert spool.at(1) == heard[0]


async def test_a_record_that_can_wait_goes_with_the_next_that_cannot():
    spool = spool_on(SimDisk())
    spool.open()
    spool.add_lazily(record(1))
    await asyncio.sleep(0)
    assert not numbers(spool)
    assert not spool.empty
    spool.add(record(2))
    await asyncio.sleep(0)
    assert spool.at(1)[:2] == (1, 2)


def test_a_record_that_can_wait_goes_by_itself_after_a_moment():
    async def main():
        loop = asyncio.get_running_loop()
        spool = spool_on(SimDisk())
        spool.open()
        heard = []
        spool.flushed = lambda first, count, payload: heard.append(loop.time() - begun)
        begun = loop.time()
        spool.add_lazily(record(1))
        await asyncio.sleep(LINGER_S)
        spool.add_lazily(record(2))
        await asyncio.sleep(1)
        assert heard == [pytest.approx(LINGER_S), pytest.approx(2 * LINGER_S)]

    run_virtual(main())


async def test_what_was_written_survives_the_agent():
    disk = SimDisk()
    spool = spool_on(disk)
    spool.open()
    spool.add(record(1))
    spool.flush()
    spool.add(record(2))
    spool.flush()
    again = spool_on(disk)
    again.open()
    assert numbers(again) == [1, 2]
    assert again.next == 3


async def test_acknowledged_frames_are_not_sent_again_and_whole_segments_are_removed(tmp_path):
    spool = Spool(OsDisk(), str(tmp_path), asyncio.get_running_loop(), at_once)
    spool.open()
    for number in range(40):
        spool.add(record(number, 1 << 20))
        spool.flush()
    assert len(list(tmp_path.iterdir())) > 1
    spool.acknowledge(40)
    assert numbers(spool) == [39]
    assert len(list(tmp_path.iterdir())) == 1
    spool.acknowledge(41)
    assert spool.first == spool.next == 41
    spool.close()


async def test_numbers_are_never_used_twice():
    disk = SimDisk()
    spool = spool_on(disk)
    spool.open()
    spool.add(record(1))
    spool.flush()
    spool.acknowledge(2)
    spool.close()
    again = spool_on(disk)
    again.open()
    assert again.next >= 2


async def test_a_full_disk_holds_logs_back_and_goes_on_by_itself():
    disk = SimDisk()
    spool = spool_on(disk)
    spool.open()
    spool.add(record(1))
    spool.flush()
    disk.fill()
    spool.add(record(2))
    spool.flush()
    assert spool.full
    waiting = asyncio.ensure_future(spool.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    disk.free()
    await waiting
    assert numbers(spool) == [1, 2]


async def test_what_gathered_while_the_disk_was_full_becomes_frames_that_an_engine_takes():
    disk = SimDisk()
    spool = spool_on(disk)
    spool.open()
    disk.fill()
    for number in range(100):
        spool.add(record(number, 1 << 20), 1 << 20)
    assert spool.full
    sizes = []
    spool.flushed = lambda first, count, payload: sizes.append(len(payload))
    disk.free()
    await spool.room()
    assert numbers(spool) == list(range(100))
    assert max(sizes) < FRAME_LIMIT
    assert spool.size_bytes == sum(sizes)


async def test_too_much_that_waits_for_the_engine_holds_logs_back():
    spool = spool_on(SimDisk(), limit_bytes=100)
    spool.open()
    spool.add(record(1, 200), 200)
    spool.flush()
    assert spool.full
    waiting = asyncio.ensure_future(spool.room())
    await asyncio.sleep(0)
    spool.acknowledge(2)
    await waiting


async def test_what_an_earlier_agent_left_is_told():
    disk = SimDisk()
    spool = spool_on(disk)
    spool.open()
    spool.add(m.AttemptStarted("r", 0, 1))
    spool.add(m.AttemptStarted("r", 1, 1))
    spool.add(m.AttemptFinished("r", 0, 1, "succeeded"))
    await spool.intend(Intent("r", 1, 1, 0))
    found = spool_on(disk).open()
    assert found.started == {AttemptKey("r", 0, 1), AttemptKey("r", 1, 1)}
    assert found.ended == {AttemptKey("r", 0, 1)}
    assert found.intended == {AttemptKey("r", 1, 1)}
    assert not found.damage


@pytest.mark.parametrize("cut", [1, 5, 9, 30])
async def test_a_write_that_a_crash_cut_is_cut_off(cut):
    disk = SimDisk()
    spool = spool_on(disk)
    spool.open()
    spool.add(record(1))
    spool.flush()
    spool.add(record(2))
    spool.flush()
    spool.close()
    name = f"/spool/{disk.list('/spool')[0]}"
    disk.cut(name, disk.size(name) - cut)
    again = spool_on(disk)
    assert not again.open().damage
    assert numbers(again) == [1]
    again.add(record(7))
    again.flush()
    assert numbers(again) == [1, 7]


async def test_what_another_relevo_spooled_and_nobody_understands_is_named_and_stops_nobody():
    disk = SimDisk()
    spool = spool_on(disk)
    spool.open()
    for number in range(2):
        spool.add(record(number))
        spool.flush()
    spool._write(b"\x93\xa7Strange\x01\x02", 0, 0)
    again = spool_on(disk)
    assert "not understood" in again.open().damage[0]
    assert numbers(again) == [0, 1]
    again.add(record(2))
    again.flush()
    assert numbers(again) == [0, 1, 2]


async def test_flipped_bytes_are_named_and_end_the_spool_there():
    disk = SimDisk()
    spool = spool_on(disk)
    spool.open()
    for number in range(3):
        spool.add(record(number, 50))
        spool.flush()
    spool.close()
    name = f"/spool/{disk.list('/spool')[0]}"
    disk.flip(name, disk.size(name) // 2)
    again = spool_on(disk)
    found = again.open()
    assert len(found.damage) == 1
    assert "checksum disagrees" in found.damage[0]
    assert numbers(again) == [0]


@given(st.lists(st.sampled_from(["add", "flush", "ack", "restart"]), max_size=40))
def test_any_history_keeps_order_and_loses_nothing(steps):
    async def play():
        disk = SimDisk()
        spool = spool_on(disk)
        spool.open()
        written, count, acknowledged = [], 0, 0
        pending = []
        for step in steps:
            if step == "add":
                pending.append(count)
                spool.add(record(count))
                count += 1
            elif step == "flush":
                spool.flush()
                written += pending
                pending = []
            elif step == "ack" and len(written) > acknowledged:
                spool.acknowledge(spool.first + 1)
                acknowledged = len(written) - len(numbers(spool))
            elif step == "restart":
                pending = []
                spool = spool_on(disk)
                spool.open()
                acknowledged = len(written) - len(numbers(spool))
            assert numbers(spool) == written[acknowledged:]

    asyncio.run(play())


async def test_an_intent_outlives_the_segment_it_was_written_to():
    disk = SimDisk()
    spool = spool_on(disk)
    spool.open()
    for job in (1, 2):
        await spool.intend(Intent("run", job, 1, 0))
    for number in range(40):
        spool.add(record(number, 1 << 20))
        spool.flush()
    spool.add(m.AttemptFinished("run", 2, 1, "succeeded"))
    spool.flush()
    await asyncio.sleep(0)
    spool.acknowledge(spool.next)
    for number in range(40):
        spool.add(record(number, 1 << 20))
        spool.flush()
    await asyncio.sleep(0)
    spool.acknowledge(spool.next)
    assert len(disk.list("/spool")) == 1
    assert spool_on(disk).open().intended == {AttemptKey("run", 1, 1)}


@pytest.mark.parametrize("seed", range(8))
def test_an_intent_outlives_the_loss_of_an_end_that_nobody_has_yet(seed: int):
    async def live() -> None:
        disk = SimDisk()
        spool = Spool(disk, "/home/spool", asyncio.get_running_loop(), at_once)
        spool.open()
        await spool.intend(Intent("run", 1, 1, 0))
        for number in range(17):
            spool.add(record(number, 1 << 20))
            spool.flush()
        spool.add(m.AttemptFinished("run", 1, 1, "succeeded"))
        spool.flush()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        spool.acknowledge(18)
        assert len(disk.list("/home/spool")) == 1
        disk.crash(SeededEntropy(seed))
        found = Spool(disk, "/home/spool", asyncio.get_running_loop(), at_once).open()
        assert AttemptKey("run", 1, 1) in found.intended | found.ended

    asyncio.run(live())


async def test_an_intent_of_an_earlier_agent_stays_until_it_stands_elsewhere():
    disk = SimDisk()
    spool = spool_on(disk)
    spool.open()
    spool.add(record(1))
    await spool.intend(Intent("run", 1, 1, 0))
    spool.close()
    heir = spool_on(disk)
    heir.open()
    heir.acknowledge(heir.next)
    assert spool_on(disk).open().intended == {AttemptKey("run", 1, 1)}
    heir.add(m.AttemptFinished("run", 1, 1, "lost", held=True))
    heir.flush()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(disk.list("/spool")) == 1
    heir.acknowledge(heir.next)
    assert heir.empty


async def test_a_segment_goes_only_after_the_intents_in_it_are_durable_elsewhere():
    disk = SimDisk()
    synced: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def slowly(sync):
        if len(disk.list("/home/spool")) > 1:
            await synced
        sync()

    spool = Spool(disk, "/home/spool", asyncio.get_running_loop(), slowly)
    spool.open()
    await spool.intend(Intent("run", 1, 1, 0))
    for number in range(20):
        spool.add(record(number, 1 << 20))
        spool.flush()
    await asyncio.sleep(0)
    spool.acknowledge(spool.next)
    disk.crash(SeededEntropy(1))
    again = Spool(disk, "/home/spool", asyncio.get_running_loop(), at_once)
    assert again.open().intended == {AttemptKey("run", 1, 1)}
    synced.cancel()
    await asyncio.sleep(0)


async def test_zeros_that_a_loss_of_power_left_are_no_frame():
    disk = SimDisk()
    spool = spool_on(disk)
    spool.open()
    spool.add(record(1))
    spool.flush()
    spool.close()
    [name] = [name for name in disk.list("/spool") if name.endswith(".spool")]
    disk.append(f"/spool/{name}").write(bytes(64))
    again = spool_on(disk)
    again.open()
    assert numbers(again) == [1]


async def test_an_end_that_the_disk_does_not_take_yet_is_known():
    disk = SimDisk()
    spool = spool_on(disk)
    spool.open()
    disk.fill()
    spool.add(m.AttemptFinished("run", 0, 1, "succeeded"))
    spool.flush()
    assert spool.unwritten_ends() == [AttemptKey("run", 0, 1)]
    disk.free()
    spool._again()  # its timer is half a second away
    assert spool.unwritten_ends() == []
    spool.close()


@given(st.integers(0, 1_000))
def test_an_intent_survives_the_loss_of_power(seed: int):
    async def live() -> None:
        disk = SimDisk()
        disk.make("/home/agent")
        spool = Spool(disk, "/home/agent/spool", asyncio.get_running_loop(), at_once)
        spool.open()
        disk.sync_folder("/")
        await spool.intend(Intent("run", 0, 1, 0))
        disk.crash(SeededEntropy(seed))
        again = Spool(disk, "/home/agent/spool", asyncio.get_running_loop(), at_once)
        assert again.open().intended == {AttemptKey("run", 0, 1)}

    asyncio.run(live())


async def test_removals_that_a_loss_of_power_undid_bring_back_nothing():
    disk = SimDisk()
    for number in range(1, 4):  # a segment for each incarnation
        spool = spool_on(disk)
        spool.open()
        spool.add(record(number))
        spool.flush()
        spool.close()
    disk.remove("/spool/00000000000000000002.spool")  # all was acknowledged, and the first came back
    spool = spool_on(disk)
    assert not spool.open().damage
    assert (spool.first, spool.next, numbers(spool)) == (3, 4, [3])
    spool.add(record(4))
    spool.flush()
    await spool.sync()
    await asyncio.sleep(0)
    assert disk.list("/spool") == ["00000000000000000003.spool", "00000000000000000004.spool"]
    spool.close()
