from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from relevo.domain.ids import AttemptKey
from relevo.providers.contract import Command, Exit, WorkerSpec, WorkerUnavailable
from relevo.providers.dummy import DummyProvider
from relevo.testing.contracts.providers import RecordingSink, WorkerProviderContract


def script(*lines: str) -> Command:
    return Command(["bash", "-e", "\n".join(lines)], {}, "/")


class TestDummy(WorkerProviderContract):
    @pytest.fixture
    async def provider(self) -> AsyncIterator[DummyProvider]:
        provider = DummyProvider(asyncio.get_running_loop())
        yield provider
        await provider.close()
        assert not provider.workers

    def command(self, *lines: str) -> Command:
        return script(*lines)

    def missing_program(self) -> Command:
        return script("not-found")


@pytest.fixture
async def provider() -> DummyProvider:
    return DummyProvider(asyncio.get_running_loop())


async def test_remembers_what_ran_in_order(provider: DummyProvider) -> None:
    keys = [AttemptKey("r", job, 1) for job in (2, 1)]
    for key in keys:
        worker = await provider.create(WorkerSpec(key, "/"))
        sink = RecordingSink()
        await worker.start(script(f"exit {key.job}"), sink)
        await sink.until_ended()
        await worker.destroy()
    assert provider.ran == [(keys[0], "exit 2"), (keys[1], "exit 1")]


async def test_sleeps_in_the_time_of_the_loop(
    provider: DummyProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = provider.loop
    real = loop.call_later
    waited: list[float] = []

    def at_once(delay: float, callback: object, *args: object) -> asyncio.Handle:
        if delay < 3600:  # the patience of the test itself
            return real(delay, callback, *args)  # type: ignore[arg-type]
        waited.append(delay)
        return loop.call_soon(callback, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_later", at_once)
    worker = await provider.create(WorkerSpec(AttemptKey("r", 1, 1), "/"))
    sink = RecordingSink()
    await worker.start(script("print a", "sleep 3600", "print b"), sink)
    await sink.until_ended()
    assert waited == [3600.0]
    assert bytes(sink.data) == b"a\nb\n"


async def test_loses_its_worker_in_the_first_attempts_only(provider: DummyProvider) -> None:
    for number, expected in ((1, Exit(None, lost=True)), (2, Exit(0))):
        worker = await provider.create(WorkerSpec(AttemptKey("r", 1, number), "/"))
        sink = RecordingSink()
        await worker.start(script("lose-worker 1", "print here"), sink)
        assert await sink.until_ended() == expected
        if expected.lost:
            with pytest.raises(WorkerUnavailable):
                await worker.start(script(), RecordingSink())


async def test_has_no_worker_when_told_so(provider: DummyProvider) -> None:
    worker = await provider.create(WorkerSpec(AttemptKey("r", 1, 1), "/"))
    with pytest.raises(WorkerUnavailable, match="r/1/1"):
        await worker.start(script("fail-create 1"), RecordingSink())
    worker = await provider.create(WorkerSpec(AttemptKey("r", 1, 2), "/"))
    sink = RecordingSink()
    await worker.start(script("fail-create 1", "exit 4"), sink)
    assert await sink.until_ended() == Exit(4)


@pytest.mark.parametrize("line", ["frobnicate now", "exit soon", "sleep"])
async def test_does_not_pretend_to_know_other_words(provider: DummyProvider, line: str) -> None:
    worker = await provider.create(WorkerSpec(AttemptKey("r", 1, 1), "/"))
    sink = RecordingSink()
    await worker.start(script("# a comment", "", line), sink)
    assert await sink.until_ended() == Exit(127)
    assert bytes(sink.data) == f"dummy: {line}: not known\n".encode()


async def test_a_sink_that_pauses_inside_output_gets_no_more(provider: DummyProvider) -> None:
    worker = await provider.create(WorkerSpec(AttemptKey("r", 1, 1), "/"))
    sink = RecordingSink()
    process = await worker.start(script("print-bytes 200000", "print end"), sink)
    output, chunks = sink.output, 0

    def pausing(data: bytes) -> None:
        nonlocal chunks
        chunks += 1
        output(data)
        process.pause()

    sink.output = pausing  # type: ignore[method-assign]
    rounds = 0
    while not sink.exits:
        for _ in range(5):
            await asyncio.sleep(0)
        rounds += 1
        assert chunks <= rounds
        process.resume()
    assert len(sink.data) == 200_004
    assert chunks == 5
