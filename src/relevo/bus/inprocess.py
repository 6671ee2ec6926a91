"""The bus of one process: a bounded queue for each follower."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from relevo.bus.contract import Lagged
from relevo.domain.stored import Stored


class _Follower:
    __slots__ = ("capacity", "closed", "lagged", "queue", "stream", "waiter")

    def __init__(self, stream: str | None, capacity: int) -> None:
        self.stream = stream
        self.capacity = capacity
        self.queue: deque[Stored] = deque()
        self.lagged: int | None = None  # sequence of the first append that found no room
        self.waiter: asyncio.Future[None] | None = None
        self.closed = False

    def wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class InProcessBus:
    """See `contract.Bus`."""

    def __init__(self) -> None:
        self._by_stream: dict[str | None, list[_Follower]] = {}
        self._closed = False

    @property
    def followers(self) -> int:
        return sum(map(len, self._by_stream.values()))

    def publish(self, stored: Stored) -> None:
        for key in (stored.stream, None):
            for follower in self._by_stream.get(key, ()):
                if follower.lagged is not None:
                    continue
                if len(follower.queue) >= follower.capacity:
                    follower.lagged = stored.sequence
                else:
                    follower.queue.append(stored)
                follower.wake()

    def subscribe(
        self, stream: str | None = None, *, capacity: int = 1_024
    ) -> AsyncIterator[Stored | Lagged]:
        follower = _Follower(stream, capacity)
        # From this call on, not from the first read: what is published in between must not be missed.
        self._by_stream.setdefault(stream, []).append(follower)
        return _Subscription(self, follower)

    def unsubscribe(self, follower: _Follower) -> None:
        followers = self._by_stream.get(follower.stream, [])
        if follower in followers:
            followers.remove(follower)
            if not followers:
                del self._by_stream[follower.stream]

    async def close(self) -> None:
        self._closed = True
        for followers in self._by_stream.values():
            for follower in followers:
                follower.closed = True
                follower.wake()


class _Subscription:
    def __init__(self, bus: InProcessBus, follower: _Follower) -> None:
        self._bus = bus
        self._follower = follower

    def __aiter__(self) -> _Subscription:
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

    async def aclose(self) -> None:
        self._follower.closed = True
        self._follower.wake()
        self._bus.unsubscribe(self._follower)
