"""An attempt that makes room for another job. Over the dummy provider, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

from relevo.agent.attempt import AttemptRun
from relevo.protocol import messages as m
from relevo.providers.contract import Command, Sink
from relevo.providers.dummy import DummyProcess, DummyProvider, DummyWorker

from .harness import Job
from .test_agent import Engine
from .test_ending import ALWAYS, CANCELLED, during
from .virtual import run_virtual


def preempt_at(seconds: float, grace_s: float = 30.0) -> Any:
    return lambda loop, one: loop.call_later(seconds, one.cancel, "preempted", False, grace_s)


def test_the_step_is_ended_and_nothing_else_runs() -> None:
    ended = during(Job(["hang", "print no", CANCELLED, ALWAYS]), preempt_at(5))
    assert ended.result == "preempted"
    assert ended.outcomes == ["cancelled", "skipped", "skipped", "skipped"]
    assert ended.at[-1] == ("finished", 5)


def test_what_asks_to_run_whatever_happens_is_ended_too() -> None:
    ended = during(Job([{"run": "sleep 600", "if_": "always()"}]), preempt_at(5))
    assert (ended.result, ended.at[-1]) == ("preempted", ("finished", 5))


def test_signals_come_in_turn_within_the_grace() -> None:
    sent: list[tuple[float, int]] = []

    class Stubborn(DummyProcess):
        __slots__ = ()

        def signal(self, number: int) -> None:
            sent.append((asyncio.get_running_loop().time(), number))

    class Worker(DummyWorker):
        async def start(self, command: Command, sink: Sink) -> DummyProcess:
            process = await super().start(command, sink)
            process.__class__ = Stubborn
            return process

    class Provider(DummyProvider):
        async def create(self, spec: Any) -> DummyWorker:
            return Worker(self, spec.attempt)

    ended = during(Job(["hang", ALWAYS]), preempt_at(100, 40), provider=Provider)
    assert sent == [(100, 2), (130, 15)]
    assert ended.at[-1] == ("finished", 140)
    assert ended.outcomes == ["cancelled", "skipped"]


def test_before_its_first_step_it_ends_at_once() -> None:
    ended = during(Job(["print no"]), lambda loop, one: one.cancel("preempted", False, 30.0))
    assert (ended.result, ended.calls) == ("preempted", [])


def test_a_result_that_is_there_is_kept() -> None:
    job = Job(["print done"], outputs={"word": "x"})

    class Worker(DummyWorker):
        async def destroy(self) -> None:
            await asyncio.sleep(60)
            await super().destroy()

    class Slow(DummyProvider):
        async def create(self, spec: Any) -> DummyWorker:
            return Worker(self, spec.attempt)

    ended = during(job, preempt_at(5), provider=Slow)
    assert (ended.result, ended.outputs) == ("succeeded", {"word": "x"})


def test_outputs_of_what_was_given_up_are_not_told() -> None:
    ended = during(Job(["hang"], outputs={"word": "x"}), preempt_at(5))
    assert not ended.outputs


def test_a_step_that_must_not_be_repeated_is_not_given_up_once_it_may_have_begun() -> None:
    ended = during(Job([{"run": "sleep 60", "idempotent": False}, "print after"]), preempt_at(5))
    assert (ended.result, ended.raw) == ("succeeded", b"after\n")
    ended = during(Job([{"run": "print x", "idempotent": False}, "sleep 60"]), preempt_at(5))
    assert ended.result == "succeeded"
    ended = during(Job(["sleep 60", {"run": "print x", "idempotent": False}]), preempt_at(5))
    assert (ended.result, ended.raw) == ("preempted", b"")


def test_a_cancel_that_comes_later_changes_nothing_here_and_force_ends_it_at_once() -> None:
    def act(loop: asyncio.AbstractEventLoop, one: AttemptRun) -> None:
        preempt_at(5)(loop, one)
        loop.call_later(6, one.cancel, "cancelled", False)
        loop.call_later(9, one.cancel, "cancelled", True)

    ended = during(Job(["ignore-term\nhang", ALWAYS]), act)
    assert (ended.result, ended.at[-1]) == ("preempted", ("finished", 9))


def test_one_that_is_being_cancelled_stays_cancelled() -> None:
    def act(loop: asyncio.AbstractEventLoop, one: AttemptRun) -> None:
        loop.call_later(4, one.cancel, "cancelled", False)
        preempt_at(5)(loop, one)

    ended = during(Job(["ignore-term\nhang", ALWAYS]), act)
    assert (ended.result, ended.outcomes) == ("cancelled", ["cancelled", "success"])


def test_one_that_waits_for_a_slot_never_begins() -> None:
    async def main() -> None:
        engine = await Engine().open()
        engine.assign("a", "b")
        engine.say(m.Cancel("b", 0, 1, "preempted"))
        await engine.until(lambda: bool(engine.attempts.begun))
        engine.attempts.go["a"].set()
        await engine.until(lambda: len(engine.ends()) == 2)
        assert engine.ends() == {"a": "succeeded", "b": "preempted"}
        await engine.agent.close()

    run_virtual(main())
