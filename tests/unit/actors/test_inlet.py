"""Messages from other threads: in order, none lost, few wake-ups, bounded."""

from __future__ import annotations

import asyncio
import threading

import pytest

from relevo.actors import Actor, ActorSystem, Inlet, MailboxFull, Request


class Collect(Actor[tuple[int, int]]):
    def __init__(self, expected: int) -> None:
        self.seen: list[tuple[int, int]] = []
        self.expected = expected
        self.all = asyncio.Event()

    def receive(self, messages: list[tuple[int, int]]) -> None:
        self.seen += messages
        if len(self.seen) >= self.expected:
            self.all.set()


@pytest.mark.parametrize("mailbox", [100_000, 10])
async def test_threads_are_heard_in_order_and_completely(mailbox: int) -> None:
    loop = asyncio.get_running_loop()
    system = ActorSystem(loop)
    actor = Collect(8_000)
    inlet = Inlet(system.spawn(actor, "a", mailbox=mailbox), loop)

    def work(thread: int) -> None:
        for number in range(2_000):
            inlet.put((thread, number))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    await asyncio.wait_for(actor.all.wait(), 60)
    for thread in threads:
        thread.join()
    for thread in range(4):
        assert [number for who, number in actor.seen if who == thread] == list(range(2_000))
    await system.shutdown()


async def test_a_burst_wakes_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    wakes: list[object] = []
    wake = loop.call_soon_threadsafe
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *args: (wakes.append(args), wake(*args))[1])
    system = ActorSystem(loop)
    actor = Collect(1_000)
    inlet = Inlet(system.spawn(actor, "a"), loop)
    for number in range(1_000):
        inlet.put((0, number))
    await asyncio.wait_for(actor.all.wait(), 60)
    assert len(wakes) == 1
    await system.shutdown()


async def test_it_is_bounded_and_harmless_after_the_end() -> None:
    loop = asyncio.get_running_loop()
    system = ActorSystem(loop)
    ref = system.spawn(Collect(1), "a")
    inlet = Inlet(ref, loop, bound=3)
    for number in range(3):
        inlet.put((0, number))
    with pytest.raises(MailboxFull):
        inlet.put((0, 3))
    await asyncio.sleep(0)
    ref.stop()
    await ref.gone()
    inlet.put((0, 4))
    await asyncio.sleep(0)
    assert system.dead_letters.counts["dead"] == 1
    await system.shutdown()

    async def elsewhere() -> Inlet[Request[int]]:
        other = ActorSystem(asyncio.get_running_loop())
        return Inlet(other.spawn(Actor[Request[int]](), "a"), other.loop)

    gone = await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
    gone.put(Request())
