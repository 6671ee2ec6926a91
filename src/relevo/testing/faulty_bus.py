"""A bus that drops, repeats and delays on command, in front of any other.

What is dropped is told as Lagged, as the contract asks: a bus may lose nothing silently. What is repeated comes twice,
as after a reconnection. Order is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Literal

from relevo.bus.contract import Bus, Lagged
from relevo.domain.stored import Stored

Fault = Literal["drop", "repeat", "delay"]


class FaultyBus:
    """See the module. `fault` is asked about each append for each follower; None leaves it alone."""

    def __init__(self, inner: Bus, fault: Callable[[Stored], Fault | None], *, delay_s: float = 0.0) -> None:
        self.inner = inner
        self.struck = 0  #: how many faults have happened
        self._fault = fault
        self._delay_s = delay_s

    @property
    def followers(self) -> int:
        return self.inner.followers

    def publish(self, stored: Stored) -> None:
        self.inner.publish(stored)

    def subscribe(
        self, stream: str | None = None, *, capacity: int = 1_024
    ) -> AsyncIterator[Stored | Lagged]:
        return FaultySubscription(self, self.inner.subscribe(stream, capacity=capacity))

    async def close(self) -> None:
        await self.inner.close()

    def strike(self, stored: Stored) -> Fault | None:
        """The fault of an append, counted."""
        fault = self._fault(stored)
        self.struck += fault is not None
        return fault

    async def pause(self) -> None:
        """The delay."""
        await asyncio.sleep(self._delay_s)


class FaultySubscription:
    """What one follower reads through a FaultyBus."""

    def __init__(self, bus: FaultyBus, inner: AsyncIterator[Stored | Lagged]) -> None:
        self._bus = bus
        self._inner = inner
        self._again: Stored | None = None

    def __aiter__(self) -> FaultySubscription:
        return self

    async def __anext__(self) -> Stored | Lagged:
        if self._again is not None:
            again, self._again = self._again, None
            return again
        heard = await anext(self._inner)
        if isinstance(heard, Lagged):
            return heard
        fault = self._bus.strike(heard)
        if fault == "drop":
            return Lagged(heard.sequence)
        if fault == "repeat":
            self._again = heard
        elif fault == "delay":
            await self._bus.pause()
        return heard

    async def aclose(self) -> None:
        """Unsubscribe. Idempotent."""
        await self._inner.aclose()  # type: ignore[attr-defined]  # the contract's closing of an iterator
