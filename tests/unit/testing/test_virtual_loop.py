"""Virtual time: jumps, order, deadlock, and hosts that die."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from relevo.testing.virtual_loop import Deadlock, Host, VirtualClock, VirtualLoop, run_on, run_virtual


def test_time_jumps_to_the_next_timer() -> None:
    async def main() -> list[tuple[float, str]]:
        seen: list[tuple[float, str]] = []
        loop = asyncio.get_running_loop()

        async def nap(seconds: float, name: str) -> None:
            await asyncio.sleep(seconds)
            seen.append((loop.time(), name))

        await asyncio.gather(nap(86_400.0, "day"), nap(0.5, "blink"), nap(3_600.0, "hour"))
        return seen

    assert run_virtual(main()) == [(0.5, "blink"), (3_600.0, "hour"), (86_400.0, "day")]


def test_the_same_seed_gives_the_same_run() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        seen: list[float] = []

        async def work() -> None:
            for _ in range(5):
                await asyncio.sleep(loop.random.random())
                seen.append(loop.time())

        await asyncio.gather(*(work() for _ in range(5)))
        return seen

    assert run_virtual(main(), 7) == run_virtual(main(), 7)
    assert run_virtual(main(), 7) != run_virtual(main(), 8)


def test_a_deadlock_is_told_with_who_waits() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_task(asyncio.Event().wait(), name="the one who waits")

    with pytest.raises(Deadlock, match="the one who waits"):
        run_virtual(main())


def test_what_came_to_the_exception_handler_is_raised() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)

    with pytest.raises(ZeroDivisionError):
        run_virtual(main())


def test_blocking_calls_run_in_the_loop() -> None:
    async def main() -> int:
        return await asyncio.to_thread(lambda: 7)

    assert run_virtual(main()) == 7


def test_the_wall_clock_may_jump_and_the_others_may_not() -> None:
    async def main() -> None:
        clock = VirtualClock(asyncio.get_running_loop(), boot_s=50.0, skew_ms=-5)
        wall, boot, monotonic = clock.wall_ms(), clock.boottime_s(), clock.monotonic_s()
        assert wall == clock.EPOCH_MS - 5
        assert boot == 50.0
        await asyncio.sleep(2.0)
        clock.jump(-10_000)
        assert clock.wall_ms() == wall + 2_000 - 10_000
        clock.suspend(100.0)
        assert clock.boottime_s() == boot + 102.0
        assert clock.monotonic_s() == monotonic + 2.0

    run_virtual(main())


def test_of_a_host_that_dies_nothing_runs_any_more() -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        host = Host(loop, "victim")
        seen: list[str] = []

        async def work() -> None:
            assert asyncio.get_running_loop() is host
            try:
                while True:
                    async with asyncio.timeout(5.0):
                        await asyncio.sleep(1.0)
                    seen.append(f"task {loop.time():g}")
            finally:
                seen.append("clean-up")

        host.create_task(work())
        host.call_later(10.0, seen.append, "timer")
        future = host.create_future()
        future.add_done_callback(lambda _: seen.append("future"))
        host.call_later(2.5, host.crash)
        await asyncio.sleep(3.0)
        future.set_result(None)
        host.call_soon(seen.append, "soon")
        await asyncio.sleep(20.0)
        return list(seen)

    assert run_virtual(main()) == ["task 1", "task 2"]


def test_two_hosts_live_and_die_apart() -> None:
    async def main() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        counts = {"a": 0, "b": 0}
        queue: asyncio.Queue[str] = asyncio.Queue()

        async def tick(name: str) -> None:
            while True:
                await asyncio.sleep(1.0)
                counts[name] += 1
                queue.put_nowait(name)

        hosts = {name: Host(loop, name) for name in counts}
        for name, host in hosts.items():
            host.create_task(tick(name))
        await asyncio.sleep(3.5)
        hosts["a"].crash()
        await asyncio.sleep(3.0)
        return counts["a"], counts["b"]

    assert run_virtual(main()) == (3, 6)


def test_the_dead_are_buried_without_noise() -> None:
    """Clean-up that awaits, and generators that are open, run into nothing when all is over."""
    loop = VirtualLoop()
    ran: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.sleep(100.0)
        finally:
            await asyncio.sleep(1.0)
            ran.append("never")

    async def work() -> None:
        try:
            async for _ in numbers():
                await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1.0)
            ran.append("never")

    async def main() -> None:
        host = Host(loop)
        host.create_task(work())
        host.call_later(1.0, lambda: 1 / 0)  # the dead report nothing
        await asyncio.sleep(0.5)
        host.crash()
        await asyncio.sleep(5.0)

    run_on(loop, main())
    assert ran == []


def test_errors_of_a_living_host_are_heard() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        Host(loop).call_soon(lambda: 1 / 0)
        await asyncio.sleep(1.0)

    with pytest.raises(ZeroDivisionError):
        run_virtual(main())
