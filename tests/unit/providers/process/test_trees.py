from __future__ import annotations

import asyncio
import os
import tempfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relevo.providers.contract import WorkerSpec
from relevo.providers.process import ProcessProvider
from relevo.testing.contracts.providers import RecordingSink, attempt_key

from .conftest import bash, own_groups
from .family import Member, family_command, living, new_token, size, until_living

FUGITIVES = {
    "own session": Member(own_session=True),
    "double fork": Member(own_session=True, double_fork=True),
    "cleared environment": Member(clear_environment=True),
    "ignored signals": Member(ignore_signals=True),
    "stopped": Member(stopped=True),
    "all of it": Member(True, True, True, True),
    "grandchild": Member(
        children=(Member(True, True, True, True, children=(Member(True, True, True, True),)),)
    ),
}


@pytest.mark.parametrize("member", FUGITIVES.values(), ids=FUGITIVES.keys())
async def test_nobody_outlives_destroy(provider: ProcessProvider, member: Member) -> None:
    token = new_token()
    worker = await provider.create(WorkerSpec(attempt_key(), "/"))
    sink = RecordingSink()
    await worker.start(family_command([member], token), sink)
    assert (await sink.until_ended()).ok
    await until_living(token, size([member]))
    await worker.destroy()
    assert living(token) == []


async def test_nobody_outlives_end_and_the_next_step_runs(provider: ProcessProvider) -> None:
    token = new_token()
    member = FUGITIVES["all of it"]
    worker = await provider.create(WorkerSpec(attempt_key(), "/"))
    sink = RecordingSink()
    await worker.start(family_command([member], token, wait=True), sink)
    await until_living(token, 2)
    await worker.end(0.02)
    assert living(token) == []
    assert len(sink.exits) == 1
    sink = RecordingSink()
    await worker.start(bash("echo always"), sink)
    assert (await sink.until_ended()).ok
    assert bytes(sink.data) == b"always\n"
    await worker.destroy()


async def test_background_children_live_until_destroy(provider: ProcessProvider) -> None:
    """Jobs start servers in one step and use them in the next."""
    token = new_token()
    worker = await provider.create(WorkerSpec(attempt_key(), "/"))
    for command in (family_command([Member()], token), bash("true"), bash("true")):
        sink = RecordingSink()
        await worker.start(command, sink)
        assert (await sink.until_ended()).ok
    await until_living(token, 1)
    await worker.destroy()
    assert living(token) == []


async def test_a_signal_reaches_the_descendants(provider: ProcessProvider) -> None:
    token = new_token()
    worker = await provider.create(WorkerSpec(attempt_key(), "/"))
    sink = RecordingSink()
    process = await worker.start(
        family_command([Member(True, True, True), Member(own_session=True)], token, wait=True), sink
    )
    await until_living(token, 3)
    process.signal(15)
    await until_living(token, 0)
    assert (await sink.until_ended()).signal == 15
    await worker.destroy()


async def test_a_clean_slot_is_used_again(provider: ProcessProvider) -> None:
    pids = set()
    for _ in range(3):
        worker = await provider.create(WorkerSpec(attempt_key(), "/"))
        sink = RecordingSink()
        await worker.start(bash("true"), sink)
        await sink.until_ended()
        assert worker._slot is not None
        assert worker._slot.launcher is not None
        pids.add(worker._slot.launcher.identity)
        await worker.destroy()
    assert len(pids) == 1


async def test_a_slot_with_leftovers_is_not_used_again(provider: ProcessProvider) -> None:
    key = attempt_key()
    worker = await provider.create(WorkerSpec(key, "/"))
    assert worker._slot is not None
    first = worker._slot.path
    sink = RecordingSink()
    await worker.start(bash("sleep 1000 >/dev/null 2>&1 &"), sink)
    await sink.until_ended()
    await worker.destroy()
    worker = await provider.create(WorkerSpec(attempt_key(), "/"))
    assert worker._slot is not None
    assert worker._slot.path != first
    assert os.path.exists(first), "it names who had it"
    provider.forget(key)
    assert not os.path.exists(first)
    await worker.destroy()


@st.composite
def members(draw: st.DrawFn, generations: int) -> Member:
    """Who stops has no time for children."""
    flags = [draw(st.booleans()) for _ in range(4)]
    if generations == 1:
        return Member(*flags, stopped=draw(st.booleans()))
    children = draw(st.integers(0, 2))
    return Member(*flags, children=tuple(draw(members(generations - 1)) for _ in range(children)))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(family=st.lists(st.integers(1, 3).flatmap(members), min_size=1, max_size=3))
def test_no_family_whatever_it_does_outlives_destroy(mechanism: str, family: list[Member]) -> None:
    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as folder:
            provider = ProcessProvider(folder, mechanism=mechanism)
            token = new_token()
            worker = await provider.create(WorkerSpec(attempt_key(), "/"))
            sink = RecordingSink()
            await worker.start(family_command(family, token), sink)
            await sink.until_ended()
            await until_living(token, size(family))
            await worker.destroy()
            assert living(token) == []
            await provider.close()
            assert own_groups(provider) == []

    asyncio.run(scenario())
