"""Actors beside asyncio.Queue, in one loop: messages told, requests asked one at a time, threads, memory.

Bounded mailbox, supervision and counts are on. Each pair is measured in turns in the same process, and what was sent is
counted at the receiver before a figure counts.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import tracemalloc
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter
from typing import Any

from msgspec import Struct

from relevo.actors import Actor, ActorSystem, Inlet, Request

BURST = 1_000


class Note(Struct, frozen=True):
    number: int


class Square(Request[int], frozen=True):
    number: int


class Worker(Actor[Note | Square]):
    """`all` is set once it has seen `expected` notes."""

    __slots__ = ("all", "expected", "seen")

    def __init__(self, expected: int = 0) -> None:
        self.seen = 0
        self.expected = expected
        self.all: asyncio.Event | None = asyncio.Event() if expected else None

    def receive(self, messages: list[Note | Square]) -> None:
        for message in self.context.each(messages):
            if type(message) is Note:
                self.seen += 1
            else:
                message.reply(message.number * message.number)
        if self.all is not None and self.seen >= self.expected:
            self.all.set()


async def tell_actor(count: int) -> float:
    system = ActorSystem(asyncio.get_running_loop())
    worker = Worker(count)
    assert worker.all is not None
    ref = system.spawn(worker, "worker")
    note = Note(1)
    begin = perf_counter()
    for _ in range(count // BURST):
        for _ in range(BURST):
            ref.tell(note)
        await asyncio.sleep(0)
    await worker.all.wait()
    took = perf_counter() - begin
    await system.shutdown()
    return count / took


async def tell_queue(count: int) -> float:
    queue: asyncio.Queue[Note] = asyncio.Queue(10_000)
    seen = 0

    async def work() -> None:
        nonlocal seen
        while seen < count:
            await queue.get()
            seen += 1

    worker = asyncio.ensure_future(work())
    note = Note(1)
    begin = perf_counter()
    for _ in range(count // BURST):
        for _ in range(BURST):
            queue.put_nowait(note)
        await asyncio.sleep(0)
    await worker
    return count / (perf_counter() - begin)


async def ask_actor(count: int) -> float:
    system = ActorSystem(asyncio.get_running_loop())
    ref = system.spawn(Worker(), "worker")
    await ref.ask(Square(1))
    begin = perf_counter()
    for number in range(count):
        assert await ref.ask(Square(number)) == number * number
    took = perf_counter() - begin
    await system.shutdown()
    return count / took


async def ask_queue(count: int) -> float:
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[int, asyncio.Future[int]]] = asyncio.Queue(10_000)

    async def work() -> None:
        while True:
            number, future = await queue.get()
            future.set_result(number * number)

    worker = asyncio.ensure_future(work())
    begin = perf_counter()
    for number in range(count):
        future: asyncio.Future[int] = loop.create_future()
        queue.put_nowait((number, future))
        assert await future == number * number
    took = perf_counter() - begin
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    return count / took


async def thread_to_actor(count: int) -> float:
    loop = asyncio.get_running_loop()
    system = ActorSystem(loop)
    worker = Worker(count)
    assert worker.all is not None
    inlet = Inlet(system.spawn(worker, "worker", mailbox=count), loop, bound=count)
    note = Note(1)

    def send() -> None:
        put = inlet.put
        for _ in range(count):
            put(note)

    thread = threading.Thread(target=send)
    begin = perf_counter()
    thread.start()
    await worker.all.wait()
    took = perf_counter() - begin
    thread.join()
    await system.shutdown()
    return count / took


async def thread_to_loop(count: int) -> float:
    loop = asyncio.get_running_loop()
    seen = 0
    over = asyncio.Event()

    def receive(note: Note) -> None:
        nonlocal seen
        seen += 1
        if seen == count:
            over.set()

    note = Note(1)

    def send() -> None:
        for _ in range(count):
            loop.call_soon_threadsafe(receive, note)

    thread = threading.Thread(target=send)
    begin = perf_counter()
    thread.start()
    await over.wait()
    took = perf_counter() - begin
    thread.join()
    return count / took


async def bytes_of_actor(count: int) -> float:
    """Bytes of an idle light actor that has had mail, its name and its place in the tree included."""
    system = ActorSystem(asyncio.get_running_loop())
    group = system.spawn_group("orchestrator")
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    refs = [group.spawn(Worker, f"run-{number:016x}") for number in range(count)]
    for ref in refs:
        ref.tell(Note(1))
    await refs[-1].ask(Square(1))
    gc.collect()
    each = (tracemalloc.get_traced_memory()[0] - before) / count
    tracemalloc.stop()
    await system.shutdown()
    return each


def pair(
    name: str,
    goal: float | None,
    ours: Callable[[int], Awaitable[float]],
    theirs: Callable[[int], Awaitable[float]],
    count: int,
    rounds: int,
    run: Callable[[Any], float],
) -> dict[str, Any]:
    """Both in turns; the figure is the median of ours, the ratio that of neighbours in time."""
    run(ours(count // 4 // BURST * BURST))
    run(theirs(count // 4 // BURST * BURST))
    pairs = [(run(ours(count)), run(theirs(count))) for _ in range(rounds)]
    ratios = [a / b for a, b in pairs]
    return {
        "name": name,
        "value": median(a for a, _ in pairs),
        "unit": "1/s",
        "baseline": median(b for _, b in pairs),
        "ratio": median(ratios),
        "goal": goal,
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
    }


def run(quick: bool = False) -> list[dict[str, Any]]:
    """The figures, on asyncio's loop and, where it is installed, on uvloop."""
    loops: list[tuple[str, Callable[[Any], float]]] = [("asyncio", asyncio.run)]
    try:
        import uvloop
    except ImportError:
        pass
    else:
        loops.append(("uvloop", uvloop.run))
    rounds = 3 if quick else 7
    scale = 1 if quick else 5
    figures = []
    for loop, run_on in loops:
        for name, goal, ours, theirs, count in (
            ("actors.tell", 1_500_000, tell_actor, tell_queue, 200_000),
            ("actors.ask", 150_000, ask_actor, ask_queue, 20_000),
            ("actors.from_thread", None, thread_to_actor, thread_to_loop, 50_000),
        ):
            figures.append(pair(f"{name}.{loop}", goal, ours, theirs, count * scale, rounds, run_on))
    size = asyncio.run(bytes_of_actor(1_000 if quick else 10_000))
    figures.append(
        {
            "name": "actors.idle_bytes",
            "value": size,
            "unit": "B",
            "baseline": None,
            "ratio": None,
            "goal": "< 1,000",
        }
    )
    return figures


if __name__ == "__main__":
    import sys

    for one in run("--quick" in sys.argv):
        print(one)
