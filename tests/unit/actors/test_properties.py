"""The kernel's promises under random tells, failures, stops, watches and restarts, in random order of actors.

Each message is handled once or is one dead letter; messages of one sender are handled in order; mailboxes are bounded;
every ask is answered; who watches hears of a death once; nothing is left in the end.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import Struct

from relevo.actors import (
    Actor,
    ActorDead,
    ActorRef,
    ActorSystem,
    Directive,
    MailboxFull,
    Request,
    Strategy,
    Supervision,
    TaskActor,
    Terminated,
)
from relevo.testing.virtual_loop import VirtualLoop

BOUND = 6


class Item(Struct, frozen=True):
    sender: str
    number: int
    bad: bool


class Ask(Request[int], frozen=True):
    sender: str
    number: int
    bad: bool
    late_s: float


Message = Item | Ask


class World:
    """What happened."""

    def __init__(self) -> None:
        self.handled: list[tuple[str, str, int]] = []
        self.signals: Counter[tuple[str, str]] = Counter()
        self.living: dict[str, Any] = {}


class Broken(Exception):
    pass


def work(actor: Any, messages: list[Message]) -> None:
    for message in actor.context.each(messages):
        if message.bad:
            raise Broken
        actor.world.handled.append((actor.context.path, message.sender, message.number))
        if isinstance(message, Ask):
            if message.late_s:
                actor.context.later(message.late_s, message.reply, message.number)
            else:
                message.reply(message.number)


class Light(Actor[Message]):
    def __init__(self, world: World) -> None:
        self.world = world

    def started(self) -> None:
        self.world.living[self.context.path] = self

    def receive(self, messages: list[Message]) -> None:
        work(self, messages)

    def on_terminated(self, signal: Terminated) -> None:
        self.world.signals[self.context.path, signal.path] += 1


class Heavy(TaskActor[Message]):
    def __init__(self, world: World) -> None:
        self.world = world

    async def started(self) -> None:
        await asyncio.sleep(0.01)
        self.world.living[self.context.path] = self

    async def receive(self, messages: list[Message]) -> None:
        await asyncio.sleep(0.01)
        work(self, messages)
        await asyncio.sleep(0.01)

    def on_terminated(self, signal: Terminated) -> None:
        self.world.signals[self.context.path, signal.path] += 1


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.world = World()
        self.rules = [
            Supervision(strategy, max_restarts=3, within_s=5.0, exceeded=Directive.STOP)
            for strategy in Strategy
        ]
        self.system = ActorSystem(self.loop, order=self.loop.random.randrange)
        self.groups = [self.system.spawn_group(f"g{n}", supervision=one) for n, one in enumerate(self.rules)]
        self.refs: list[ActorRef[Message]] = []
        self.sent: set[tuple[str, str, int]] = set()
        self.asked: list[asyncio.Future[int]] = []
        self.sending: list[asyncio.Task[None]] = []
        self.watched: Counter[tuple[str, str]] = Counter()
        self.number = 0

    # --- helpers -----------------------------------------------------------------------------------------------------

    def pick(self, index: int) -> ActorRef[Message]:
        return self.refs[index % len(self.refs)]

    def next(self) -> int:
        self.number += 1
        return self.number

    def in_loop(self, call: Callable[[], Any]) -> Any:
        async def run() -> Any:
            return call()

        return self.loop.run_until_complete(run())

    # --- what may happen -------------------------------------------------------------------------------------------

    @rule(group=st.integers(0, 2), heavy=st.booleans(), idle=st.sampled_from([None, 1.0]))
    def spawn(self, group: int, heavy: bool, idle: float | None) -> None:
        make: Any = Heavy if heavy else Light
        self.refs.append(
            self.groups[group].spawn(lambda: make(self.world), mailbox=BOUND, passivate_after_s=idle)
        )

    @precondition(lambda self: self.refs)
    @rule(at=st.integers(0, 99), count=st.integers(1, 4), bad=st.booleans(), many=st.booleans())
    def tell(self, at: int, count: int, bad: bool, many: bool) -> None:
        ref = self.pick(at)
        items = [Item("tell", self.next(), bad and n == 0) for n in range(count)]
        try:
            if many:
                ref.tell_many(items)
                self.sent |= {(ref.path, item.sender, item.number) for item in items}
            else:
                for item in items:
                    ref.tell(item)
                    self.sent.add((ref.path, item.sender, item.number))
        except MailboxFull:
            assert len(ref._mail) + (count if many else 1) > BOUND  # type: ignore[attr-defined]

    @precondition(lambda self: self.refs)
    @rule(at=st.integers(0, 99), sender=st.integers(0, 2), count=st.integers(1, 5))
    def send(self, at: int, sender: int, count: int) -> None:
        ref = self.pick(at)
        name = f"sender {sender} {len(self.sending)}"
        items = [Item(name, self.next(), False) for _ in range(count)]

        async def run() -> None:
            for item in items:
                self.sent.add((ref.path, item.sender, item.number))
                try:
                    await ref.send(item)
                except ActorDead:
                    pass

        self.sending.append(self.loop.create_task(run()))

    @precondition(lambda self: self.refs)
    @rule(at=st.integers(0, 99), bad=st.booleans(), late_s=st.sampled_from([0.0, 0.0, 0.5, 50.0]))
    def ask(self, at: int, bad: bool, late_s: float) -> None:
        ref = self.pick(at)
        request = Ask("ask", self.next(), bad, late_s)
        self.sent.add((ref.path, request.sender, request.number))
        self.asked.append(self.in_loop(lambda: ref.ask(request)))

    @precondition(lambda self: self.refs)
    @rule(at=st.integers(0, 99))
    def stop(self, at: int) -> None:
        self.pick(at).stop()

    @precondition(lambda self: self.refs)
    @rule(at=st.integers(0, 99), pause=st.booleans())
    def hold(self, at: int, pause: bool) -> None:
        actor = self.world.living.get(self.pick(at).path)
        if actor is not None:
            (actor.context.pause if pause else actor.context.resume)()

    @precondition(lambda self: len(self.refs) > 1)
    @rule(who=st.integers(0, 99), whom=st.integers(0, 99))
    def watch(self, who: int, whom: int) -> None:
        watcher, target = self.pick(who), self.pick(whom)
        actor = self.world.living.get(watcher.path)
        if actor is None or not actor.context.live or not target.alive or watcher is target:
            return
        actor.context.watch(target)
        self.watched[watcher.path, target.path] = 1

    @rule(seconds=st.sampled_from([0.0, 0.0, 0.005, 0.03, 0.2, 2.0, 20.0]))
    def advance(self, seconds: float) -> None:
        self.loop.advance(seconds)

    # --- what must hold --------------------------------------------------------------------------------------------

    @invariant()
    def mailboxes_are_bounded(self) -> None:
        """A batch that was given back after a failure may stand before a full mailbox, no more."""
        for row, ref in ((row, ref) for row in self.system.tree() for ref in self.refs):
            if row["path"] == ref.path:
                assert len(ref._mail) <= 2 * BOUND  # type: ignore[attr-defined]

    @invariant()
    def nothing_happens_twice(self) -> None:
        assert len(self.world.handled) == len(set(self.world.handled))
        assert all(count == 1 for count in self.world.signals.values())

    def teardown(self) -> None:
        try:
            self.all_is_accounted_for()
        finally:
            self.loop.close()

    def all_is_accounted_for(self) -> None:
        for actor in self.world.living.values():
            actor.context.resume()
        self.loop.advance(1_000.0)
        assert [row for row in self.system.tree() if row["mailbox"]] == [], "mail that nobody comes for"
        assert all(sending.done() for sending in self.sending)
        assert all(asked.done() for asked in self.asked)
        self.loop.run_until_complete(self.system.shutdown())
        for sending in self.sending:
            self.loop.run_until_complete(sending)
        self.loop.advance(0.0)
        assert self.system.count == 0
        for asked in self.asked:
            error = asked.exception()
            assert error is None or isinstance(error, Broken | ActorDead)
        dead = Counter(
            (one.path, one.message.sender, one.message.number)  # type: ignore[attr-defined]
            for one in self.system.dead_letters.recent()
        )
        handled = Counter(self.world.handled)
        assert all(count == 1 for count in dead.values())
        if self.system.dead_letters.count < 100:  # no more are kept
            assert handled + dead == Counter(self.sent)
        else:
            assert self.system.dead_letters.count + len(handled) == len(self.sent)
        last: dict[tuple[str, str], int] = {}
        for path, sender, number in self.world.handled:
            assert number > last.get((path, sender), 0)
            last[path, sender] = number
        assert set(self.world.signals) <= set(self.watched)
        assert self.loop.unhandled() == []
        assert not asyncio.all_tasks(self.loop)


TestKernel = Machine.TestCase
TestKernel.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
