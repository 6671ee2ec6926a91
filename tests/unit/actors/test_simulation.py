"""Systems on hosts of a virtual loop: the same seed gives the same trace, and a crash ends all at once."""

from __future__ import annotations

import asyncio
from typing import Any

from relevo.actors import Actor, ActorRef, ActorSystem
from relevo.testing.virtual_loop import Host, VirtualLoop, run_on

from .kit import Echo, Heavy, Say


class Gossip(Actor[Say]):
    """Tells on what it hears to others, in an order that the loop's chance decides."""

    def __init__(self, name: str, trace: list[tuple[float, str, str]], loop: VirtualLoop) -> None:
        self.name = name
        self.trace = trace
        self.loop = loop
        self.others: list[ActorRef[Say]] = []

    def receive(self, messages: list[Say]) -> None:
        for message in messages:
            self.trace.append((self.loop.time(), self.name, message.text))
            if len(message.text) < 6:
                other = self.loop.random.choice(self.others)
                self.context.later(self.loop.random.random(), other.tell, Say(message.text + self.name))


def gossip(seed: int) -> list[tuple[float, str, str]]:
    loop = VirtualLoop(seed)
    trace: list[tuple[float, str, str]] = []

    async def main() -> None:
        system = ActorSystem(Host(loop), order=loop.random.randrange)
        actors = [Gossip(name, trace, loop) for name in "abcde"]
        refs = [system.spawn(actor, actor.name) for actor in actors]
        for actor in actors:
            actor.others = refs
        for ref in refs:
            ref.tell(Say(""))
        await asyncio.sleep(20.0)

    run_on(loop, main())
    return trace


def test_the_same_seed_gives_the_same_trace() -> None:
    assert gossip(1) == gossip(1)
    assert len(gossip(1)) == 35
    assert gossip(1) != gossip(2)


def test_a_crash_of_the_host_ends_all_without_a_word() -> None:
    loop = VirtualLoop()
    journal: list[str] = []

    async def main() -> None:
        host = Host(loop)
        system = ActorSystem(host)
        ref = system.spawn(Heavy(journal), "a")
        answered: list[Any] = []

        async def ask() -> None:
            answered.append(await ref.ask(Echo("x")))

        host.create_task(ask())
        await asyncio.sleep(1.0)
        assert answered == ["x"]
        host.crash()
        ref.tell(Say("never"))
        ref.stop()
        await asyncio.sleep(10.0)

    run_on(loop, main())
    assert journal == ["started"]
