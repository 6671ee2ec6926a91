"""What others hold of an actor: never the actor itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from asyncio import Future

    from relevo.actors.messages import Asks, Terminated

M_contra = TypeVar("M_contra", contravariant=True)
R = TypeVar("R")


class ActorRef(ABC, Generic[M_contra]):
    """The address of an actor that takes messages of type M. Not thread-safe: see `Inlet`.

    Messages of one sender arrive in the order in which they were sent. A message to a dead actor goes to the dead
    letters. A reference stays valid over restarts of its actor.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def path(self) -> str:
        """Where it stands in the tree: `/orchestrator/run-7`."""

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether it takes messages: not stopping, not stopped."""

    @abstractmethod
    def tell(self, message: M_contra) -> None:
        """Put `message` into the mailbox; O(1), never waits. Raises MailboxFull: then it was not put there."""

    @abstractmethod
    def tell_many(self, messages: Sequence[M_contra]) -> None:
        """Put all of `messages` into the mailbox, or none: raises MailboxFull when there is no room for all."""

    @abstractmethod
    async def send(self, message: M_contra) -> None:
        """As `tell`, and wait for room where there is none, first come first served.

        Raises ActorDead when the actor stops before there was room, or is dead already. A sender that is cancelled
        while it waits may or may not have sent.
        """

    @abstractmethod
    def ask(self, request: Asks[M_contra, R], *, timeout_s: float | None = None) -> Future[R]:
        """Send a request and await the answer; waits for room as `send` does.

        Raises what handling it raised, ActorDead when nobody will answer, TimeoutError after `timeout_s` seconds.
        Cancelling the future tells the actor nothing.
        """

    @abstractmethod
    def stop(self) -> None:
        """Let it stop after what it handles now; its children stop first. What waits goes to the dead letters.

        Idempotent; returns at once.
        """

    @abstractmethod
    def gone(self) -> Future[Terminated]:
        """Done when the actor is stopped, with the reason."""
