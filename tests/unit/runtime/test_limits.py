"""A limit is never passed, and nobody who waits is."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.runtime.limits import Limit, LimitReached
from relevo.testing.virtual_loop import VirtualLoop, run_on, run_virtual


@given(st.integers(0, 2**32), st.integers(1, 6))
def test_whatever_comes_it_is_kept(seed: int, size: int) -> None:
    loop = VirtualLoop(seed)
    chance = Random(seed)

    async def use(limit: Limit, amount: int) -> None:
        async with limit.held(amount):
            assert limit.taken <= size or limit.taken == amount
            await asyncio.sleep(chance.random())

    async def main() -> None:
        limit = Limit("l", size, loop=loop)
        tasks = []
        for _ in range(30):
            tasks.append(loop.create_task(use(limit, chance.randint(1, size + 2))))
            await asyncio.sleep(chance.random() / 4)
            if chance.random() < 0.3:
                chance.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert limit.taken == limit.waiting == 0
        assert all(task.cancelled() or task.exception() is None for task in tasks)

    run_on(loop, main())


def test_first_come_first_served_big_ones_included() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        limit = Limit("l", 4, loop=loop)
        order: list[str] = []

        async def use(name: str, amount: int) -> None:
            await limit.take(amount)
            order.append(name)

        await limit.take(3)
        big = loop.create_task(use("big", 4))
        await asyncio.sleep(0)
        small = loop.create_task(use("small", 1))
        await asyncio.sleep(1)
        assert not limit.take_nowait()
        assert order == []
        limit.give(3)
        await big
        limit.give(4)
        await small
        assert order == ["big", "small"]

    run_virtual(main())


def test_a_big_one_that_gives_up_lets_small_ones_pass() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        limit = Limit("l", 4, loop=loop)
        await limit.take(3)
        big = loop.create_task(limit.take(4))
        await asyncio.sleep(0)
        small = loop.create_task(limit.take(1))
        await asyncio.sleep(0)
        big.cancel()
        await small

    run_virtual(main())


def test_who_waits_is_bounded_too() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        limit = Limit("uploads", 1, loop=loop, waiting=1)
        await limit.take()
        waiting = loop.create_task(limit.take())
        await asyncio.sleep(0)
        with pytest.raises(LimitReached, match="uploads: 1 wait already"):
            await limit.take()
        limit.give()
        await waiting
        with pytest.raises(ValueError, match="2 given back of 1"):
            limit.give(2)

    run_virtual(main())
