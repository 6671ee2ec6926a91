"""Bounds on what goes on at once: calls, bytes. Who comes first is let in first; a big one is not passed by small ones."""

from __future__ import annotations

from asyncio import AbstractEventLoop, CancelledError, Future
from collections import deque
from types import TracebackType

from relevo.domain.errors import InfrastructureError


class LimitReached(InfrastructureError):
    """So many wait already that no more may."""

    def __init__(self, name: str, waiting: int) -> None:
        super().__init__(f"{name}: {waiting} wait already")
        self.name = name
        self.waiting = waiting


class Limit:
    """At most `size` units (calls, bytes) taken at once; at most `waiting` callers wait, None: any number.

    An amount above `size` is let in alone, when all else is given back.
    """

    def __init__(self, name: str, size: int, *, loop: AbstractEventLoop, waiting: int | None = None) -> None:
        if size < 1:
            raise ValueError(f"limit {name}: {size} must be above zero")
        self.name = name
        self.size = size
        self.taken = 0
        self._loop = loop
        self._most_waiting = waiting
        self._waiting: deque[tuple[int, Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """How many callers wait."""
        return len(self._waiting)

    def take_nowait(self, amount: int = 1) -> bool:
        """Take `amount` if there is room and nobody waits for it."""
        if self._waiting or not self._fits(amount):
            return False
        self.taken += amount
        return True

    async def take(self, amount: int = 1) -> None:
        """Wait for room, then take `amount`. Raises LimitReached when too many wait already."""
        if self.take_nowait(amount):
            return
        if self._most_waiting is not None and len(self._waiting) >= self._most_waiting:
            raise LimitReached(self.name, len(self._waiting))
        entry = (amount, self._loop.create_future())
        self._waiting.append(entry)
        try:
            await entry[1]
        except CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
                self._admit()  # it may have stood before smaller ones
            else:
                self.give(amount)  # it was let in at the same moment
            raise

    def give(self, amount: int = 1) -> None:
        """Give back what was taken."""
        if amount > self.taken:
            raise ValueError(f"limit {self.name}: {amount} given back of {self.taken} taken")
        self.taken -= amount
        self._admit()

    def held(self, amount: int = 1) -> Held:
        """`async with limit.held(n):` takes n, and gives it back at the end."""
        return Held(self, amount)

    def _fits(self, amount: int) -> bool:
        return self.taken + amount <= self.size or self.taken == 0

    def _admit(self) -> None:
        while self._waiting:
            amount, future = self._waiting[0]
            if future.done():  # cancelled: it will take itself out, or is being taken out
                self._waiting.popleft()
            elif self._fits(amount):
                self._waiting.popleft()
                self.taken += amount
                future.set_result(None)
            else:
                return


class Held:
    """A part of a limit, taken for a while."""

    __slots__ = ("_amount", "_limit")

    def __init__(self, limit: Limit, amount: int) -> None:
        self._limit = limit
        self._amount = amount

    async def __aenter__(self) -> None:
        await self._limit.take(self._amount)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._limit.give(self._amount)
