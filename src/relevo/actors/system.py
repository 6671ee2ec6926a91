"""A system of actors on one event loop."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any, Final, Never, TypeVar

from relevo.actors import lifecycle
from relevo.actors.actor import Actor, TaskActor
from relevo.actors.cell import Cell, Options
from relevo.actors.context import MAILBOX
from relevo.actors.dead_letters import DeadLetters
from relevo.actors.dispatcher import Dispatcher
from relevo.actors.errors import ActorDead, NameTaken
from relevo.actors.messages import Terminated
from relevo.actors.ref import ActorRef
from relevo.actors.state import State
from relevo.actors.supervision import DEFAULT, Directive, Supervision
from relevo.actors.task_cell import TaskCell

M = TypeVar("M")

#: What an actor with a task may take for what it handles when it is to stop, and again for its `stopped`.
GRACE_S: Final = 5.0
_ACTORS: Final = (Actor, TaskActor)  # as a tuple: a union would be put together anew for each actor
#: A group's children are strangers to each other: one that cannot be mended is stopped, the others go on.
GROUP: Final = Supervision(exceeded=Directive.STOP)


class _Guardian(Actor[Never]):
    """Only watches over its children; `ended(name, signal)` is called when one is gone."""

    __slots__ = ("_ended", "supervision")

    def __init__(
        self, supervision: Supervision, ended: Callable[[str, Terminated], None] | None = None
    ) -> None:
        self.supervision = supervision  # type: ignore[misc]  # each guardian has its own
        self._ended = ended

    def started(self) -> None:
        if self._ended is not None:
            self.context.on_child_gone(self._ended)


class Group:
    """A place in the tree under which strangers to each other are spawned from outside."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell[Never]) -> None:
        self._cell = cell

    @property
    def path(self) -> str:
        """Its place in the tree."""
        return self._cell.path

    def spawn(
        self,
        make: Actor[M] | TaskActor[M] | Callable[[], Actor[M] | TaskActor[M]],
        name: str | None = None,
        *,
        mailbox: int = MAILBOX,
        passivate_after_s: float | None = None,
    ) -> ActorRef[M]:
        """See Context.spawn."""
        return self._cell.system.spawn_in(self._cell, make, name, mailbox, passivate_after_s)

    def stop(self) -> None:
        """Stop all in it."""
        self._cell.stop()


class ActorSystem:
    """The root of a tree of actors. May be made before the loop runs.

    `failed` is called once when a failure has escalated to the root: all actors stop then. `order(n)` picks which of n
    ready actors is stepped next (simulation). `grace_s`: see GRACE_S.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        *,
        supervision: Supervision = DEFAULT,
        failed: Callable[[BaseException], None] | None = None,
        order: Callable[[int], int] | None = None,
        grace_s: float = GRACE_S,
    ) -> None:
        self.loop = loop
        self.grace_s = grace_s
        self.dispatcher = Dispatcher(loop, order)
        self.dead_letters = DeadLetters(loop.time)
        self.failure: BaseException | None = None
        self.count = 0  #: actors that are not stopped, guardians included
        self.restarts = 0
        self._failed = failed
        self._options: dict[tuple[int, float | None], Options] = {}
        self._next_name = 0
        self._root: Cell[Never] = self._guardian(None, "", supervision)

    def spawn(
        self,
        make: Actor[M] | TaskActor[M] | Callable[[], Actor[M] | TaskActor[M]],
        name: str | None = None,
        *,
        mailbox: int = MAILBOX,
        passivate_after_s: float | None = None,
    ) -> ActorRef[M]:
        """Start an actor at the top of the tree; see Context.spawn."""
        return self.spawn_in(self._root, make, name, mailbox, passivate_after_s)

    def spawn_group(
        self,
        name: str,
        *,
        supervision: Supervision = GROUP,
        ended: Callable[[str, Terminated], None] | None = None,
    ) -> Group:
        """A supervisor without mail of its own; `ended(name, signal)` is called when one of its children is gone."""
        return Group(self._guardian(self._root, name, supervision, ended))

    async def shutdown(self) -> None:
        """Stop all actors, children before parents. Idempotent."""
        self._root.stop()
        await self._root.gone()

    def tree(self) -> list[dict[str, Any]]:
        """All actors, parents before children: path, kind, state, mailbox (messages that wait), handled, restarts, about."""
        rows: list[dict[str, Any]] = []
        pending: list[Cell[Any]] = [self._root]
        while pending:
            cell = pending.pop()
            rows.append(
                {
                    "path": cell.path,
                    "kind": "?" if cell.actor is None else type(cell.actor).__name__.lstrip("_"),
                    "state": cell.state.value,
                    "mailbox": cell.depth,
                    "handled": cell.handled,
                    "restarts": cell.restarts,
                    "about": "" if cell.actor is None else cell.actor.about,
                }
            )
            pending += reversed(list((cell.children or {}).values()))
        return rows

    # --- the kernel's own ----------------------------------------------------------------------------------------

    def spawn_in(
        self,
        parent: Cell[Any],
        make: Actor[M] | TaskActor[M] | Callable[[], Actor[M] | TaskActor[M]],
        name: str | None,
        mailbox: int,
        passivate_after_s: float | None,
    ) -> Cell[M]:
        """See Context.spawn."""
        if isinstance(make, _ACTORS):
            actor, factory = make, None
        else:
            actor, factory = make(), make
        cell = self._place(parent, actor, factory, name, mailbox, passivate_after_s)
        if type(actor).started is Actor.started and passivate_after_s is None:
            lifecycle.start_at_once(cell)
        else:
            cell.post(lifecycle.start, cell)
        return cell

    def _guardian(
        self,
        parent: Cell[Any] | None,
        name: str,
        supervision: Supervision,
        ended: Callable[[str, Terminated], None] | None = None,
    ) -> Cell[Never]:
        def make() -> _Guardian:
            return _Guardian(supervision, ended)

        cell: Cell[Never] = self._place(parent, make(), make, name, MAILBOX, None)
        lifecycle.start(cell)
        return cell

    def _place(
        self,
        parent: Cell[Any] | None,
        actor: Actor[M] | TaskActor[M],
        factory: Callable[[], Actor[M] | TaskActor[M]] | None,
        name: str | None,
        mailbox: int,
        passivate_after_s: float | None,
    ) -> Cell[M]:
        if name is None:
            self._next_name += 1
            name = f"${self._next_name}"
        if parent is not None and (parent.ending is not None or parent.state is State.STOPPED):
            raise ActorDead(parent.path, "it is over and takes no children")
        options = self._options.get((mailbox, passivate_after_s))
        if options is None:
            if mailbox < 1:
                raise ValueError(f"a mailbox holds at least one message, not {mailbox}")
            options = self._options[mailbox, passivate_after_s] = Options(mailbox, passivate_after_s)
        kind = Cell if isinstance(actor, Actor) else TaskCell
        cell: Cell[M] = kind(self, parent, name, actor, factory, options)
        if parent is not None:
            if parent.children is None:
                parent.children = {}
            if name in parent.children:
                raise NameTaken(cell.path)
            parent.children[name] = cell
        self.count += 1
        return cell

    def root_failed(self, error: BaseException) -> None:
        """A failure has come up to the root."""
        self.failure = error
        if self._failed is not None:
            self._failed(error)
        else:
            self.loop.call_exception_handler(
                {"message": "an actor failed beyond what may be mended: all actors stop", "exception": error}
            )
