"""The promises of `relevo.leases.contract`.

class TestMine(LeasesContract):
    @pytest.fixture
    def place(self) -> LeasesPlace: ...
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import pytest

from relevo.leases.contract import Holder, Lease, LeaseHeld, Leases


class LeasesPlace(Protocol):
    """Where leases are kept, and processes that may hold them."""

    def leases(self) -> Leases:
        """A handle; each competitor has one of its own."""

    def living(self, address: str) -> Holder:
        """A holder that is alive, with an address to tell it from others."""

    def dead(self, address: str) -> Holder:
        """A holder that can be verified to be dead."""


class LeasesContract:
    """Subclass it, with a fixture `place`."""

    async def test_a_free_lease_is_granted(self, place: LeasesPlace) -> None:
        leases = place.leases()
        assert await leases.holder("engine") is None
        me = place.living("a")
        lease = await leases.acquire("engine", me)
        assert (lease.name, lease.epoch, lease.holder) == ("engine", 1, me)
        assert await leases.holder("engine") == me
        assert await leases.valid(lease)

    async def test_a_living_holder_keeps_it(self, place: LeasesPlace) -> None:
        first = place.living("a")
        lease = await place.leases().acquire("engine", first)
        with pytest.raises(LeaseHeld) as met:
            await place.leases().acquire("engine", place.living("b"))
        assert met.value.holder == first
        assert met.value.name == "engine"
        assert await place.leases().valid(lease)

    async def test_names_are_apart(self, place: LeasesPlace) -> None:
        leases = place.leases()
        await leases.acquire("shard-1", place.living("a"))
        assert (await leases.acquire("shard-2", place.living("b"))).epoch == 1

    async def test_a_dead_holder_is_followed_by_a_higher_epoch(self, place: LeasesPlace) -> None:
        leases = place.leases()
        before = await leases.acquire("engine", place.dead("a"))
        assert await leases.holder("engine") is None
        after = await leases.acquire("engine", place.living("b"))
        assert after.epoch > before.epoch
        assert not await leases.valid(before)

    async def test_a_take_over_needs_no_death(self, place: LeasesPlace) -> None:
        first, second = place.living("a"), place.living("b")
        before = await place.leases().acquire("engine", first)
        after = await place.leases().acquire("engine", second, take_over=first)
        assert after.epoch > before.epoch
        assert await place.leases().holder("engine") == second
        assert not await place.leases().valid(before)
        assert await place.leases().valid(after)

    async def test_only_who_was_asked_in_vain_is_taken_over(self, place: LeasesPlace) -> None:
        first, second = place.living("a"), place.living("b")
        await place.leases().acquire("engine", first)
        await place.leases().acquire("engine", second, take_over=first)
        with pytest.raises(LeaseHeld) as met:  # it waited for the first as long as the second did
            await place.leases().acquire("engine", place.living("c"), take_over=first)
        assert met.value.holder == second

    async def test_a_released_lease_is_free_and_its_epoch_is_not_given_again(
        self, place: LeasesPlace
    ) -> None:
        leases = place.leases()
        before = await leases.acquire("engine", place.living("a"))
        await leases.release(before)
        await leases.release(before)
        assert await leases.holder("engine") is None
        assert (await leases.acquire("engine", place.living("b"))).epoch > before.epoch

    async def test_releasing_a_lost_lease_leaves_the_new_holder(self, place: LeasesPlace) -> None:
        leases = place.leases()
        lost = await leases.acquire("engine", place.living("a"))
        second = place.living("b")
        await leases.acquire("engine", second, take_over=lost.holder)
        await leases.release(lost)
        assert await leases.holder("engine") == second

    async def test_a_holder_may_acquire_again(self, place: LeasesPlace) -> None:
        me = place.living("a")
        leases = place.leases()
        first = await leases.acquire("engine", me)
        assert (await leases.acquire("engine", me)).epoch > first.epoch

    async def test_of_many_one_gets_it(self, place: LeasesPlace) -> None:
        tries = await asyncio.gather(
            *(place.leases().acquire("engine", place.living(f"{n}")) for n in range(8)),
            return_exceptions=True,
        )
        granted = [outcome for outcome in tries if isinstance(outcome, Lease)]
        assert len(granted) == 1, tries
        assert sum(isinstance(outcome, LeaseHeld) for outcome in tries) == 7, tries
