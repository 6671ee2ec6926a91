"""Cancel, time-outs and back-pressure. Over the dummy provider, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from relevo.agent.attempt import AttemptRun
from relevo.providers.contract import Command, Sink
from relevo.providers.dummy import DummyProcess, DummyProvider, DummyWorker
from relevo.testing.faulty_provider import FaultyProvider

from .harness import Job, RecordingReporter, at_once, attempt
from .virtual import VirtualClock, run_virtual

ALWAYS = {"run": "print always", "if_": "always()"}
CANCELLED = {"run": "print cancelled", "if_": "cancelled()"}
FAILURE = {"run": "print failure", "if_": "failure()"}


class Observed(RecordingReporter):
    """Knows when what was reported."""

    def __init__(self, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        super().__init__(**options)
        self._loop = loop
        self.at: list[tuple[str, float]] = []

    def step_finished(self, step: int, name: str, **fields: Any) -> None:
        super().step_finished(step, name, **fields)
        self.at.append((f"step {step}", self._loop.time()))

    def finished(self, result: str, **fields: Any) -> None:
        super().finished(result, **fields)
        self.at.append(("finished", self._loop.time()))


def during(
    job: Job,
    act: Callable[[asyncio.AbstractEventLoop, AttemptRun], None],
    *,
    provider: Callable[[asyncio.AbstractEventLoop], Any] = DummyProvider,
    clock: Callable[[asyncio.AbstractEventLoop], Any] = VirtualClock,
    **options: Any,
) -> Observed:
    """Run a job; `act` sets timers before it begins."""

    async def main() -> Observed:
        loop = asyncio.get_running_loop()
        reporter = Observed(loop, **options)
        made = provider(loop)
        one = attempt(job, made, reporter, "/nowhere", clock=clock(loop), blocking=at_once)
        act(loop, one)
        await one.run()
        await made.close()
        return reporter

    return run_virtual(main())


def cancel_at(seconds: float, reason: str = "cancelled", force: bool = False) -> Callable[..., None]:
    return lambda loop, one: loop.call_later(seconds, one.cancel, reason, force)


def test_cancel_ends_the_step_and_runs_what_asks_for_it() -> None:
    ended = during(Job(["hang", "print no", FAILURE, CANCELLED, ALWAYS]), cancel_at(5))
    assert ended.result == "cancelled"
    assert ended.outcomes == ["cancelled", "skipped", "skipped", "success", "success"]
    assert ended.raw == b"cancelled\nalways\n"
    assert ended.at[-1] == ("finished", 5)


def test_a_step_that_ignores_signals_is_killed_after_ten_seconds() -> None:
    ended = during(Job(["ignore-term\nhang", ALWAYS]), cancel_at(5))
    assert ended.outcomes == ["cancelled", "success"]
    assert ended.at[0] == ("step 0", 15)


def test_signals_come_in_turn() -> None:
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

    ended = during(Job(["hang"]), cancel_at(100), provider=Provider)
    assert sent == [(100, 2), (107.5, 15)]
    assert ended.at == [("step 0", 110), ("finished", 110)]


def test_a_running_step_that_wants_to_run_when_cancelled_is_left_alone() -> None:
    steps = [{"run": "sleep 60\nprint done", "if_": "always()"}, "print no"]
    ended = during(Job(steps), cancel_at(5))
    assert ended.outcomes == ["success", "skipped"]
    assert ended.result == "cancelled"
    assert ended.at[0] == ("step 0", 60)


def test_everything_ends_five_minutes_after_a_cancel() -> None:
    steps = ["hang", {"run": "hang", "if_": "always()"}, ALWAYS]
    ended = during(Job(steps), cancel_at(5))
    assert ended.outcomes == ["cancelled", "cancelled", "skipped"]
    assert ended.at[-1] == ("finished", 305)
    assert ended.result == "cancelled"


def test_force_ends_at_once() -> None:
    ended = during(Job(["ignore-term\nhang", ALWAYS]), cancel_at(5, force=True))
    assert ended.outcomes == ["cancelled", "skipped"]
    assert ended.at[-1] == ("finished", 5)


def test_force_after_cancel() -> None:
    def act(loop: asyncio.AbstractEventLoop, one: AttemptRun) -> None:
        cancel_at(5)(loop, one)
        cancel_at(20, force=True)(loop, one)

    ended = during(Job(["hang", {"run": "hang", "if_": "always()"}, ALWAYS]), act)
    assert ended.outcomes == ["cancelled", "cancelled", "skipped"]
    assert ended.at[-1] == ("finished", 20)


def test_cancel_before_the_beginning() -> None:
    ended = during(Job(["print no", ALWAYS]), lambda loop, one: one.cancel("cancelled", False))
    assert (ended.result, ended.calls) == ("cancelled", [])


def test_cancel_while_the_worker_is_made() -> None:
    class Slow(DummyProvider):
        async def create(self, spec: Any) -> DummyWorker:
            await asyncio.sleep(1_000)
            return await super().create(spec)

    ended = during(Job(["print no", ALWAYS]), cancel_at(5), provider=Slow)
    assert (ended.result, ended.calls) == ("cancelled", [])
    assert ended.at == [("finished", 5)]


def test_cancel_while_an_intent_is_written() -> None:
    class Slow(Observed):
        async def intend(self, step: int) -> None:
            await asyncio.sleep(1_000)

    async def main() -> tuple[Observed, DummyProvider]:
        loop = asyncio.get_running_loop()
        reporter, provider = Slow(loop), DummyProvider(loop)
        one = attempt(
            Job([{"run": "print no", "idempotent": False}, ALWAYS]),
            provider,
            reporter,
            "/nowhere",
            clock=VirtualClock(loop),
            blocking=at_once,
        )
        loop.call_later(5, one.cancel, "cancelled", False)
        await one.run()
        return reporter, provider

    ended, provider = run_virtual(main())
    assert ended.outcomes == ["cancelled", "success"]
    assert [script for _, script in provider.ran] == ["print always"]


def test_cancel_after_the_end_changes_nothing() -> None:
    async def main() -> RecordingReporter:
        loop = asyncio.get_running_loop()
        reporter = RecordingReporter()
        one = attempt(Job(["print x"]), DummyProvider(loop), reporter, "/nowhere", clock=VirtualClock(loop))
        await one.run()
        one.cancel("cancelled", True)
        return reporter

    assert run_virtual(main()).result == "succeeded"


def test_cancelled_expressions_see_the_status() -> None:
    steps = ["hang", {"run": "print ${{ job.status }} ${{ steps.none.outcome }}!", "if_": "always()"}]
    assert during(Job(steps), cancel_at(5)).raw == b"cancelled !\n"


def test_fenced_is_lost_at_once() -> None:
    ended = during(Job(["ignore-term\nhang", ALWAYS]), cancel_at(5, "fenced"))
    assert ended.result == "lost"
    assert ended.at[-1] == ("finished", 5)


def test_the_job_times_out() -> None:
    ended = during(Job(["hang", "print no", ALWAYS], timeout_s=90), nothing)
    assert ended.result == "timed-out"
    assert ended.outcomes == ["cancelled", "skipped", "success"]
    assert ended.message == "The job has exceeded the maximum execution time of 0h1m30s."
    assert ended.at[-1] == ("finished", 90)


def test_time_in_suspend_counts() -> None:
    async def main() -> Observed:
        loop = asyncio.get_running_loop()
        clock = VirtualClock(loop)
        reporter = Observed(loop)
        one = attempt(
            Job(["hang"], timeout_s=3_600),
            DummyProvider(loop),
            reporter,
            "/nowhere",
            clock=clock,
            blocking=at_once,
        )
        loop.call_later(100, setattr, clock, "suspended_s", 10_000.0)
        await one.run()
        return reporter

    ended = run_virtual(main())
    assert ended.result == "timed-out"
    assert ended.at[-1][1] <= 160


def test_a_cancel_during_a_time_out_of_a_step_keeps_the_failure() -> None:
    steps = [{"run": "ignore-term\nhang", "timeout_minutes": 1}, ALWAYS]
    ended = during(Job(steps), cancel_at(65))
    assert ended.outcomes == ["failure", "success"]
    assert ended.result == "cancelled"


def test_a_killed_step_does_not_take_the_next_with_it() -> None:
    steps = [
        {"run": "ignore-term\nhang", "timeout_minutes": 1, "continue_on_error": True},
        "sleep 30\nprint alive",
    ]
    ended = during(Job(steps), nothing)
    assert ended.outcomes == ["failure", "success"]
    assert ended.result == "succeeded"


def test_the_agents_own_end_makes_it_lost() -> None:
    async def main() -> tuple[Observed, set[DummyWorker], bool]:
        loop = asyncio.get_running_loop()
        reporter, provider = Observed(loop), DummyProvider(loop)
        one = attempt(Job(["hang", ALWAYS]), provider, reporter, "/nowhere", clock=VirtualClock(loop))
        task = loop.create_task(one.run())
        loop.call_later(5, task.cancel)
        await asyncio.wait([task])
        return reporter, provider.workers, task.cancelled()

    ended, workers, cancelled = run_virtual(main())
    assert (ended.result, workers, cancelled) == ("lost", set(), True)


def test_a_worker_that_vanishes_while_cancelling_leaves_it_cancelled() -> None:
    steps = ["sleep 10\nlose-worker", ALWAYS]
    ended = during(Job([{"run": steps[0], "if_": "always()"}, ALWAYS]), cancel_at(5))
    assert ended.result == "cancelled"


def failing(point: str, times: int = 1) -> Callable[[asyncio.AbstractEventLoop], FaultyProvider]:
    left = [times]

    def decide(where: str, attempt: object) -> bool:
        if where != point or not left[0]:
            return False
        left[0] -= 1
        return True

    return lambda loop: FaultyProvider(DummyProvider(loop), decide)


def nothing(loop: asyncio.AbstractEventLoop, one: AttemptRun) -> None:
    pass


def test_an_exit_that_is_never_told_is_given_up() -> None:
    ended = during(Job(["hang"]), cancel_at(5), provider=failing("silent"))
    assert ended.result == "cancelled"
    assert ended.at[-1] == ("finished", 45)


def test_a_destroy_that_fails_is_tried_again() -> None:
    ended = during(Job(["print x"]), nothing, provider=failing("destroy", 2))
    assert ended.result == "succeeded"
    assert ended.at[-1][1] > 0


def test_a_destroy_that_never_works_does_not_hold_the_result_for_ever() -> None:
    ended = during(Job(["print x"]), nothing, provider=failing("destroy", 5))
    assert ended.result == "succeeded"
    assert 10 < ended.at[-1][1] < 60


@pytest.mark.parametrize("point", ["create", "start", "vanish"])
def test_a_faulty_provider_loses_the_attempt(point: str) -> None:
    ended = during(Job(["print x", ALWAYS]), nothing, provider=failing(point))
    assert ended.result == "lost"
    assert ended.message


def test_back_pressure_pauses_the_process() -> None:
    async def main() -> tuple[RecordingReporter, int]:
        loop = asyncio.get_running_loop()
        reporter = RecordingReporter(capacity=100_000)
        one = attempt(
            Job(["print-bytes 1000000", "print end"]),
            DummyProvider(loop),
            reporter,
            "/nowhere",
            clock=VirtualClock(loop),
        )
        task = loop.create_task(one.run())
        most = 0
        while not task.done():
            asked = loop.create_task(reporter.room_asked.wait())
            await asyncio.wait([task, asked], return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            most = max(most, reporter.held)
            reporter.room_asked.clear()
            reporter.room_made.set()
        return reporter, most

    reporter, most = run_virtual(main())
    assert reporter.outcomes == ["success", "success"]
    assert len(reporter.logs[0]) == 1_000_000
    assert most < 300_000


@pytest.mark.parametrize(("force", "seconds"), [(False, 15), (True, 5)])
def test_cancel_while_there_is_no_room(force: bool, seconds: float) -> None:
    ended = during(
        Job(["print-bytes 1000000\nhang", "print no"]), cancel_at(5, force=force), capacity=100_000
    )
    assert ended.result == "cancelled"
    assert ended.at[-1] == ("finished", seconds)
