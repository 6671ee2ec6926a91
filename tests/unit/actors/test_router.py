"""Actors by key: started when needed, gone when idle, and no message lost in between."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from relevo.actors import Actor, ActorDead, ActorRef, ActorSystem, MailboxFull, Router, TaskActor

from .kit import Boom, Echo, Light, Message, Say, play


class Runs(Actor[Message]):
    """The parent: a light child for each key, named for it."""

    def __init__(self, journal: list[str], kind: Any = Light, mailbox: int = 100) -> None:
        self.journal = journal
        self.kind = kind
        self.mailbox = mailbox

    def started(self) -> None:
        self.router: Router[int, Message] = Router(
            self.context,
            lambda key: self.kind(self.journal, str(key)),
            name=lambda key: f"run-{key}",
            mailbox=self.mailbox,
            passivate_after_s=10.0,
        )

    def receive(self, messages: list[Message]) -> None:
        for message in self.context.each(messages):
            if isinstance(message, Boom):
                raise ValueError(message)


async def router_of(system: ActorSystem, journal: list[str], **options: Any) -> tuple[ActorRef[Any], Any]:
    made: list[Runs] = []

    def make() -> Runs:
        made.append(Runs(journal, **options))
        return made[-1]

    ref = system.spawn(make, "runs")
    await asyncio.sleep(0.1)
    return ref, lambda: made[-1].router


def test_the_idle_go_and_the_next_message_brings_them_back() -> None:
    async def main(system: ActorSystem) -> None:
        journal: list[str] = []
        _, router = await router_of(system, journal)
        ref = router().ref(7)
        assert ref.path == "/runs/run-7"
        assert ref.alive
        assert len(router()) == 0
        ref.tell(Say("a"))
        assert await ref.ask(Echo("b")) == "b"
        assert system.tree()[-1]["path"] == ref.path
        assert len(router()) == 1
        signal = await ref.gone()
        assert signal.reason == "passivated"
        assert (await ref.gone()).reason == "passivated"
        assert len(router()) == 0
        assert system.count == 2
        await ref.send(Say("c"))
        ref.tell_many([Say("d"), Say("e")])
        assert await ref.ask(Echo("f")) == "f"
        ref.stop()
        await ref.gone()
        assert journal == ["7 started", "a", "7 stopped", "7 started", "c", "d", "e", "7 stopped"]
        assert system.dead_letters.count == 0

    play(main)


class Slow(TaskActor[Message]):
    """Takes its time to stop."""

    def __init__(self, journal: list[str], name: str) -> None:
        self.journal = journal
        self.name = name

    async def receive(self, messages: list[Message]) -> None:
        for message in self.context.each(messages):
            if isinstance(message, Say):
                self.journal.append(message.text)
            elif isinstance(message, Echo):
                message.reply(message.text)

    async def stopped(self) -> None:
        self.journal.append("stopping")
        await asyncio.sleep(1)
        self.journal.append("stopped")


def test_what_comes_while_one_is_stopping_is_for_the_next() -> None:
    async def main(system: ActorSystem) -> None:
        journal: list[str] = []
        _, router = await router_of(system, journal, kind=Slow, mailbox=5)
        ref = router().ref(1)
        ref.tell(Say("1"))
        await asyncio.sleep(0.1)
        ref.stop()
        await asyncio.sleep(0.5)
        ref.tell(Say("2"))
        ref.tell_many([Say("3")])
        asked = ref.ask(Echo("4"))
        await ref.send(Say("5"))
        late = ref.ask(Echo("6"), timeout_s=0.1)
        with pytest.raises(MailboxFull):
            ref.tell(Say("too many"))
        with pytest.raises(TimeoutError):
            await late
        assert await asked == "4"
        await asyncio.sleep(0.1)
        assert journal == ["1", "stopping", "stopped", "2", "3", "5"]

    play(main)


def test_what_is_held_when_all_ends_is_counted() -> None:
    async def main(system: ActorSystem) -> None:
        parent, router = await router_of(system, [], kind=Slow)
        ref = router().ref(1)
        ref.tell(Say("1"))
        await asyncio.sleep(0.1)
        ref.stop()
        await asyncio.sleep(0.5)
        ref.tell(Say("held"))
        asked = ref.ask(Echo("held"))
        parent.stop()
        await parent.gone()
        with pytest.raises(ActorDead):
            await asked
        ref.tell(Say("late"))
        ref.tell_many([Say("late")])
        with pytest.raises(ActorDead):
            await ref.send(Say("late"))
        with pytest.raises(ActorDead):
            await ref.ask(Echo("late"))
        assert system.dead_letters.counts == {"dead": 6}

    play(main)


def test_after_the_parents_failure_a_new_router_serves_and_the_old_one_does_not() -> None:
    async def main(system: ActorSystem) -> None:
        journal: list[str] = []
        parent, router = await router_of(system, journal)
        old = router().ref(1)
        old.tell(Say("before"))
        await asyncio.sleep(0.1)
        parent.tell(Boom())
        await asyncio.sleep(1)
        old.tell(Say("lost"))
        new = router().ref(1)
        assert await new.ask(Echo("x")) == "x"
        assert journal == ["1 started", "before", "1 stopped", "1 started"]
        assert system.dead_letters.counts == {"poison": 1, "dead": 1}

    play(main)


def test_an_actor_that_cannot_be_made_for_held_mail() -> None:
    async def main(system: ActorSystem) -> None:
        made: list[str] = []

        def kind(journal: list[str], name: str) -> Slow:
            made.append(name)
            if len(made) == 2:
                raise OSError("no")
            return Slow(journal, name)

        _, router = await router_of(system, [], kind=kind)
        ref = router().ref(1)
        ref.tell(Say("1"))
        await asyncio.sleep(0.1)
        ref.stop()
        await asyncio.sleep(0.5)
        asked = ref.ask(Echo("held"))
        with pytest.raises(OSError, match="no"):
            await asked
        await asyncio.sleep(1)
        assert system.tree()[1]["restarts"] == 1

    play(main)
