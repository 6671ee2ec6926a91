from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import pytest

from relevo.domain.ids import AttemptKey
from relevo.providers.contract import Command, Exit, WorkerSpec, WorkerUnavailable
from relevo.providers.process import ProcessProvider, cgroups
from relevo.providers.process.limits import settings, why_no_limit
from relevo.testing.contracts.providers import RecordingSink, attempt_key

from .conftest import PATH, bash

MIB = 1 << 20
KEY = AttemptKey("r", 1, 1)


def need(controller: str) -> None:
    if reason := why_no_limit(controller, cgroups.discover()):
        pytest.skip(f"{controller} limit: {reason}")


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.002)


def python(code: str) -> Command:
    return Command([sys.executable, "-I", "-S", "-c", code], {"PATH": PATH}, "/")


@pytest.mark.parametrize(
    ("controller", "spec", "v1", "v2"),
    [
        (
            "memory",
            WorkerSpec(KEY, "/", memory_bytes=1000),
            (("memory.limit_in_bytes", "1000"), ("memory.memsw.limit_in_bytes", "1000")),
            (("memory.max", "1000"), ("memory.swap.max", "0")),
        ),
        ("pids", WorkerSpec(KEY, "/", pids=10), (("pids.max", "11"),), (("pids.max", "11"),)),
        (
            "cpu",
            WorkerSpec(KEY, "/", cpus=1.5),
            (("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "150000")),
            (("cpu.max", "150000 100000"),),
        ),
        (
            "cpu",
            WorkerSpec(KEY, "/", cpus=0.001),
            (("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "1000")),
            (("cpu.max", "1000 100000"),),
        ),
        ("memory", WorkerSpec(KEY, "/", pids=3), (), ()),
    ],
)
def test_settings(controller: str, spec: WorkerSpec, v1: object, v2: object) -> None:
    assert settings(controller, spec, unified=False) == v1
    assert settings(controller, spec, unified=True) == v2


async def test_out_of_memory_is_named_and_only_once(provider: ProcessProvider) -> None:
    need("memory")
    worker = await provider.create(WorkerSpec(attempt_key(), "/", memory_bytes=64 * MIB))
    sink = RecordingSink()
    await worker.start(python("x = b'x' * (256 << 20)"), sink)
    assert await sink.until_ended() == Exit(None, signal=9, out_of_memory=True)
    sink = RecordingSink()
    await worker.start(bash("kill -9 $$"), sink)
    assert await sink.until_ended() == Exit(None, signal=9)
    await worker.destroy()


async def test_out_of_memory_below_a_shell_is_named(provider: ProcessProvider) -> None:
    """The shell tells 137, which alone says nothing."""
    need("memory")
    worker = await provider.create(WorkerSpec(attempt_key(), "/", memory_bytes=64 * MIB))
    sink = RecordingSink()
    await worker.start(bash(f"{sys.executable} -I -S -c 'x = b\"x\" * (256 << 20)'; exit $?"), sink)
    assert await sink.until_ended() == Exit(137, out_of_memory=True)
    await worker.destroy()


async def test_too_many_processes_fail_in_the_step(provider: ProcessProvider) -> None:
    need("pids")
    code = """
import os
made = 0
try:
    while made < 50:
        if not os.fork():
            os.read(0, 1)
            import time; time.sleep(1000)
        made += 1
except BlockingIOError:
    pass
print(made)
"""
    worker = await provider.create(WorkerSpec(attempt_key(), "/", pids=10))
    sink = RecordingSink()
    await worker.start(python(code), sink)
    assert (await sink.until_ended()).ok
    assert bytes(sink.data) == b"9\n"
    await worker.destroy()


async def test_processor_time_is_throttled(provider: ProcessProvider) -> None:
    need("cpu")
    worker = await provider.create(WorkerSpec(attempt_key(), "/", cpus=0.05))
    sink = RecordingSink()
    await worker.start(python("while True: pass"), sink)
    assert worker._slot is not None
    folders = worker._slot.record.folders
    folder = folders.get("cpu") or folders["unified"]
    # Less than it may have is all that it gets of a busy machine, now and then.
    await until(lambda: cgroups.counter(f"{folder}/cpu.stat", "nr_throttled"))
    await worker.end(0.0)
    await worker.destroy()


async def test_the_next_attempt_is_free_of_the_limits_before(provider: ProcessProvider) -> None:
    need("memory")
    paths = set()
    for memory_bytes, expected in ((64 * MIB, False), (None, True), (400 * MIB, True), (64 * MIB, False)):
        worker = await provider.create(WorkerSpec(attempt_key(), "/", memory_bytes=memory_bytes))
        paths.add(worker.slot_path)
        sink = RecordingSink()
        await worker.start(python("x = b'x' * (128 << 20)"), sink)
        assert (await sink.until_ended()).ok is expected
        await worker.destroy()
    assert len(paths) == 1


async def test_limits_hold_after_end_renewed_the_worker(provider: ProcessProvider) -> None:
    need("memory")
    worker = await provider.create(WorkerSpec(attempt_key(), "/", memory_bytes=64 * MIB))
    sink = RecordingSink()
    await worker.start(bash("trap '' INT TERM; echo ready; sleep 1000"), sink)
    await sink.until_output(b"ready")
    await worker.end(0.0)
    sink = RecordingSink()
    await worker.start(python("x = b'x' * (256 << 20)"), sink)
    assert (await sink.until_ended()).out_of_memory
    await worker.destroy()


async def test_what_the_machine_cannot_limit_runs_without_and_says_so(
    provider: ProcessProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "_layout", cgroups.Layout())
    monkeypatch.setattr(provider, "_mechanism", "subreaper")
    worker = await provider.create(WorkerSpec(attempt_key(), "/", memory_bytes=64 * MIB, cpus=1.0))
    assert [warning.partition(":")[0] for warning in worker.warnings] == [
        "the memory of this job is not limited",
        "the cpu of this job is not limited",
    ]
    sink = RecordingSink()
    await worker.start(python("x = b'x' * (96 << 20)"), sink)
    assert (await sink.until_ended()).ok
    await worker.destroy()


async def test_a_limit_that_goes_wrong_where_it_should_work_is_refused(
    provider: ProcessProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("memory")

    def refuse(*_: object) -> None:
        raise OSError("the kernel says no")

    monkeypatch.setattr("relevo.providers.process.limits._write_if_there", refuse)
    with pytest.raises(
        WorkerUnavailable, match=r"memory limit of attempt .* cannot be set: the kernel says no"
    ):
        await provider.create(WorkerSpec(attempt_key(), "/", memory_bytes=64 * MIB))
    assert not provider._workers
