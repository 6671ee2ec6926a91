from __future__ import annotations

import gc

import pytest

from relevo.bus.inprocess import InProcessBus
from relevo.testing.contracts.bus import BusContract, stored, take
from relevo.testing.faulty_bus import FaultyBus


class TestInProcess(BusContract):
    @pytest.fixture
    def bus(self) -> InProcessBus:
        return InProcessBus()


class TestFaultyWithoutFaults(BusContract):
    @pytest.fixture
    def bus(self) -> FaultyBus:
        return FaultyBus(InProcessBus(), lambda _: None)


async def test_a_dropped_subscription_is_forgotten() -> None:
    bus = InProcessBus()
    heard = bus.subscribe()
    assert bus.followers == 1
    del heard
    gc.collect()
    assert bus.followers == 0


async def test_a_follower_that_never_reads_holds_no_more_than_its_capacity() -> None:
    bus = InProcessBus()
    heard = bus.subscribe(capacity=10)
    for sequence in range(1, 10_001):
        bus.publish(stored(sequence))
    assert await take(heard, 11) == [*range(1, 11), -11]


async def test_a_faulty_bus_drops_repeats_and_delays() -> None:
    bus = FaultyBus(InProcessBus(), lambda s: {2: "drop", 3: "repeat", 4: "delay"}.get(s.sequence))  # type: ignore[arg-type, return-value]
    heard = bus.subscribe()
    for sequence in range(1, 6):
        bus.publish(stored(sequence))
    assert await take(heard, 6) == [1, -2, 3, 3, 4, 5]
    assert bus.struck == 3
