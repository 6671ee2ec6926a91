"""The engine's end of a connection: records once and in order, whatever is lost, refused or repeated on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from relevo.domain import commands as c
from relevo.domain.ids import AttemptKey
from relevo.logs.contract import LogUnavailable
from relevo.protocol import messages as m
from relevo.protocol.framing import FrameReader, frame
from relevo.workers.link import AGAIN_S, Batch, Link

messages = m.decoder(m.ToAgent)
HELLO = m.Hello(m.VERSION, "agent", 1, 1, "boot", [], 1, 1.0, 1, "dummy", 1, 10, [], 0)


class Wire:
    """A transport that keeps what is sent."""

    def __init__(self) -> None:
        self.aborted = False
        self._reader = FrameReader()
        self._sent: list[object] = []

    def write(self, data: bytes) -> None:
        self._sent += [messages.decode(payload) for payload in self._reader.feed(data)]

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        """Nothing is read here."""

    resume_reading = pause_reading

    def sent(self, kind: type) -> list:
        return [message for message in self._sent if type(message) is kind]


class Logs:
    """Takes everything, or nothing."""

    full = False

    def write(self, key: AttemptKey, frame: object) -> int:
        if self.full:
            raise LogUnavailable("no room")
        return 0

    def end(self, key: AttemptKey, end: object) -> None:
        if self.full:
            raise LogUnavailable("no room")

    def sync(self, done: Callable[[None], None]) -> None:
        asyncio.get_running_loop().call_soon(done, None)


class Runs:
    """A taker that refuses at once, or takes."""

    refuses = False
    here: Link | None = None

    def __init__(self) -> None:
        self.taken_commands: list[c.Command] = []

    def hello(self, link: Link, hello: m.Hello) -> None:
        link.welcome(1, hello.first, [])

    def deliver(self, commands: list[c.Command], run: str, batch: Batch) -> None:
        if self.refuses:
            batch.fail()
        else:
            self.taken_commands += commands
            batch.settle()

    def wanted(self, link: Link, key: AttemptKey) -> bool:
        return True

    def beat(self, link: Link, message: m.Beat) -> None:
        link.beat()

    def taken(self, link: Link) -> None:
        """Nothing to do."""

    def confirmed(self, link: Link) -> None:
        self.here = link

    lost = taken


class Scene:
    def __init__(self) -> None:
        self.runs, self.logs, self.wire = Runs(), Logs(), Wire()
        self.link = Link(self.runs, self.logs, asyncio.get_running_loop())  # type: ignore[arg-type]
        self.link.connection_made(self.wire)
        self.say(HELLO)

    def say(self, *said: object) -> None:
        for message in said:
            self.link.data_received(frame(m.encode(message)))

    async def settled(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def asked_again(self) -> None:
        handle = self.link._asking
        assert handle is not None
        handle.cancel()
        assert handle.when() - asyncio.get_running_loop().time() <= AGAIN_S
        self.link._ask()
        await self.settled()


@pytest.fixture
async def scene() -> Scene:
    return Scene()


def started(number: int) -> m.AttemptStarted:
    return m.AttemptStarted("run", number, 1)


async def test_what_is_durable_is_acknowledged(scene: Scene):
    scene.say(m.Records(1, [started(0), started(1)]), m.Records(3, [m.LogBytes("run", 0, 1, 0, 0, 0, b"x")]))
    await scene.settled()
    assert scene.wire.sent(m.Ack)[-1].next == 4


async def test_a_batch_that_is_refused_at_once_comes_again_whole(scene: Scene):
    scene.runs.refuses = True
    records = m.Records(1, [started(0), started(1), started(2)])
    scene.say(records)
    scene.runs.refuses = False
    await scene.asked_again()
    assert scene.wire.sent(m.Resend)[-1].next == 1
    scene.say(records)
    await scene.settled()
    assert scene.wire.sent(m.Ack)[-1].next == 4
    assert [command.job for command in scene.runs.taken_commands] == [0, 1, 2]


async def test_an_end_that_the_log_does_not_take_comes_again_when_there_is_room(scene: Scene):
    scene.logs.full = True
    end = m.AttemptFinished("run", 0, 1, "succeeded", {}, 1, b"digest")
    scene.say(m.Records(1, [started(0), end]))
    scene.logs.full = False
    await scene.asked_again()
    assert scene.wire.sent(m.Resend)[-1].next == 2
    scene.say(m.Records(2, [end]))
    await scene.settled()
    assert scene.wire.sent(m.Ack)[-1].next == 3


async def test_only_who_answers_the_welcome_is_there(scene: Scene):
    assert scene.runs.here is None
    scene.say(m.Beat(frames=1))
    assert scene.runs.here is scene.link


async def test_a_beat_tells_that_frames_were_lost(scene: Scene):
    scene.say(m.Records(1, [started(0)]), m.Beat(frames=2))
    assert not scene.wire.aborted
    await scene.settled()
    # Hello, Records, Beat, and one that did not come
    scene.say(m.Beat(frames=4))
    assert scene.wire.aborted


async def test_the_engines_beat_counts_what_it_sent(scene: Scene):
    scene.say(m.Beat(frames=1))
    await scene.settled()
    assert scene.wire.sent(m.Beat)[-1].frames == 1  # after the Welcome
