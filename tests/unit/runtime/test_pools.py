"""Pools: bounded, in order, with deadlines; a call that hangs starves nobody else. Real threads, held by events."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from relevo.runtime.pools import DeadlinePassed, Pool, PoolClosed, PoolFull


@pytest.fixture
def hold() -> Iterator[threading.Event]:
    """What held calls wait for; set in the end, so that no thread is left."""
    event = threading.Event()
    yield event
    event.set()
    for thread in threading.enumerate():
        if thread.name.startswith("relevo-"):
            thread.join(60)


@pytest.fixture
async def pool(hold: threading.Event) -> AsyncIterator[Pool]:
    pool = Pool("test", threads=2, queue=3)
    yield pool
    hold.set()
    await pool.close()
    assert pool.stats().threads == 0


class Held:
    """A call that waits for `hold`; `begun(n)` waits until n of them are in their threads."""

    def __init__(self, hold: threading.Event) -> None:
        self._hold = hold
        self._begun = threading.Semaphore(0)

    def __call__(self) -> bool:
        self._begun.release()
        return self._hold.wait()

    async def begun(self, count: int) -> None:
        for _ in range(count):
            assert await asyncio.to_thread(self._begun.acquire, timeout=60)


async def ended(name: str) -> None:
    """Wait for the threads of a pool to end."""
    for thread in threading.enumerate():
        if thread.name.startswith(f"relevo-{name}"):
            await asyncio.to_thread(thread.join, 60)


async def test_results_and_errors_come_back(pool: Pool) -> None:
    assert await pool.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await pool.run(divmod, 7, 0)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await pool.run(next, iter(()))


async def test_submit_calls_back_on_the_loop(pool: Pool) -> None:
    here = threading.get_ident()
    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def report(result: int | None, error: BaseException | None) -> None:
        done.set_result((result, error, threading.get_ident() == here))

    pool.submit(lambda: threading.get_ident() != here, report)
    assert await done == (True, None, True)


async def test_no_more_threads_than_allowed_and_none_before_it_is_needed(
    pool: Pool, hold: threading.Event
) -> None:
    assert pool.stats().threads == 0
    await asyncio.gather(*(pool.run(int) for _ in range(2)))
    held = Held(hold)
    calls = [asyncio.ensure_future(pool.run(held)) for _ in range(5)]
    await held.begun(2)
    stats = pool.stats()
    assert (stats.threads, stats.running, stats.waiting) == (2, 2, 3)
    with pytest.raises(PoolFull, match="test has 3 calls waiting"):
        await pool.run(int)
    hold.set()
    assert await asyncio.gather(*calls) == [True] * 5
    stats = pool.stats()
    assert (stats.done, stats.refused, stats.running, stats.waiting) == (7, 1, 0, 0)
    assert stats.worked_s > 0


async def test_a_full_pool_leaves_another_alone(pool: Pool, hold: threading.Event) -> None:
    calls = [asyncio.ensure_future(pool.run(hold.wait)) for _ in range(5)]
    await asyncio.sleep(0)
    other = Pool("other", threads=1)
    assert await other.run(int) == 0
    await other.close()
    hold.set()
    await asyncio.gather(*calls)


async def test_calls_that_hang_are_given_up_and_replaced(
    hold: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool("hanging", threads=1, deadline_s=600)
    held = Held(hold)
    hanging = asyncio.ensure_future(pool.run(held))
    await held.begun(1)
    later_s = asyncio.get_running_loop().time() + 600
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: later_s)
    with pytest.raises(DeadlinePassed, match=r"hanging did not end within 600 s"):
        await hanging
    stats = pool.stats()
    assert (stats.hung, stats.overdue, stats.running) == (1, 1, 1)
    assert await pool.run(int) == 0  # by a spare thread
    await pool.close()  # it does not wait for the one that hangs
    hold.set()
    await ended("hanging")
    assert (pool.stats().threads, pool.stats().hung) == (0, 0)


async def test_there_is_an_end_to_spare_threads(hold: threading.Event) -> None:
    pool = Pool("hanging", threads=1, deadline_s=0.02)
    for _ in range(10):
        with pytest.raises(DeadlinePassed):
            await pool.run(hold.wait)
    assert pool.stats().threads <= 4
    hold.set()
    await ended("hanging")
    assert pool.stats().hung == 0
    pool._deadline_s = None  # a thread may take longer than that to begin
    assert await pool.run(int) == 0
    await pool.close()


async def test_a_call_is_not_made_when_nobody_waits(pool: Pool, hold: threading.Event) -> None:
    made: list[int] = []
    blocking = [asyncio.ensure_future(pool.run(hold.wait)) for _ in range(2)]
    call = asyncio.ensure_future(pool.run(made.append, 1))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    hold.set()
    await asyncio.gather(*blocking)
    assert await pool.run(int) == 0
    assert made == []


async def test_closing_makes_waiting_calls_and_takes_no_more(hold: threading.Event) -> None:
    pool = Pool("closing", threads=1)
    calls = [asyncio.ensure_future(pool.run(hold.wait)) for _ in range(3)]
    await asyncio.sleep(0)
    closing = [asyncio.ensure_future(pool.close()) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(PoolClosed):
        await pool.run(int)
    hold.set()
    assert await asyncio.gather(*calls) == [True] * 3
    await asyncio.gather(*closing)
    await pool.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("relevo-closing")]


async def test_results_for_a_closed_loop_are_dropped(hold: threading.Event) -> None:
    pool = Pool("orphan", threads=1)
    told: list[object] = []

    def elsewhere() -> None:
        async def main() -> None:
            pool.submit(hold.wait, lambda *outcome: told.append(outcome))

        asyncio.run(main())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join)
    hold.set()
    await pool.close()
    assert told == []
