"""What every worker provider does. Subclass `WorkerProviderContract`, give it a `provider` fixture and a `command`."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from relevo.domain.ids import AttemptKey
from relevo.providers.contract import Command, Exit, Worker, WorkerProvider, WorkerSpec, WorkerUnavailable

_keys = iter(range(1, 1_000_000))


def attempt_key() -> AttemptKey:
    """One that no other test on this machine has: what carries its mark may be killed."""
    return AttemptKey(f"contract{os.getpid()}", next(_keys), 1)


class RecordingSink:
    """Keeps what a process did."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.exits: list[Exit] = []
        self.after_end = bytearray()  #: output of background children
        self._changed: asyncio.Future[None] | None = None

    def output(self, data: bytes) -> None:
        (self.after_end if self.exits else self.data).extend(data)
        self._wake()

    def ended(self, exit: Exit) -> None:
        self.exits.append(exit)
        self._wake()

    async def until_ended(self) -> Exit:
        """Its exit."""
        while not self.exits:
            await self._change()
        return self.exits[0]

    async def until_output(self, text: bytes) -> None:
        """Returns once it has printed this."""
        while text not in self.data and text not in self.after_end:
            await self._change()

    async def _change(self) -> None:
        self._changed = asyncio.get_running_loop().create_future()
        await asyncio.wait_for(self._changed, 60)

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)


