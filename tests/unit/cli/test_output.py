from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest

from relevo.cli.output import BACKLOG, Output, colours


class Pipe:
    def __init__(self) -> None:
        self.reading, writing = os.pipe()
        self.stream = open(writing, "w")  # noqa: SIM115

    def read(self, count: int) -> bytes:
        data = b""
        while len(data) < count and (more := os.read(self.reading, count - len(data))):
            data += more
        return data

    def hang_up(self) -> None:
        os.close(self.reading)
        self.reading = -1


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    if made.reading >= 0:
        made.hang_up()
    made.stream.close()


async def test_lines_come_in_order(pipe: Pipe) -> None:
    output = Output(pipe.stream)
    for number in range(100):
        output.line(str(number))
    assert await output.flushed()
    output.close()
    pipe.stream.close()
    assert pipe.read(10_000).split() == [str(number).encode() for number in range(100)]


async def test_a_reader_that_waits_holds_whoever_writes_much_and_nobody_else(pipe: Pipe) -> None:
    output = Output(pipe.stream)
    await output.room()
    written = 2 * BACKLOG
    output.write("x" * written)
    waiting = asyncio.ensure_future(output.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    count = await asyncio.to_thread(pipe.read, written)
    await waiting
    assert len(count) == written
    output.close()


async def test_a_reader_that_has_gone_is_no_error(pipe: Pipe) -> None:
    output = Output(pipe.stream)
    pipe.hang_up()
    output.line("nobody reads this")
    assert not await output.flushed()
    assert output.closed
    output.line("nor this")
    await output.room()
    output.close()


async def test_a_reader_that_does_not_read_is_given_up(pipe: Pipe) -> None:
    output = Output(pipe.stream)
    output.write("x" * BACKLOG)
    output.close(timeout_s=0.01)
    assert output._thread.is_alive()
    pipe.hang_up()
    output._thread.join()


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch, pipe: Pipe) -> None:
    assert not colours(pipe.stream)
    leader, follower = os.openpty()
    with open(follower, "w") as terminal:
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("TERM", "xterm")
        assert colours(terminal)
        monkeypatch.setenv("NO_COLOR", "1")
        assert not colours(terminal)
        monkeypatch.delenv("NO_COLOR")
        monkeypatch.setenv("TERM", "dumb")
        assert not colours(terminal)
    os.close(leader)
