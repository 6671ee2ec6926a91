"""An agent's slots and what it is told, over a connection of which the test holds the other end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.msgpack import encode

from relevo.agent.agent import NAMED_LIMIT, Agent, AgentConfig
from relevo.agent.session import PACE_S
from relevo.domain.ids import AttemptKey
from relevo.protocol import messages as m
from relevo.protocol.framing import FrameReader, frame
from relevo.providers.dummy import DummyProvider
from relevo.testing.sim_disk import SimDisk
from relevo.testing.virtual_loop import VirtualClock, VirtualLoop, run_on, run_virtual
from relevo.workflow.model import JobSpec, Position

SPEC = encode(JobSpec("a", Position(1, 1), ()))
CONTEXTS = encode({"github": {}})
_from_agent = m.decoder(m.ToEngine)


class Attempts:
    """Attempts that end when the test says so."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.cancelled: list[tuple[str, str, bool]] = []
        self.secrets: dict[str, dict[str, str]] = {}
        self.raises: Exception | None = None
        self.go: dict[str, asyncio.Event] = {}

    def make(self, assignment, spec, contexts, reporter, secrets):
        if assignment.run == "unmakable":
            raise ValueError("a bug")
        return _Attempt(self, assignment.run, reporter, secrets)


class _Attempt:
    def __init__(self, kept: Attempts, run: str, reporter: Any, secrets: dict[str, str]) -> None:
        self.kept, self.run_id, self.reporter = kept, run, reporter
        kept.secrets[run] = secrets
        kept.go[run] = asyncio.Event()

    async def run(self) -> None:
        self.kept.begun.append(self.run_id)
        self.reporter.started()
        if self.kept.raises is not None:
            raise self.kept.raises
        await self.kept.go[self.run_id].wait()
        self.reporter.finished("succeeded")

    def cancel(self, reason: str, force: bool, grace_s: float = 10.0) -> None:
        self.kept.cancelled.append((self.run_id, reason, force))
        self.kept.go[self.run_id].set()


class Provider(DummyProvider):
    """Tells what it forgets."""

    def __init__(self, loop: asyncio.AbstractEventLoop, left: tuple[AttemptKey, ...]) -> None:
        super().__init__(loop)
        self.left = left
        self.forgotten: list[AttemptKey] = []

    async def recover(self) -> list[AttemptKey]:
        return list(self.left)

    def forget(self, attempt: AttemptKey) -> None:
        self.forgotten.append(attempt)


class Engine:
    """The other end."""

    def __init__(
        self, slots: int = 1, disk: SimDisk | None = None, left: tuple[AttemptKey, ...] = ()
    ) -> None:
        """`left`: whose workers an earlier incarnation left."""
        self.loop = asyncio.get_running_loop()
        self.attempts = Attempts()
        self.got: list[Any] = []
        self.written_s: list[float] = []
        self.reader = FrameReader()
        self.disk = disk or SimDisk()
        self.provider = Provider(self.loop, left)

        async def blocking(call):
            call()

        async def dial(factory):
            self.connection = factory()
            self.reader = FrameReader()
            self.connection.connection_made(self)

        self.agent = Agent(
            AgentConfig("local", 1, 1, "boot", ("linux",), slots, 1.0, 1 << 30, 2, "/agent"),
            disk=self.disk,
            loop=self.loop,
            clock=VirtualClock(self.loop),
            provider=self.provider,
            make_attempt=self.attempts.make,
            dial=dial,
            blocking=blocking,
        )

    # --- the transport that the agent writes to

    def write(self, data: bytes) -> None:
        self.written_s.append(self.loop.time())
        self.got += [_from_agent.decode(payload) for payload in self.reader.feed(data)]

    def abort(self) -> None:
        self.loop.call_soon(self.connection.connection_lost, None)

    close = abort

    # --- what the engine does

    async def open(self) -> Engine:
        await self.agent.start()
        await self.until(lambda: self.of(m.Hello))
        self.say(m.Welcome(m.VERSION, 1, self.of(m.Hello)[-1].first))
        return self

    def say(self, message: Any) -> None:
        self.connection.data_received(frame(m.encode(message)))

    def assign(self, *runs: str, secrets: bool = False, **blobs: bytes) -> None:
        named = {"s": SPEC, "c": CONTEXTS, **blobs}
        assignments = [m.Assignment(run, 0, 1, "s", "c", m.JobFacts("a"), secrets=secrets) for run in runs]
        self.say(m.Assign(assignments, named))

    def of(self, kind: type) -> list[Any]:
        return [one for one in self.got if type(one) is kind]

    def ends(self) -> dict[str, str]:
        said = [record for message in self.of(m.Records) for record in message.records]
        return {one.run: one.result for one in said if type(one) is m.AttemptFinished}

    async def until(self, condition: Any) -> None:
        end = self.loop.time() + 60
        while not condition():
            assert self.loop.time() < end, "it never came to be"
            await asyncio.sleep(0.001)


