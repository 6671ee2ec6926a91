"""What an actor is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from relevo.actors.supervision import DEFAULT, Supervision

if TYPE_CHECKING:
    from relevo.actors.context import Context
    from relevo.actors.messages import Terminated

M = TypeVar("M")


class _Base(Generic[M]):
    """What light actors and actors with a task have in common."""

    __slots__ = ("context",)

    #: How it watches over its children.
    supervision: ClassVar[Supervision] = DEFAULT

    #: Its place in the system; there from `started()` on.
    context: Context[M]

    @property
    def about(self) -> str:
        """What it is about, for people, where its name does not say it."""
        return ""

    def on_terminated(self, signal: Terminated) -> None:
        """An actor that it watches is gone. Comes before waiting messages, also while it is paused."""


class Actor(_Base[M]):
    """A light actor: an object that is handed its mail. Thousands cost little; it must never wait.

    Each instance lives once: `started`, any number of `receive`, `stopped`. After a failure a new instance takes its
    place, with the same mailbox.
    """

    __slots__ = ()

    def started(self) -> None:
        """Called before the first message. If it raises, that is a failure as any other."""

    def receive(self, messages: list[M]) -> None:
        """Handle all messages that wait, in order.

        What raises counts as failed from the message on that was taken from `self.context.each(messages)`: that one
        goes to the dead letters, those after it come again. Without `each` nobody knows which one it was: all come
        again, one by one, except requests answered already.
        """
        raise NotImplementedError

    def stopped(self) -> None:
        """Called after its children have stopped, when `started` had succeeded. It is over, whether this raises or not."""


class TaskActor(_Base[M]):
    """An actor with a task of its own, for what owns I/O. Same mailbox, supervision and order as a light one."""

    __slots__ = ()

    #: A batch that takes longer than this is a failure (TimeoutError); None: no limit.
    receive_timeout_s: ClassVar[float | None] = None

    async def started(self) -> None:
        """See Actor.started."""

    async def receive(self, messages: list[M]) -> None:
        """See Actor.receive. When it stops it has a time of grace to finish what it handles, then it is cancelled."""
        raise NotImplementedError

    async def stopped(self) -> None:
        """See Actor.stopped. Cancelled when it takes longer than the grace."""
