"""Actors by key, started when somebody has a message for them.

Those that have passivated hold no memory; the next message starts them again, from whatever `make` builds them from.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

from relevo.actors.actor import Actor, TaskActor
from relevo.actors.asking import answer_to, limit_answer
from relevo.actors.cell import Cell
from relevo.actors.context import MAILBOX, Context
from relevo.actors.errors import ActorDead, MailboxFull
from relevo.actors.messages import Asks, Request, Terminated
from relevo.actors.ref import ActorRef

K = TypeVar("K", bound=Hashable)
M = TypeVar("M")
R = TypeVar("R")


class Router(Generic[K, M]):
    """The children of one actor, by key. Make it in the parent's `started`: it lives as long as the parent's instance.

    A message that comes while an actor is stopping waits for it to be gone and is then the first of the next one.
    """

    def __init__(
        self,
        context: Context[Any],
        make: Callable[[K], Actor[M] | TaskActor[M]],
        *,
        name: Callable[[K], str] = str,
        mailbox: int = MAILBOX,
        passivate_after_s: float | None = None,
    ) -> None:
        self._context = context
        self._make = make
        self._name = name
        self._mailbox = mailbox
        self._passivate_after_s = passivate_after_s
        self._cells: dict[str, Cell[M]] = {}
        self._held: dict[str, tuple[K, list[M]]] = {}  #: for those that are stopping
        context.on_child_gone(self._gone)

    def __len__(self) -> int:
        """How many are there now."""
        return len(self._cells)

    @property
    def loop(self) -> AbstractEventLoop:
        """The system's."""
        return self._context.system.loop

    def ref(self, key: K) -> ActorRef[M]:
        """A reference that starts the actor of `key` whenever it is needed."""
        return RoutedRef(self, key)

    def tell(self, key: K, message: M) -> None:
        """See ActorRef.tell."""
        try:
            cell = self.active(key)
        except ActorDead:
            self.bury([message])
            return
        if cell is None:
            self.hold(key, [message])
        else:
            cell.tell(message)

    # --- for the references ---------------------------------------------------------------------------------------

    def path(self, key: K) -> str:
        """Where the actor of `key` stands when it is there."""
        return f"{self._context.path.rstrip('/')}/{self._name(key)}"

    def current(self, key: K) -> Cell[M] | None:
        """The actor of `key`, if it is there; it may be stopping."""
        return self._cells.get(self._name(key))

    def active(self, key: K) -> Cell[M] | None:
        """The actor of `key`, started if need be; None while it is stopping. Raises ActorDead as `spawn` does."""
        name = self._name(key)
        cell = self._cells.get(name)
        if cell is None:
            made = self._context.spawn(
                lambda: self._make(key),
                name,
                mailbox=self._mailbox,
                passivate_after_s=self._passivate_after_s,
            )
            assert isinstance(made, Cell)
            cell = self._cells[name] = made
        return cell if cell.alive else None

    def hold(self, key: K, messages: Sequence[M]) -> None:
        """Keep messages for the next one. Raises MailboxFull."""
        held = self._held.setdefault(self._name(key), (key, []))[1]
        if len(held) + len(messages) > self._mailbox:
            raise MailboxFull(self.path(key), self._mailbox)
        held += messages

    def ask(self, key: K, request: Asks[M, R], timeout_s: float | None) -> Future[R]:
        """See ActorRef.ask."""
        try:
            cell = self.active(key)
        except ActorDead:
            future: Future[R] = answer_to(request, self.loop)
            self.bury([request])
            return future
        if cell is not None:
            return cell.ask(request, timeout_s=timeout_s)
        future = answer_to(request, self.loop)
        if timeout_s is not None:
            limit_answer(future, self.loop, timeout_s, self.path(key))
        self.hold(key, [request])  # type: ignore[list-item]  # Asks is how the checker sees a message
        return future

    def bury(self, messages: Sequence[object], error: BaseException | None = None) -> None:
        """Count messages as dead: the parent is over, or the actor could not be made."""
        for message in messages:
            self._context.bury(message, "dead", error)

    def _gone(self, name: str, signal: Terminated) -> None:
        if self._cells.pop(name, None) is None:
            return
        held = self._held.pop(name, None)
        if held is None:
            return
        key, messages = held
        try:
            cell = self.active(key)
        except ActorDead:
            self.bury(messages)
            return
        except BaseException as error:
            self.bury(messages, error)
            raise
        assert cell is not None
        for message in messages:
            if isinstance(message, Request) and message.asked is not None:
                cell.take_ask(message, message.asked)
            else:
                cell.tell(message)


class RoutedRef(ActorRef[M]):
    """A reference to whatever actor a key has at the moment of each message."""

    __slots__ = ("_key", "_router")

    def __init__(self, router: Router[Any, M], key: Hashable) -> None:
        self._router = router
        self._key = key

    @property
    def path(self) -> str:
        """See ActorRef.path."""
        return self._router.path(self._key)

    @property
    def alive(self) -> bool:
        """Always: the next message starts it."""
        return True

    def tell(self, message: M) -> None:
        """See ActorRef.tell."""
        self._router.tell(self._key, message)

    def tell_many(self, messages: Sequence[M]) -> None:
        """See ActorRef.tell_many."""
        try:
            cell = self._router.active(self._key)
        except ActorDead:
            self._router.bury(messages)
            return
        if cell is None:
            self._router.hold(self._key, messages)
        else:
            cell.tell_many(messages)

    async def send(self, message: M) -> None:
        """See ActorRef.send."""
        try:
            cell = self._router.active(self._key)
        except ActorDead:
            self._router.bury([message])
            raise
        if cell is None:
            self._router.hold(self._key, [message])
        else:
            await cell.send(message)

    def ask(self, request: Asks[M, R], *, timeout_s: float | None = None) -> Future[R]:
        """See ActorRef.ask."""
        return self._router.ask(self._key, request, timeout_s)

    def stop(self) -> None:
        """Stop the actor that is there now, if one is."""
        cell = self._router.current(self._key)
        if cell is not None:
            cell.stop()

    def gone(self) -> Future[Terminated]:
        """Done when the actor that is there now is gone; at once when there is none."""
        cell = self._router.current(self._key)
        if cell is not None:
            return cell.gone()
        future: Future[Terminated] = self._router.loop.create_future()
        future.set_result(Terminated(self.path, "passivated"))
        return future
