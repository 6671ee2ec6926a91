"""The promises of `relevo.bus.contract`.

class TestMine(BusContract):
    @pytest.fixture
    def bus(self) -> Bus: ...
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from relevo.bus.contract import Bus, Lagged
from relevo.domain.stored import Stored


def stored(sequence: int, stream: str = "run-1") -> Stored:
    """A committed append."""
    return Stored(sequence, stream, sequence, 1, 0, b"events")


async def take(heard: AsyncIterator[Stored | Lagged], count: int) -> list[int]:
    """The next sequences; Lagged as its negative."""
    found = []
    for _ in range(count):
        one = await anext(heard)
        found.append(-one.sequence if isinstance(one, Lagged) else one.sequence)
    return found


async def unsubscribe(heard: Any) -> None:
    """Close a subscription as `async for` over a generator would."""
    await heard.aclose()


class BusContract:
    """Subclass it, with a fixture `bus`."""

    async def test_followers_hear_their_stream_or_all_in_order(self, bus: Bus) -> None:
        one, all_ = bus.subscribe("run-1"), bus.subscribe()
        for sequence in range(1, 7):
            bus.publish(stored(sequence, f"run-{sequence % 2}"))
        assert await take(one, 3) == [1, 3, 5]
        assert await take(all_, 6) == [1, 2, 3, 4, 5, 6]

    async def test_a_subscription_counts_from_its_call(self, bus: Bus) -> None:
        bus.publish(stored(1))
        assert bus.followers == 0
        heard = bus.subscribe()
        assert bus.followers == 1
        bus.publish(stored(2))
        assert await take(heard, 1) == [2]

    async def test_a_reader_that_waits_is_woken(self, bus: Bus) -> None:
        heard = bus.subscribe()
        reading = asyncio.ensure_future(take(heard, 2))
        await asyncio.sleep(0)
        bus.publish(stored(1))
        bus.publish(stored(2))
        assert await reading == [1, 2]

    async def test_a_slow_follower_is_told_from_where_it_lags(self, bus: Bus) -> None:
        slow, quick = bus.subscribe(capacity=3), bus.subscribe()
        for sequence in range(1, 9):
            bus.publish(stored(sequence))
        assert await take(slow, 4) == [1, 2, 3, -4]
        bus.publish(stored(9))
        assert await take(slow, 1) == [9]
        assert await take(quick, 9) == list(range(1, 10))

    async def test_what_is_missed_is_always_named(self, bus: Bus) -> None:
        heard = bus.subscribe(capacity=2)
        known = 0
        for sequence in range(1, 101):
            bus.publish(stored(sequence))
            if sequence % 7 == 0:
                for number in await take(heard, 1):
                    assert number in (known + 1, -(known + 1)), "a gap that nobody named"
                    known = sequence if number < 0 else number
        bus.publish(stored(101))

    async def test_closing_unsubscribes(self, bus: Bus) -> None:
        heard, other = bus.subscribe(), bus.subscribe("run-1")
        reading = asyncio.ensure_future(anext(heard, None))
        await asyncio.sleep(0)
        await unsubscribe(heard)
        await unsubscribe(heard)
        assert await reading is None
        assert bus.followers == 1
        bus.publish(stored(1))
        assert await take(other, 1) == [1]

    async def test_a_reader_that_is_cancelled_loses_nothing(self, bus: Bus) -> None:
        heard = bus.subscribe()
        reading = asyncio.ensure_future(anext(heard))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        bus.publish(stored(1))
        assert await take(heard, 1) == [1]

    async def test_the_end_of_the_bus_ends_all_subscriptions(self, bus: Bus) -> None:
        heard = bus.subscribe()
        bus.publish(stored(1))
        await bus.close()
        await bus.close()
        assert await take(heard, 1) == [1]
        assert await anext(heard, None) is None
        assert await anext(bus.subscribe(), None) is None
        assert bus.followers == 0
