"""The bus of one process: a bounded queue for each follower.

A follower whose queue is full keeps what it has; behind that it finds `Lagged` with the first sequence that it missed,
and what is published after it has read that comes through the queue again. Whatever it missed was committed before it
reads `Lagged`, so the store has it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from relevo.bus.contract import Lagged
from relevo.core.measured import BUS_LAGGED
from relevo.domain.stored import Stored

_NOBODY: Final[dict[Follower, None]] = {}


class Follower:
    """The queue of one subscription."""

    __slots__ = ("capacity", "closed", "lagged", "queue", "stream", "waiter")

    def __init__(self, stream: str | None, capacity: int) -> None:
        self.stream = stream
        self.capacity = capacity
        self.queue: deque[Stored] = deque()
        self.lagged: int | None = None  #: sequence of the first append that found no room
        self.waiter: asyncio.Future[None] | None = None
        self.closed = False

    def wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def end(self) -> None:
        """What is queued is still handed out, then the iterator ends."""
        self.closed = True
        self.wake()


class InProcessBus:
    """See `contract.Bus`."""

    def __init__(self) -> None:
        self._by_stream: dict[str | None, dict[Follower, None]] = {}
        self.followers = 0
        self._closed = False

    def publish(self, stored: Stored) -> None:
        if not self.followers:
            return
        for followers in (self._by_stream.get(stored.stream, _NOBODY), self._by_stream.get(None, _NOBODY)):
            for follower in followers:
                if follower.lagged is not None:
                    continue
                if len(follower.queue) < follower.capacity:
                    follower.queue.append(stored)
                else:
                    follower.lagged = stored.sequence
                    BUS_LAGGED.inc()
                follower.wake()

    def subscribe(self, stream: str | None = None, *, capacity: int = 1_024) -> Subscription:
        follower = Follower(stream, capacity)
        if self._closed:
            follower.closed = True
        else:
            # From this call on, not from the first read: what is published in between must not be missed.
            self._by_stream.setdefault(stream, {})[follower] = None
            self.followers += 1
        return Subscription(self, follower)

    def unsubscribe(self, follower: Follower) -> None:
        """Forget a follower. Idempotent."""
        followers = self._by_stream.get(follower.stream, _NOBODY)
        if follower in followers:
            del followers[follower]
            self.followers -= 1
            if not followers:
                del self._by_stream[follower.stream]

    async def close(self) -> None:
        self._closed = True
        for followers in list(self._by_stream.values()):
            for follower in list(followers):
                follower.end()
                self.unsubscribe(follower)


class Subscription:
    """What one follower reads. One reader at a time; dropping it unsubscribes, as `aclose` does."""

    __slots__ = ("_bus", "_follower")

    def __init__(self, bus: InProcessBus, follower: Follower) -> None:
        self._bus = bus
        self._follower = follower

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Stored | Lagged:
        follower = self._follower
        while True:
            if follower.queue:
                return follower.queue.popleft()
            if follower.lagged is not None:
                sequence, follower.lagged = follower.lagged, None
                return Lagged(sequence)
            if follower.closed:
                raise StopAsyncIteration
            follower.waiter = asyncio.get_running_loop().create_future()
            try:
                await follower.waiter
            finally:
                follower.waiter = None

    def waiting(self) -> list[Stored | Lagged]:
        """Take all that is there, without waiting."""
        follower = self._follower
        found: list[Stored | Lagged] = list(follower.queue)
        follower.queue.clear()
        if follower.lagged is not None:
            found.append(Lagged(follower.lagged))
            follower.lagged = None
        return found

    async def aclose(self) -> None:
        """Unsubscribe; a read that waits ends. Idempotent."""
        self._follower.queue.clear()
        self._follower.lagged = None
        self._follower.end()
        self._bus.unsubscribe(self._follower)

    def __del__(self) -> None:
        self._bus.unsubscribe(self._follower)