class WorkerProviderContract:
    """The suite. A subclass says how its provider is told to do what the dummy's instructions say."""

    @pytest.fixture
    def provider(self) -> Any:
        """A fresh WorkerProvider, closed afterwards."""
        raise NotImplementedError

    def command(self, *lines: str) -> Command:
        """A command that does what these instructions of `relevo.providers.dummy` say."""
        raise NotImplementedError

    def missing_program(self) -> Command:
        """A command whose program is not there."""
        raise NotImplementedError

    def spec(self) -> WorkerSpec:
        """A worker for a new attempt."""
        return WorkerSpec(attempt_key(), "/")

    async def run(self, worker: Worker, *lines: str) -> RecordingSink:
        """Start and wait for the end."""
        sink = RecordingSink()
        await worker.start(self.command(*lines), sink)
        await sink.until_ended()
        return sink

    async def test_tells_success_and_output(self, provider: WorkerProvider) -> None:
        worker = await provider.create(self.spec())
        sink = await self.run(worker, "print hello", "print world")
        assert bytes(sink.data) == b"hello\nworld\n"
        assert sink.exits == [Exit(0)]
        assert sink.exits[0].ok
        await worker.destroy()

    async def test_an_empty_script_succeeds(self, provider: WorkerProvider) -> None:
        worker = await provider.create(self.spec())
        sink = await self.run(worker)
        assert (bytes(sink.data), sink.exits) == (b"", [Exit(0)])
        await worker.destroy()

    @pytest.mark.parametrize("code", [1, 42, 255])
    async def test_tells_the_exit_code(self, provider: WorkerProvider, code: int) -> None:
        worker = await provider.create(self.spec())
        sink = await self.run(worker, "print last words", f"exit {code}")
        assert sink.exits == [Exit(code)]
        assert bytes(sink.data) == b"last words\n"
        await worker.destroy()

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
    async def test_tells_the_signal(self, provider: WorkerProvider, number: int) -> None:
        worker = await provider.create(self.spec())
        sink = await self.run(worker, f"signal {int(number)}")
        assert [(exit.code, exit.signal, exit.lost) for exit in sink.exits] == [(None, number, False)]
        await worker.destroy()

    async def test_all_bytes_come_before_the_end(self, provider: WorkerProvider) -> None:
        worker = await provider.create(self.spec())
        sink = await self.run(worker, "print-bytes 3000001", "exit 3")
        assert len(sink.data) == 3_000_001
        assert bytes(sink.data[:28]) == b"abcdefghijklmnopqrstuvwxyzab"
        assert not sink.after_end
        assert sink.exits == [Exit(3)]
        await worker.destroy()

    async def test_runs_steps_one_after_another(self, provider: WorkerProvider) -> None:
        worker = await provider.create(self.spec())
        for number in range(5):
            sink = await self.run(worker, f"print step {number}", f"exit {number}")
            assert (bytes(sink.data), sink.exits) == (f"step {number}\n".encode(), [Exit(number)])
        await worker.destroy()

    async def test_one_process_at_a_time(self, provider: WorkerProvider) -> None:
        worker = await provider.create(self.spec())
        await worker.start(self.command("hang"), RecordingSink())
        with pytest.raises(RuntimeError):
            await worker.start(self.command(), RecordingSink())
        await worker.destroy()

    async def test_a_missing_program_is_named_and_harms_nothing(self, provider: WorkerProvider) -> None:
        worker = await provider.create(self.spec())
        sink = RecordingSink()
        missing = self.missing_program()
        with pytest.raises(FileNotFoundError, match="not-found"):
            await worker.start(missing, sink)
        assert not sink.exits
        assert (await self.run(worker, "print on")).exits == [Exit(0)]
        await worker.destroy()

    async def test_workers_do_not_disturb_each_other(self, provider: WorkerProvider) -> None:
        workers = [await provider.create(self.spec()) for _ in range(4)]
        sinks = await asyncio.gather(
            *(self.run(worker, f"print {number}", f"exit {number}") for number, worker in enumerate(workers))
        )
        assert [(bytes(sink.data), sink.exits[0].code) for sink in sinks] == [
            (b"0\n", 0),
            (b"1\n", 1),
            (b"2\n", 2),
            (b"3\n", 3),
        ]
        for worker in workers:
            await worker.destroy()

    async def test_a_signal_reaches_the_process(self, provider: WorkerProvider) -> None:
        worker = await provider.create(self.spec())
        sink = RecordingSink()
        process = await worker.start(self.command("print ready", "hang"), sink)
        await sink.until_output(b"ready")
        process.signal(signal.SIGTERM)
        assert (await sink.until_ended()).signal == signal.SIGTERM
        process.signal(signal.SIGKILL)  # without effect
        await worker.destroy()
        assert len(sink.exits) == 1

    async def test_a_paused_process_is_not_read(self, provider: WorkerProvider) -> None:
        worker = await provider.create(self.spec())
        sink = RecordingSink()
        process = await worker.start(self.command("print ready", "print-bytes 500000", "exit 9"), sink)
        process.pause()
        before = len(sink.data)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(sink.data) == before
        assert not sink.exits
        process.resume()
        process.resume()
        assert (await sink.until_ended()).code == 9
        assert len(sink.data) == 500_006
        await worker.destroy()

    async def test_end_is_gentle_first(self, provider: WorkerProvider) -> None:
        worker = await provider.create(self.spec())
        sink = RecordingSink()
        await worker.start(self.command("print ready", "hang"), sink)
        await sink.until_output(b"ready")
        await worker.end(10.0)
        assert (await sink.until_ended()).signal == signal.SIGINT
        assert not sink.exits[0].lost
        await worker.destroy()

    async def test_end_kills_who_will_not_go_and_the_worker_lives_on(self, provider: WorkerProvider) -> None:
        worker = await provider.create(self.spec())
        sink = RecordingSink()
        await worker.start(self.command("ignore-term", "print ready", "hang"), sink)
        await sink.until_output(b"ready")
        await worker.end(0.02)
        exit = await sink.until_ended()
        assert (exit.code, exit.signal, exit.lost) == (None, signal.SIGKILL, False)
        await worker.end(0.02)
        assert (await self.run(worker, "print after", "exit 5")).exits == [Exit(5)]
        await worker.destroy()

    async def test_end_without_a_process_does_nothing(self, provider: WorkerProvider) -> None:
        worker = await provider.create(self.spec())
        await worker.end(10.0)
        assert (await self.run(worker)).exits == [Exit(0)]
        await worker.end(10.0)
        await worker.destroy()
        await worker.end(10.0)

    async def test_destroy_ends_a_running_process(self, provider: WorkerProvider) -> None:
        worker = await provider.create(self.spec())
        sink = RecordingSink()
        await worker.start(self.command("ignore-term", "print ready", "hang"), sink)
        await sink.until_output(b"ready")
        await worker.destroy()
        exit = await sink.until_ended()
        assert (exit.code, exit.signal, exit.lost) == (None, signal.SIGKILL, False)
        await worker.destroy()
        assert len(sink.exits) == 1

    async def test_nothing_starts_after_destroy(self, provider: WorkerProvider) -> None:
        worker = await provider.create(self.spec())
        await worker.destroy()
        await worker.destroy()
        with pytest.raises(WorkerUnavailable):
            await worker.start(self.command(), RecordingSink())

    async def test_close_destroys_all_and_may_be_repeated(self, provider: WorkerProvider) -> None:
        sinks = [RecordingSink(), RecordingSink()]
        for sink in sinks:
            worker = await provider.create(self.spec())
            await worker.start(self.command("print ready", "hang"), sink)
            await sink.until_output(b"ready")
        await provider.close()
        await provider.close()
        assert [len(sink.exits) for sink in sinks] == [1, 1]

    async def test_recover_finds_nothing_of_ours_at_first(self, provider: WorkerProvider) -> None:
        assert await provider.recover() == []
        worker = await provider.create(self.spec())
        assert (await self.run(worker)).exits == [Exit(0)]
        await worker.destroy()

    async def test_ended_is_told_after_start_has_returned(self, provider: WorkerProvider) -> None:
        worker = await provider.create(self.spec())
        for _ in range(20):
            sink = RecordingSink()
            await worker.start(self.command(), sink)
            assert not sink.exits
            await sink.until_ended()
        await worker.destroy()
