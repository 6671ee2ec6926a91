"""What every bus promises. `relevo.testing.contracts.bus` holds the tests of it.

The bus carries what the store has committed, in order of sequence. It may lose nothing silently: a follower
that is too slow gets `Lagged` and catches up from the store by sequence.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from msgspec import Struct

from relevo.domain.stored import Stored


class Lagged(Struct, frozen=True):
    """The follower was too slow: read the store from `sequence` (inclusive) on."""

    sequence: int


class Bus(Protocol):
    """Fan-out of committed appends."""

    @property
    def followers(self) -> int:
        """How many subscriptions are open: publishers may skip work when it is 0."""

    def publish(self, stored: Stored) -> None:
        """Hand a committed append to all followers. Never blocks: a full follower is marked as lagging."""

    def subscribe(
        self, stream: str | None = None, *, capacity: int = 1_024
    ) -> AsyncIterator[Stored | Lagged]:
        """Follow one stream, or all. Bounded by `capacity`; closing the iterator unsubscribes."""

    async def close(self) -> None:
        """End all subscriptions. Idempotent."""