def test_slots_are_filled_in_order_and_again_when_they_come_free():
    async def main():
        engine = await Engine(slots=2).open()
        engine.assign("a", "b", "c")
        await engine.until(lambda: engine.attempts.begun == ["a", "b"])
        engine.attempts.go["b"].set()
        await engine.until(lambda: engine.attempts.begun == ["a", "b", "c"])
        assert engine.ends() == {"b": "succeeded"}
        await engine.agent.close()

    run_virtual(main())


def test_an_attempt_is_forgotten_once_its_end_is_written():
    async def main():
        engine = await Engine().open()
        engine.assign("a")
        await engine.until(lambda: engine.attempts.begun)
        await engine.until(lambda: engine.agent.spool.first < engine.agent.spool.next)
        engine.disk.fill()
        engine.attempts.go["a"].set()
        await engine.until(engine.agent.spool.unwritten_ends)
        assert engine.provider.forgotten == []
        engine.disk.free()
        await engine.until(engine.ends)
        assert engine.provider.forgotten == [("a", 0, 1)]
        await engine.agent.close()

    run_virtual(main())


def test_losses_are_forgotten_once_they_are_written():
    async def main():
        lost, ended = AttemptKey("a", 0, 1), AttemptKey("b", 0, 1)
        disk = SimDisk()
        before = await Engine(disk=disk).open()
        before.assign("b")
        await before.until(lambda: before.attempts.begun)
        before.attempts.go["b"].set()
        await before.until(before.ends)
        await before.agent.close()
        disk.fill()
        engine = Engine(disk=disk, left=(lost, ended))
        await engine.agent.start()
        assert engine.provider.forgotten == []
        disk.free()
        await engine.until(lambda: engine.provider.forgotten)
        assert engine.provider.forgotten == [lost, ended]
        assert engine.agent.spool.next == before.agent.spool.next + 1, "b has its end"
        await engine.agent.close()

    run_virtual(main())


def test_reports_that_follow_each_other_are_sent_together_and_the_first_at_once():
    async def main():
        engine = await Engine(slots=1).open()
        engine.assign("a", "b", "c", "d")
        await asyncio.sleep(1)
        engine.written_s.clear()
        began_s = engine.loop.time()
        for run in "abcd":
            await engine.until(lambda run=run: run in engine.attempts.go)
            engine.attempts.go[run].set()
        await engine.until(lambda: len(engine.ends()) == 4)
        first_s, then_s = engine.written_s
        assert first_s - began_s < 0.001
        assert then_s - first_s == pytest.approx(PACE_S)
        await engine.agent.close()

    run_virtual(main())


def test_a_beat_counts_what_was_about_to_be_sent_when_it_was_due():
    async def main():
        engine = await Engine(slots=1).open()
        runs = [f"r{number}" for number in range(1_000)]
        engine.assign(*runs)
        for run in runs:  # so that reports wait for each other at any moment of a beat
            await engine.until(lambda run=run: run in engine.attempts.go)
            await asyncio.sleep(0.007)
            engine.attempts.go[run].set()
        beats = [(index, one.frames) for index, one in enumerate(engine.got) if type(one) is m.Beat]
        assert len(beats) > 3
        assert all(index == frames for index, frames in beats)
        await engine.agent.close()

    run_virtual(main())


