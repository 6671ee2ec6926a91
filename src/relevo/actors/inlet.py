"""Messages from other threads: one wake-up of the loop for a burst."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Task
from collections import deque
from typing import Any, Final, Generic, TypeVar

from relevo.actors.errors import ActorDead, MailboxFull
from relevo.actors.ref import ActorRef

M = TypeVar("M")

BOUND: Final = 100_000


class Inlet(Generic[M]):
    """The way into an actor's mailbox from any thread. Messages of one thread keep their order."""

    def __init__(self, ref: ActorRef[M], loop: AbstractEventLoop, *, bound: int = BOUND) -> None:
        self._ref = ref
        self._loop = loop
        self._bound = bound
        self._messages: deque[M] = deque()  # its append and popleft are atomic, with the GIL and without
        self._awake = False
        self._pouring: Task[Any] | None = None

    def put(self, message: M) -> None:
        """Hand a message over; never waits. Raises MailboxFull when the loop is `bound` messages behind.

        After the loop's end it goes nowhere.
        """
        if len(self._messages) >= self._bound:
            raise MailboxFull(self._ref.path, self._bound)
        self._messages.append(message)
        if not self._awake:
            self._awake = True  # two threads at once: a wake-up too many, never one too few
            try:
                self._loop.call_soon_threadsafe(self._drain)
            except RuntimeError:
                pass  # the loop is closed: nobody is there any more

    def _drain(self) -> None:
        self._awake = False  # before looking: whoever puts after the look wakes again
        if self._pouring is not None:
            return
        batch = [self._messages.popleft() for _ in range(len(self._messages))]
        try:
            self._ref.tell_many(batch)
        except MailboxFull:
            self._pouring = self._loop.create_task(self._pour(batch))
            self._pouring.add_done_callback(self._poured)

    async def _pour(self, batch: list[M]) -> None:
        """The mailbox has no room for all: one by one, as it gets some."""
        for message in batch:
            try:
                await self._ref.send(message)
            except ActorDead:
                continue  # counted among the dead letters

    def _poured(self, task: Task[Any]) -> None:
        self._pouring = None
        if not task.cancelled() and self._messages:
            self._drain()
