from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from relevo.domain.ids import AttemptKey
from relevo.providers.contract import Command, Exit, WorkerSpec, WorkerUnavailable
from relevo.providers.dummy import DummyProvider
from relevo.testing.contracts.providers import RecordingSink
from relevo.testing.faulty_provider import FaultyProvider

KEY = AttemptKey("r", 1, 1)
SPEC = WorkerSpec(KEY, "/")


def failing_once(where: str) -> Callable[[str, AttemptKey | None], bool]:
    left = [where]

    def decide(point: str, attempt: AttemptKey | None) -> bool:
        if point in left:
            left.remove(point)
            return True
        return False

    return decide


def faulty(where: str) -> FaultyProvider:
    return FaultyProvider(DummyProvider(asyncio.get_running_loop()), failing_once(where))


def script(text: str) -> Command:
    return Command([text], {}, "/")


async def test_recover_fails_then_works() -> None:
    provider = faulty("recover")
    with pytest.raises(WorkerUnavailable):
        await provider.recover()
    assert await provider.recover() == []
    assert provider.failed["recover"] == 1


async def test_create_fails_then_works() -> None:
    provider = faulty("create")
    with pytest.raises(WorkerUnavailable):
        await provider.create(SPEC)
    await (await provider.create(SPEC)).destroy()


async def test_start_fails_then_works() -> None:
    worker = await faulty("start").create(SPEC)
    with pytest.raises(WorkerUnavailable):
        await worker.start(script(""), RecordingSink())
    sink = RecordingSink()
    await worker.start(script("exit 3"), sink)
    assert await sink.until_ended() == Exit(3)


async def test_the_worker_vanishes() -> None:
    worker = await faulty("vanish").create(SPEC)
    sink = RecordingSink()
    await worker.start(script("hang"), sink)
    assert await sink.until_ended() == Exit(None, lost=True)
    with pytest.raises(WorkerUnavailable):
        await worker.start(script(""), RecordingSink())
    await worker.destroy()


async def test_an_end_is_never_told() -> None:
    worker = await faulty("silent").create(SPEC)
    sink = RecordingSink()
    await worker.start(script("print hello"), sink)
    await sink.until_output(b"hello")
    await worker.destroy()
    assert not sink.exits


async def test_destroy_fails_then_works() -> None:
    provider = faulty("destroy")
    worker = await provider.create(SPEC)
    sink = RecordingSink()
    await worker.start(script("hang"), sink)
    with pytest.raises(WorkerUnavailable):
        await worker.destroy()
    assert not sink.exits
    await worker.destroy()
    assert len(sink.exits) == 1


async def test_without_faults_it_is_the_provider_inside() -> None:
    provider = FaultyProvider(DummyProvider(asyncio.get_running_loop()), lambda point, attempt: False)
    assert (provider.name, provider.inline_scripts) == ("dummy", True)
    worker = await provider.create(SPEC)
    sink = RecordingSink()
    await worker.start(script("print hello"), sink)
    assert await sink.until_ended() == Exit(0)
    await worker.end(1.0)
    await provider.close()
    assert not any(provider.failed.values())