def test_what_is_asked_for_again_is_sent_once_though_it_was_about_to_be_sent():
    async def main():
        engine = await Engine(slots=2).open()
        engine.assign("a", "b")
        await asyncio.sleep(1)
        engine.attempts.go["a"].set()
        await engine.until(lambda: len(engine.ends()) == 1)
        engine.attempts.go["b"].set()
        await asyncio.sleep(0.001)
        engine.got.clear()
        engine.say(m.Resend(1))
        await asyncio.sleep(1)
        said = [record for message in engine.of(m.Records) for record in message.records]
        assert [(type(one).__name__, one.run) for one in said] == [
            ("AttemptStarted", "a"),
            ("AttemptStarted", "b"),
            ("AttemptFinished", "a"),
            ("AttemptFinished", "b"),
        ]
        await engine.agent.close()

    run_virtual(main())


def test_what_is_known_already_is_not_run_twice():
    async def main():
        engine = await Engine(slots=2).open()
        engine.assign("a")
        engine.assign("a", "a")
        engine.assign("b")
        await engine.until(lambda: len(engine.attempts.begun) == 2)
        assert engine.attempts.begun == ["a", "b"]
        await engine.agent.close()

    run_virtual(main())


def test_what_was_cancelled_before_it_began_never_begins():
    async def main():
        engine = await Engine().open()
        engine.assign("a", "b")
        engine.say(m.Cancel("b", 0, 1))
        await engine.until(lambda: engine.attempts.begun)
        engine.attempts.go["a"].set()
        await engine.until(lambda: len(engine.ends()) == 2)
        assert engine.ends() == {"a": "succeeded", "b": "cancelled"}
        assert engine.attempts.begun == ["a"]
        assert not engine.agent._cancelled
        await engine.agent.close()

    run_virtual(main())


def test_an_attempt_that_cannot_be_made_is_lost_and_gives_its_slot_back():
    loop = VirtualLoop()

    async def main():
        engine = await Engine().open()
        engine.assign("unmakable", "b")
        await engine.until(lambda: engine.attempts.begun == ["b"])
        await engine.until(lambda: engine.ends() == {"unmakable": "lost"})
        assert [context["message"] for context in loop.unhandled()] == ["attempt unmakable/0/1 failed"]
        await engine.agent.close()

    run_on(loop, main())


def test_an_attempt_that_raises_is_lost_not_silent():
    loop = VirtualLoop()

    async def main():
        engine = await Engine().open()
        engine.attempts.raises = ZeroDivisionError("a bug")
        engine.assign("a")
        await engine.until(lambda: engine.ends() == {"a": "lost"})
        assert len(loop.unhandled()) == 1
        await engine.agent.close()

    run_on(loop, main())


def test_an_assignment_that_names_what_was_never_sent_drops_the_connection():
    async def main():
        engine = await Engine().open()
        engine.say(m.Assign([m.Assignment("a", 0, 1, "x", "y", m.JobFacts("a"))]))
        await engine.until(lambda: len(engine.of(m.Hello)) == 2)
        assert engine.of(m.Hello)[1].live == []
        await engine.agent.close()

    run_virtual(main())


def test_what_is_not_wanted_any_more_does_not_run_once_its_secrets_come():
    async def main():
        engine = await Engine().open()
        engine.assign("a", secrets=True)
        await engine.until(lambda: engine.of(m.GetBlob))
        engine.say(m.Welcome(m.VERSION, 1, 1, [m.Live("a", 0, 1, False)]))
        request = engine.of(m.GetBlob)[-1].request
        engine.say(m.BlobBytes(request, encode({"TOKEN": "t"}), True))
        await engine.until(lambda: engine.ends())
        assert engine.attempts.cancelled == [("a", "unwanted", True)]
        await engine.agent.close()

    run_virtual(main())


