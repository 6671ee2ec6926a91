"""Actors for tests of the kernel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from relevo.actors import Actor, ActorSystem, Request, TaskActor
from relevo.testing.virtual_loop import VirtualLoop, run_on


class Say(Struct, frozen=True):
    text: str


class Boom(Struct, frozen=True):
    """Handling it raises."""

    text: str = "boom"


class BoomAsk(Request[str], frozen=True):
    """Handling it raises."""


class Echo(Request[str], frozen=True):
    text: str


class Silent(Request[str], frozen=True):
    """Never answered."""


Message = Say | Boom | BoomAsk | Echo | Silent


class Broken(Exception):
    """What handlers raise."""


def handle(message: Message, journal: list[str]) -> None:
    if isinstance(message, Say):
        journal.append(message.text)
    elif isinstance(message, Echo):
        message.reply(message.text)
    elif isinstance(message, Boom | BoomAsk):
        raise Broken(repr(message))


class Light(Actor[Message]):
    def __init__(self, journal: list[str], name: str = "") -> None:
        self.journal = journal
        self.name = name

    def note(self, what: str) -> None:
        self.journal.append(f"{self.name} {what}".strip())

    def started(self) -> None:
        self.note("started")

    def receive(self, messages: list[Message]) -> None:
        for message in self.context.each(messages):
            handle(message, self.journal)

    def stopped(self) -> None:
        self.note("stopped")


class Heavy(TaskActor[Message]):
    def __init__(self, journal: list[str], name: str = "") -> None:
        self.journal = journal
        self.name = name

    def note(self, what: str) -> None:
        self.journal.append(f"{self.name} {what}".strip())

    async def started(self) -> None:
        self.note("started")

    async def receive(self, messages: list[Message]) -> None:
        for message in self.context.each(messages):
            handle(message, self.journal)

    async def stopped(self) -> None:
        self.note("stopped")


def play(main: Callable[[ActorSystem], Awaitable[Any]], **options: Any) -> Any:
    """Run `main` with a system on a virtual loop, then shut the system down: nothing may be left."""
    loop = VirtualLoop()

    async def run() -> Any:
        system = ActorSystem(loop, **options)
        result = await main(system)
        await system.shutdown()
        assert system.count == 0
        assert [row["path"] for row in system.tree()] == ["/"]
        return result

    return run_on(loop, run())
