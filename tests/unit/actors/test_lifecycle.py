"""Starting, stopping, watching, what an actor has under way, passivation, and what stays in memory."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from relevo.actors import Actor, ActorDead, ActorRef, ActorSystem, Terminated
from relevo.testing.virtual_loop import VirtualLoop, run_on

from .kit import Boom, Broken, Echo, Heavy, Light, Message, Say, Silent, play

BOTH = pytest.mark.parametrize("kind", [Light, Heavy])
Kind = Callable[[list[str], str], Light | Heavy]


@BOTH
def test_children_stop_before_their_parents(kind: Kind) -> None:
    class Tree(Light):
        def started(self) -> None:
            super().started()
            if len(self.name) < 3:
                for letter in "xy":
                    make = Tree if len(self.name) < 2 else kind
                    name = self.name + letter
                    self.context.spawn(lambda make=make, name=name: make(self.journal, name), name)

    async def main(system: ActorSystem) -> None:
        journal: list[str] = []
        ref = system.spawn(lambda: Tree(journal, "r"), "r")
        await asyncio.sleep(1)
        assert system.count == 8
        ref.stop()
        await ref.gone()
        stopped = [line.removesuffix(" stopped") for line in journal if line.endswith("stopped")]
        assert sorted(stopped) == ["r", "rx", "rxx", "rxy", "ry", "ryx", "ryy"]
        for at, name in enumerate(stopped):
            assert all(later.startswith(name) is False for later in stopped[at + 1 :])

    play(main)


@BOTH
def test_stopping_oneself_lets_the_batch_end(kind: Kind) -> None:
    class Quitter(Light):
        def receive(self, messages: list[Message]) -> None:
            self.context.stop()
            super().receive(messages)

    async def main(system: ActorSystem) -> None:
        journal: list[str] = []
        ref = system.spawn(lambda: Quitter(journal), "a")
        ref.tell_many([Say("1"), Say("2")])
        signal = await ref.gone()
        assert (signal.path, signal.reason, signal.error) == ("/a", "stopped", None)
        assert journal == ["started", "1", "2", "stopped"]

    play(main)


def test_one_that_has_nothing_to_do_at_its_start_lives_as_soon_as_it_is_spawned() -> None:
    class Plain(Actor[Message]):
        def __init__(self, journal: list[str]) -> None:
            self.journal = journal

        def receive(self, messages: list[Message]) -> None:
            self.journal += [one.text for one in messages if isinstance(one, Say)]

    async def main(system: ActorSystem) -> None:
        journal: list[str] = []
        actor = Plain(journal)
        ref = system.spawn(actor, "a")
        assert actor.context.live
        ref.tell(Say("1"))
        assert journal == []  # never within whoever tells it
        await asyncio.sleep(1)
        assert journal == ["1"]
        ref.stop()
        assert (await ref.gone()).reason == "stopped"
        assert not ref.alive

    play(main)


def test_ended_by_who_is_called_from_outside_it_is_gone_at_once() -> None:
    async def main(system: ActorSystem) -> None:
        journal: list[str] = []
        parents: list[tuple[str, Terminated]] = []
        group = system.spawn_group("g", ended=lambda name, signal: parents.append((name, signal)))
        actor = Light(journal)
        ref = group.spawn(actor, "a")
        await asyncio.sleep(1)
        context = actor.context
        context.pause()
        ref.tell(Say("never"))
        context.end()
        assert not ref.alive
        assert not context.live
        context.end()  # once more is nothing
        signal = await ref.gone()
        assert (signal.path, signal.reason) == ("/g/a", "stopped")
        assert parents == [("a", signal)]
        assert [letter.reason for letter in system.dead_letters.recent()] == ["unhandled"]
        assert journal == ["started", "stopped"]

    play(main)


@BOTH
def test_stopping_is_idempotent_and_possible_at_any_time(kind: Kind) -> None:
    async def main(system: ActorSystem) -> None:
        journal: list[str] = []
        ref = system.spawn(kind(journal, ""), "a")
        ref.stop()  # before it has started
        ref.stop()
        await ref.gone()
        ref.stop()
        assert (await ref.gone()).reason == "stopped"
        assert "stopped" in journal or journal == []

        between = system.spawn(lambda: kind(journal, ""), "b")
        between.tell(Boom())
        await asyncio.sleep(0.01)  # it waits for its restart
        between.stop()
        await between.gone()
        seen = len(journal)
        await asyncio.sleep(10)
        assert len(journal) == seen

    play(main)


def test_watching() -> None:
    class Watcher(Actor[ActorRef[Message]]):
        def __init__(self) -> None:
            self.seen: list[Terminated] = []

        def receive(self, messages: list[ActorRef[Message]]) -> None:
            for ref in messages:
                self.context.watch(ref)
                if ref.alive:
                    self.context.watch(ref)
            self.context.pause()  # signals come nevertheless

        def on_terminated(self, signal: Terminated) -> None:
            self.seen.append(signal)

    async def main(system: ActorSystem) -> None:
        group = system.spawn_group("g")
        watcher = Watcher()
        ref = system.spawn(watcher, "watcher")
        dead, doomed, forgotten = (group.spawn(Light([]), name) for name in ("dead", "doomed", "forgotten"))
        dead.stop()
        await dead.gone()
        ref.tell_many([dead, doomed, forgotten])
        await asyncio.sleep(1)
        watcher.context.unwatch(forgotten)
        doomed.tell(Boom())
        forgotten.stop()
        await asyncio.sleep(1)
        assert [(one.path, one.reason) for one in watcher.seen] == [
            ("/g/dead", "stopped"),
            ("/g/doomed", "failed"),
        ]
        assert isinstance(watcher.seen[1].error, Broken)

    play(main)


def test_a_restart_is_no_death() -> None:
    async def main(system: ActorSystem) -> None:
        ref = system.spawn(lambda: Light([]), "a")
        gone = ref.gone()
        ref.tell(Boom())
        await asyncio.sleep(10)
        assert not gone.done()

    play(main)


class Performer(Actor[Message]):
    """Has work done beside it."""

    def __init__(self, journal: list[str], work: Callable[[], Any]) -> None:
        self.journal = journal
        self.work = work

    def receive(self, messages: list[Message]) -> None:
        for message in self.context.each(messages):
            if isinstance(message, Boom):
                raise Broken
            if isinstance(message, Echo):
                message.reply(message.text)
            else:
                self.context.pause()
                self.context.perform(self.work(), self.performed, None)

    def performed(self, result: str) -> None:
        self.journal.append(f"performed {result}")
        self.context.resume()


def test_what_an_actor_has_performed_comes_back_even_when_paused() -> None:
    async def work() -> str:
        await asyncio.sleep(5)
        return "it"

    async def main(system: ActorSystem) -> None:
        journal: list[str] = []
        ref = system.spawn(lambda: Performer(journal, work), "a")
        ref.tell(Say("go"))
        await asyncio.sleep(0)
        assert await ref.ask(Echo("x")) == "x"
        assert system.loop.time() == 5.0
        assert journal == ["performed it"]

    play(main)


def test_work_that_fails_is_the_actors_failure_or_handled() -> None:
    async def work() -> str:
        raise Broken

    async def main(system: ActorSystem) -> None:
        ref: Any = system.spawn(lambda: Performer([], work), "a")
        ref.tell(Say("go"))
        assert await ref.ask(Echo("x")) == "x"
        assert ref.restarts == 0  # the ask came in the same batch
        await asyncio.sleep(1)
        assert ref.restarts == 1
        errors: list[BaseException] = []
        ref.context.perform(work(), lambda _: None, errors.append)
        await asyncio.sleep(1)
        assert isinstance(errors[0], Broken)
        assert ref.restarts == 1

    play(main)


def test_nothing_of_an_instance_happens_after_its_end() -> None:
    cancelled: list[str] = []

    async def work() -> str:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            cancelled.append("work")
            await asyncio.sleep(1)  # clean-up takes its time
            raise
        return "never"

    async def main(system: ActorSystem) -> None:
        journal: list[str] = []
        ref: Any = system.spawn(lambda: Performer(journal, work), "a")
        await asyncio.sleep(0.1)
        old = ref.context
        called = old.bound(lambda: journal.append("bound"))
        called()
        old.later(3.0, journal.append, "later")
        ref.tell(Say("go"))
        await asyncio.sleep(0.1)
        ref.stop()
        await ref.gone()
        assert system.loop.time() == 1.2
        called()
        old.later(1.0, journal.append, "later")
        old.pause()
        old.resume()
        old.perform(work(), journal.append)
        await asyncio.sleep(10)
        assert journal == ["bound"]
        assert cancelled == ["work"]

    play(main)


def test_a_continuation_that_raises_is_a_failure() -> None:
    def broken() -> None:
        raise Broken

    async def main(system: ActorSystem) -> None:
        ref: Any = system.spawn(lambda: Light([]), "a")
        await asyncio.sleep(1)
        ref.context.bound(broken)()
        await asyncio.sleep(1)
        ref.context.later(1.0, broken)
        await asyncio.sleep(5)
        assert ref.restarts == 2

    play(main)


def test_timers_can_be_cancelled() -> None:
    async def main(system: ActorSystem) -> None:
        journal: list[str] = []
        ref: Any = system.spawn(Light(journal), "a")
        await asyncio.sleep(1)
        timer = ref.context.later(1.0, journal.append, "never")
        timer.cancel()
        timer.cancel()
        ref.context.later(2.0, journal.append, "once")
        await asyncio.sleep(5)
        assert journal == ["started", "once"]
        assert not ref.effects

    play(main)


@BOTH
def test_the_idle_are_passivated_and_the_busy_are_not(kind: Kind) -> None:
    async def main(system: ActorSystem) -> None:
        idle = system.spawn(kind([], ""), "idle", passivate_after_s=10.0)
        talking = system.spawn(kind([], ""), "talking", passivate_after_s=10.0)
        owing = system.spawn(kind([], ""), "owing", passivate_after_s=10.0)
        asked = owing.ask(Silent())
        for _ in range(6):
            await asyncio.sleep(5)
            talking.tell(Say("x"))
        assert not idle.alive
        assert (await idle.gone()).reason == "passivated"
        assert talking.alive
        assert owing.alive
        asked.cancel()
        signal = await talking.gone()
        assert signal.reason == "passivated"
        assert system.loop.time() == 40.0
        await owing.gone()

    play(main)


def test_no_children_for_who_stops() -> None:
    async def main(system: ActorSystem) -> None:
        group = system.spawn_group("g")
        group.stop()
        await asyncio.sleep(0)
        with pytest.raises(ActorDead):
            group.spawn(Light([]), "late")

    play(main)


def test_shutdown_stops_all_and_may_come_twice() -> None:
    async def main(system: ActorSystem) -> None:
        refs = [system.spawn_group(f"g{n}").spawn(Light([]), "a") for n in range(3)]
        await asyncio.gather(system.shutdown(), system.shutdown())
        assert not any(ref.alive for ref in refs)
        with pytest.raises(ActorDead):
            system.spawn(Light([]), "late")

    play(main)


def test_the_tree_tells_everything() -> None:
    async def main(system: ActorSystem) -> None:
        group = system.spawn_group("orchestrator")
        ref = group.spawn(lambda: Light([]), "run-1")
        system.spawn(Heavy([]), "scheduler")
        ref.tell_many([Say("x"), Boom(), Say("y")])
        await asyncio.sleep(1)
        cell: Any = ref
        cell.context.pause()
        ref.tell(Say("z"))
        assert system.tree() == [
            {
                "path": path,
                "kind": kind,
                "state": "running",
                "mailbox": mail,
                "handled": done,
                "restarts": again,
                "about": "",
            }
            for path, kind, mail, done, again in [
                ("/", "Guardian", 0, 0, 0),
                ("/orchestrator", "Guardian", 0, 0, 0),
                ("/orchestrator/run-1", "Light", 1, 2, 1),
                ("/scheduler", "Heavy", 0, 0, 0),
            ]
        ]

    play(main)


def test_finished_actors_leave_no_memory() -> None:
    """Fifty thousand live and die; nothing of the kernel is left of them, and references hold little."""
    alive: weakref.WeakSet[Any] = weakref.WeakSet()

    class Run(Actor[Message]):
        __slots__ = ("__weakref__",)

        def receive(self, messages: list[Message]) -> None:
            self.context.stop()

    def make() -> Run:
        run = Run()
        alive.add(run)
        return run

    loop = VirtualLoop()

    async def main() -> None:
        system = ActorSystem(loop)
        group = system.spawn_group("runs")
        await asyncio.sleep(0)
        gc.collect()
        gc.disable()  # what is freed is freed by counting: no cycles are left behind
        try:
            before = len(gc.get_objects())
            for wave in range(50):
                for n in range(1_000):
                    group.spawn(make, f"{wave}-{n}", passivate_after_s=60.0).tell(Say("end"))
                assert len(alive) == 1_000
                await asyncio.sleep(1)
                assert len(alive) == 0
            assert system.count == 2
            assert len(gc.get_objects()) - before < 1_000
        finally:
            gc.enable()
        await system.shutdown()

    run_on(loop, main())


def test_a_living_light_actor_is_small() -> None:
    import tracemalloc

    class Run(Actor[Message]):
        __slots__ = ()

        def receive(self, messages: list[Message]) -> None:
            """Nothing."""

    loop = VirtualLoop()

    async def main() -> None:
        system = ActorSystem(loop)
        group = system.spawn_group("runs")
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            refs = [group.spawn(Run, f"run-{n:020d}") for n in range(1_000)]
            for ref in refs:
                ref.tell(Say("x"))
            await asyncio.sleep(1)
            gc.collect()
            each = (tracemalloc.get_traced_memory()[0] - before) / 1_000
        finally:
            tracemalloc.stop()
        assert each < 800
        await system.shutdown()

    run_on(loop, main())