def test_secrets_come_before_the_first_step_and_their_want_is_a_failure():
    async def main():
        engine = await Engine(slots=2).open()
        engine.assign("a", "b", secrets=True)
        await engine.until(lambda: len(engine.of(m.GetBlob)) == 2)
        assert engine.attempts.begun == []
        first, second = engine.of(m.GetBlob)
        assert first.what == "secrets:a/0/1"
        engine.say(m.BlobBytes(first.request, encode({"TOKEN": "t"}), True))
        engine.say(m.BlobBytes(second.request, b"", True, "there are none"))
        await engine.until(lambda: engine.ends() == {"b": "failed"})
        assert engine.attempts.secrets == {"a": {"TOKEN": "t"}}
        await engine.agent.close()

    run_virtual(main())


def test_nothing_new_begins_while_the_agent_leaves():
    async def main():
        engine = await Engine().open()
        engine.assign("a", "b", "c")
        await engine.until(lambda: engine.attempts.begun)
        await engine.agent.close()
        await asyncio.sleep(1)
        assert engine.attempts.begun == ["a"]

    run_virtual(main())


def test_contexts_do_not_pile_up_and_those_that_are_needed_stay():
    async def main():
        engine = await Engine().open()
        engine.assign("a", "b")
        for number in range(3):
            engine.say(m.Assign([], {f"{number}-{index}": b"x" for index in range(NAMED_LIMIT)}))
        assert len(engine.agent._named) <= NAMED_LIMIT + 2
        await engine.until(lambda: engine.attempts.begun)
        engine.attempts.go["a"].set()
        await engine.until(lambda: engine.attempts.begun == ["a", "b"])
        await engine.agent.close()

    run_virtual(main())


def test_it_leaves_when_it_was_told_so_and_all_is_handed_in():
    async def main():
        engine = await Engine().open()
        engine.assign("a")
        await engine.until(lambda: engine.attempts.begun)
        engine.say(m.Drain(stop=True))
        assert not engine.agent.done.is_set()
        engine.attempts.go["a"].set()
        await engine.until(lambda: engine.ends())
        assert not engine.agent.done.is_set()
        engine.say(m.Ack(engine.agent.spool.next))
        assert engine.agent.done.is_set()
        await engine.agent.close()

    run_virtual(main())


def test_records_come_again_after_a_lost_connection():
    async def main():
        engine = await Engine().open()
        engine.assign("a")
        await engine.until(lambda: engine.attempts.begun)
        engine.abort()
        engine.attempts.go["a"].set()
        await engine.until(lambda: len(engine.of(m.Hello)) == 2)
        engine.got.clear()
        engine.say(m.Welcome(m.VERSION, 2, 1))
        await engine.until(lambda: engine.ends() == {"a": "succeeded"})
        assert engine.of(m.Records)[0].first == 1
        await engine.agent.close()

    run_virtual(main())


def test_an_engine_of_a_lower_epoch_is_not_followed():
    async def main():
        engine = await Engine().open()
        engine.say(m.Welcome(m.VERSION, 7, 1))
        engine.abort()
        await engine.until(lambda: len(engine.of(m.Hello)) == 2)
        assert engine.of(m.Hello)[1].epoch == 7
        engine.say(m.Welcome(m.VERSION, 6, 1))
        assert not engine.agent.session.connected
        await engine.until(lambda: len(engine.of(m.Hello)) == 3)
        await engine.agent.close()

    run_virtual(main())


def test_a_thousand_that_were_cancelled_before_they_began_end_at_once():
    async def main():
        engine = await Engine().open()
        runs = [f"r{number}" for number in range(1_000)]
        engine.assign("a", *runs)
        for run in runs:
            engine.say(m.Cancel(run, 0, 1))
        await engine.until(lambda: engine.attempts.begun)
        engine.attempts.go["a"].set()
        await engine.until(lambda: len(engine.ends()) == 1_001)
        await engine.agent.close()

    run_virtual(main())
