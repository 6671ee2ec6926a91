"""Failures: who is restarted, how often, after which pause, and what goes up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.actors import (
    Actor,
    ActorSystem,
    Directive,
    Escalated,
    Strategy,
    Supervision,
    TaskActor,
    Terminated,
)
from relevo.actors.supervision import Verdict, concerned, judge

from .kit import Boom, Broken, Echo, Heavy, Light, Message, Say, play

BOTH = pytest.mark.parametrize("kind", [Light, Heavy])
Kind = Callable[[list[str], str], Light | Heavy]


# --- the rules ------------------------------------------------------------------------------------------------------


def test_whom_a_failure_concerns() -> None:
    children = ["a", "b", "c", "d"]
    assert concerned(Strategy.ONE_FOR_ONE, children, "b") == ["b"]
    assert concerned(Strategy.ONE_FOR_ALL, children, "b") == children
    assert concerned(Strategy.REST_FOR_ONE, children, "b") == ["b", "c", "d"]


def test_restarts_are_slower_each_time_and_not_endless() -> None:
    rules = Supervision(
        max_restarts=3, within_s=10.0, backoff_s=1.0, max_backoff_s=3.0, exceeded=Directive.STOP
    )
    history: tuple[float, ...] = ()
    delays = []
    for now in (0.0, 1.0, 2.0):
        verdict = judge(rules, Broken(), history, now)
        assert verdict.directive is Directive.RESTART
        delays.append(verdict.delay_s)
        history = verdict.history
    assert delays == [1.0, 2.0, 3.0]
    assert judge(rules, Broken(), history, 9.9) == Verdict(Directive.STOP)
    assert judge(rules, Broken(), history, 10.0) == Verdict(Directive.RESTART, 3.0, (1.0, 2.0, 10.0))
    assert judge(rules, Broken(), (), 0.0, restartable=False) == Verdict(Directive.STOP)


def test_the_error_may_decide() -> None:
    rules = Supervision(
        decide=lambda error: Directive.STOP if isinstance(error, Broken) else Directive.ESCALATE
    )
    assert judge(rules, Broken(), (), 0.0) == Verdict(Directive.STOP)
    assert judge(rules, KeyError(), (), 0.0) == Verdict(Directive.ESCALATE)


@given(
    st.lists(st.floats(0, 20), max_size=40),
    st.integers(0, 5),
    st.floats(0.1, 10),
)
def test_no_window_ever_holds_more_restarts_than_allowed(
    gaps: list[float], most: int, within_s: float
) -> None:
    rules = Supervision(max_restarts=most, within_s=within_s, exceeded=Directive.STOP)
    history: tuple[float, ...] = ()
    restarts: list[float] = []
    now = 0.0
    for gap in gaps:
        now += gap
        verdict = judge(rules, Broken(), history, now)
        if verdict.directive is Directive.RESTART:
            restarts.append(now)
            history = verdict.history
            assert len(history) <= most
    for at in restarts:
        assert sum(1 for other in restarts if 0 <= other - at < within_s) <= most


# --- the deeds ------------------------------------------------------------------------------------------------------


class Parent(Actor[Message]):
    """Starts three children a, b, c."""

    def __init__(self, kind: Kind, journal: list[str], supervision: Supervision) -> None:
        self.kind = kind
        self.journal = journal
        self.supervision = supervision  # type: ignore[misc]

    def started(self) -> None:
        self.journal.append("parent started")
        for name in "abc":
            self.spawn_child(name)

    def spawn_child(self, name: str) -> None:
        self.context.spawn(lambda: self.kind(self.journal, name), name)

    def receive(self, messages: list[Message]) -> None:
        for message in messages:
            if isinstance(message, Boom):
                raise Broken

    def stopped(self) -> None:
        self.journal.append("parent stopped")


def child(system: ActorSystem, name: str) -> Any:
    """The cell of a child of /parent."""
    cell: Any = system._root
    for part in ("parent", name):
        cell = cell.children[part]
    return cell


def supervised(kind: Kind, supervision: Supervision, main: Callable[..., Any]) -> Any:
    async def run(system: ActorSystem) -> Any:
        journal: list[str] = []
        parent = system.spawn(lambda: Parent(kind, journal, supervision), "parent")
        await asyncio.sleep(0.5)
        assert journal == ["parent started", "a started", "b started", "c started"]
        journal.clear()
        return await main(system, parent, journal)

    return play(run)


@BOTH
@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (Strategy.ONE_FOR_ONE, ["b stopped", "b started"]),
        (
            Strategy.ONE_FOR_ALL,
            ["c stopped", "b stopped", "a stopped", "a started", "b started", "c started"],
        ),
        (Strategy.REST_FOR_ONE, ["c stopped", "b stopped", "b started", "c started"]),
    ],
)
def test_strategies(kind: Kind, strategy: Strategy, expected: list[str]) -> None:
    async def main(system: ActorSystem, parent: Any, journal: list[str]) -> None:
        child(system, "a").tell(Say("mail of a"))
        child(system, "b").tell(Boom())
        child(system, "b").tell(Say("mail of b"))
        child(system, "c").tell(Say("mail of c"))
        await asyncio.sleep(1)
        hooks = [line for line in journal if not line.startswith("mail")]
        assert sorted(hooks) == sorted(expected)
        assert hooks.index("b started") > hooks.index("b stopped")
        if kind is Light:
            assert hooks == expected
        assert {line for line in journal if line.startswith("mail")} == {
            "mail of a",
            "mail of b",
            "mail of c",
        }

    supervised(kind, Supervision(strategy), main)


@BOTH
def test_siblings_do_not_notice(kind: Kind) -> None:
    async def main(system: ActorSystem, parent: Any, journal: list[str]) -> None:
        child(system, "b").tell(Boom())
        assert await child(system, "a").ask(Echo("a")) == "a"
        assert await child(system, "c").ask(Echo("c")) == "c"
        assert await child(system, "b").ask(Echo("b")) == "b"
        assert child(system, "a").restarts == 0
        assert child(system, "b").restarts == 1

    supervised(kind, Supervision(), main)


@BOTH
def test_the_pause_before_a_restart_grows(kind: Kind) -> None:
    async def main(system: ActorSystem, parent: Any, journal: list[str]) -> None:
        loop = system.loop
        took = []
        for _ in range(3):
            before = loop.time()
            child(system, "b").tell(Boom())
            await child(system, "b").ask(Echo(""))
            took.append(round(loop.time() - before, 6))
        assert took == [1.0, 2.0, 4.0]

    supervised(kind, Supervision(backoff_s=1.0, max_backoff_s=60.0), main)


@BOTH
def test_one_failure_too_many_goes_up_or_ends_the_child(kind: Kind) -> None:
    async def escalates(system: ActorSystem, parent: Any, journal: list[str]) -> None:
        for _ in range(3):
            child(system, "b").tell(Boom())
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        # The parent was made anew with all its children, who were gone before it.
        again = journal.index("parent stopped")
        assert {"a stopped", "b stopped", "c stopped"} <= set(journal[:again])
        assert journal[again:] == ["parent stopped", "parent started", "a started", "b started", "c started"]

    async def stops(system: ActorSystem, parent: Any, journal: list[str]) -> None:
        gone = child(system, "b").gone()
        for _ in range(3):
            child(system, "b").tell(Boom())
            await asyncio.sleep(0.1)
        signal = await gone
        assert (signal.path, signal.reason) == ("/parent/b", "failed")
        assert isinstance(signal.error, Broken)
        assert await child(system, "a").ask(Echo("a")) == "a"

    few = {"max_restarts": 2, "backoff_s": 0.01}
    supervised(kind, Supervision(**few), escalates)
    supervised(kind, Supervision(**few, exceeded=Directive.STOP), stops)


def test_what_reaches_the_root_ends_all_and_is_told() -> None:
    told: list[BaseException] = []

    async def main(system: ActorSystem) -> None:
        other = system.spawn(Light([]), "other")
        system.spawn(Light([]), "once").tell(Boom())  # given as an object: it cannot be made anew
        await other.gone()
        assert isinstance(system.failure, Escalated)
        assert isinstance(system.failure.__cause__, Broken)

    play(main, failed=told.append)
    assert len(told) == 1


def test_in_a_group_each_stands_alone() -> None:
    async def main(system: ActorSystem) -> None:
        ended: list[tuple[str, str]] = []
        group = system.spawn_group("runs", ended=lambda name, signal: ended.append((name, signal.reason)))
        bad, good = group.spawn(Light([]), "bad"), group.spawn(Light([]), "good")
        bad.tell(Boom())
        assert await good.ask(Echo("x")) == "x"
        good.stop()
        await good.gone()
        assert ended == [("bad", "failed"), ("good", "stopped")]
        assert system.failure is None

    play(main)


class Faulty(Light):
    """Raises in a hook as often as `times` says."""

    def __init__(self, journal: list[str], times: dict[str, int]) -> None:
        super().__init__(journal)
        self.times = times

    def fail(self, hook: str) -> None:
        if self.times.get(hook, 0):
            self.times[hook] -= 1
            raise Broken(hook)

    def started(self) -> None:
        self.fail("started")
        super().started()

    def stopped(self) -> None:
        super().stopped()
        self.fail("stopped")

    def on_terminated(self, signal: Terminated) -> None:
        self.note(f"saw {signal.path} {signal.reason}")
        self.fail("on_terminated")


class HeavyFaulty(Heavy):
    def __init__(self, journal: list[str], times: dict[str, int]) -> None:
        super().__init__(journal)
        self.times = times

    fail = Faulty.fail
    on_terminated = Faulty.on_terminated

    async def started(self) -> None:
        self.fail("started")
        await super().started()

    async def stopped(self) -> None:
        await super().stopped()
        self.fail("stopped")


@pytest.mark.parametrize("kind", [Faulty, HeavyFaulty])
def test_hooks_that_fail(kind: Any) -> None:
    async def main(system: ActorSystem) -> None:
        journal: list[str] = []
        times = {"started": 2, "stopped": 1, "on_terminated": 1}
        ref = system.spawn(lambda: kind(journal, times), "a")
        assert await ref.ask(Echo("x")) == "x"
        assert journal == ["started"]  # who did not start is not cleaned up after
        victim = system.spawn(Light([]), "victim")
        cell: Any = ref
        cell.context.watch(victim)
        victim.stop()
        await asyncio.sleep(1)
        assert journal == ["started", "saw /victim stopped", "stopped", "started"]
        assert cell.restarts == 3

    play(main)


def test_a_factory_that_fails() -> None:
    async def main(system: ActorSystem) -> None:
        made: list[int] = []

        def make() -> Light:
            made.append(1)
            if len(made) in (2, 3):
                raise Broken("factory")
            return Light([])

        ref = system.spawn(make, "a")
        ref.tell(Boom())
        assert await ref.ask(Echo("x")) == "x"
        assert len(made) == 4

        def never() -> Light:
            raise Broken("at once")

        with pytest.raises(Broken):
            system.spawn(never, "b")

    play(main)


class Hanging(TaskActor[Message]):
    """Hangs at a Say, as long as nobody ends it."""

    receive_timeout_s = 10.0

    def __init__(self, journal: list[str]) -> None:
        self.journal = journal

    async def receive(self, messages: list[Message]) -> None:
        for message in self.context.each(messages):
            if isinstance(message, Echo):
                message.reply(message.text)
            elif isinstance(message, Say):
                try:
                    await asyncio.Event().wait()
                finally:
                    self.journal.append(f"let go of {message.text}")


def test_a_handler_that_hangs_is_a_failure_after_its_time() -> None:
    async def main(system: ActorSystem) -> None:
        journal: list[str] = []
        ref = system.spawn(lambda: Hanging(journal), "a")
        other = system.spawn(Light([]), "other")
        ref.tell(Say("it"))
        behind = ref.ask(Echo("behind"))
        assert await other.ask(Echo("lively")) == "lively"
        assert system.loop.time() == 0.0
        assert await behind == "behind"
        assert system.loop.time() == 10.05
        assert journal == ["let go of it"]
        assert isinstance(system.dead_letters.recent()[0].error, TimeoutError)

    play(main)


def test_a_handler_that_somebody_cancels_is_a_failure() -> None:
    async def main(system: ActorSystem) -> None:
        journal: list[str] = []
        ref: Any = system.spawn(lambda: Hanging(journal), "a")
        for busy in (True, False):
            if busy:
                ref.tell(Say("it"))
            await asyncio.sleep(1)
            ref._task.cancel()
            assert await ref.ask(Echo("x")) == "x"
        assert ref.restarts == 2

    play(main)


def test_a_handler_that_hangs_does_not_hold_the_end() -> None:
    async def main(system: ActorSystem) -> None:
        journal: list[str] = []
        ref = system.spawn(lambda: Hanging(journal), "a")
        ref.tell(Say("it"))
        await asyncio.sleep(1)
        ref.stop()
        await ref.gone()
        assert system.loop.time() == 1.0 + system.grace_s
        assert journal == ["let go of it"]
        assert system.dead_letters.counts == {"unhandled": 1}

    play(main)


def test_a_task_that_ignores_its_cancellation_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    class Stubborn(TaskActor[Message]):
        async def receive(self, messages: list[Message]) -> None:
            while not enough.is_set():
                try:
                    await enough.wait()
                except asyncio.CancelledError:
                    pass

    enough = asyncio.Event()

    async def main(system: ActorSystem) -> None:
        ref = system.spawn(Stubborn(), "a")
        ref.tell(Say("it"))
        await asyncio.sleep(1)
        ref.stop()
        await ref.gone()
        assert system.loop.time() == 1.0 + 2 * system.grace_s
        assert "leaves" in caplog.text
        enough.set()
        await asyncio.sleep(1)

    play(main)
