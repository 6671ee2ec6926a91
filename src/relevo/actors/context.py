"""What an actor sees of the system that it lives in. One for each instance: after its end it does nothing any more."""

from __future__ import annotations

from asyncio import CancelledError, Future, TimerHandle, ensure_future
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, TypeVar

from relevo.actors.errors import ActorDead
from relevo.actors.state import PAUSED

if TYPE_CHECKING:
    from relevo.actors.actor import Actor, TaskActor
    from relevo.actors.cell import Cell
    from relevo.actors.messages import Terminated
    from relevo.actors.ref import ActorRef
    from relevo.actors.system import ActorSystem

M = TypeVar("M")
N = TypeVar("N")
R = TypeVar("R")
P = ParamSpec("P")

#: Messages that wait before a sender is held.
MAILBOX: Final = 10_000


class Context(Generic[M]):
    """The place of one instance of an actor. Not thread-safe."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell[M]) -> None:
        self._cell = cell

    @property
    def ref(self) -> ActorRef[M]:
        """The actor's own reference."""
        return self._cell

    @property
    def path(self) -> str:
        """The actor's own path."""
        return self._cell.path

    @property
    def system(self) -> ActorSystem:
        """The system that it belongs to."""
        return self._cell.system

    @property
    def live(self) -> bool:
        """Whether the instance that this belongs to is not over."""
        return self._cell.context is self

    @property
    def waiting(self) -> int:
        """Messages that wait for this actor, those of waiting senders included."""
        return self._cell.depth

    def spawn(
        self,
        make: Actor[N] | TaskActor[N] | Callable[[], Actor[N] | TaskActor[N]],
        name: str | None = None,
        *,
        mailbox: int = MAILBOX,
        passivate_after_s: float | None = None,
    ) -> ActorRef[N]:
        """Start a child; returns at once, and messages may be sent at once.

        `make` makes it, now and after each failure; one that is given as an object cannot be made anew: its first
        failure is treated as one too many. With `passivate_after_s` it stops when it was idle for so long.
        Raises NameTaken, ActorDead when this instance is ending, and what `make` raises.
        """
        if not self.live:
            raise ActorDead(self.path, "it is over and takes no children")
        return self._cell.system.spawn_in(self._cell, make, name, mailbox, passivate_after_s)

    def stop(self) -> None:
        """Stop this actor after what it handles now."""
        if self.live:
            self._cell.stop()

    def end(self) -> None:
        """Stop this actor without a step of its own: for callbacks of others, as a store. Not while it handles mail."""
        if self.live:
            self._cell.end()

    def pause(self) -> None:
        """Hand over no more messages; they collect, within the mailbox's bound. Signals and continuations still come."""
        cell = self._cell
        if cell.context is self:
            cell.hold |= PAUSED
            cell._idle = False

    def resume(self) -> None:
        """Hand over messages again. Nothing when it was not paused, or is over."""
        cell = self._cell
        if cell.context is self:
            cell.release(PAUSED)

    def each(self, messages: list[M]) -> Iterator[M]:
        """The messages one by one; keeps in mind which one is in hand, so that a failure is blamed on it alone."""
        cell = self._cell
        for at, message in enumerate(messages):
            cell.at = at
            yield message

    def watch(self, ref: ActorRef[Any]) -> None:
        """Have `on_terminated` called when `ref` is gone, at once if it is gone already. Idempotent while it lives."""
        from relevo.actors.cell import Cell

        cell = self._cell
        if not self.live:
            return
        if not isinstance(ref, Cell):
            ref.gone().add_done_callback(lambda gone: cell.post(self._signal, gone.result()))
        elif ref.reason is not None:
            cell.post(self._signal, ref.reason)
        else:
            if cell.watching is None:
                cell.watching = set()
            cell.watching.add(ref)
            ref.watched_by(cell, lambda signal: self._watched_gone(ref, signal))

    def unwatch(self, ref: ActorRef[Any]) -> None:
        """Take back `watch`. Idempotent."""
        watching = self._cell.watching
        if watching is not None and ref in watching:
            watching.discard(ref)
            if ref.watchers is not None:
                ref.watchers.pop(self._cell, None)

    def on_child_gone(self, call: Callable[[str, Terminated], object]) -> None:
        """Have `call(name, signal)` made, supervised, when a child is gone: its name is free then."""
        cell = self._cell
        if self.live:
            if cell.child_watchers is None:
                cell.child_watchers = []
            cell.child_watchers.append(call)

    def later(self, delay_s: float, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> Timer:
        """Make a call after `delay_s`, supervised; never once this instance is over."""
        timer = Timer(self, lambda: call(*args, **kwargs))
        if self.live:
            timer.handle = self._cell.system.loop.call_later(delay_s, timer.fire)
            self._effects().add(timer)
        return timer

    def perform(
        self,
        work: Awaitable[R],
        then: Callable[[R], object],
        failed: Callable[[BaseException], object] | None = None,
    ) -> None:
        """Await `work` beside the actor, then call `then` with its result, or `failed` with its error, supervised.

        Without `failed` the error is the actor's own failure. Once this instance is over, `work` is cancelled and
        neither is called.
        """
        loop = self._cell.system.loop
        task: Future[R] = ensure_future(work, loop=loop)
        if not self.live:
            task.cancel()
            return
        self._effects().add(task)
        task.add_done_callback(lambda done: self._performed(done, then, failed))

    def bound(self, call: Callable[P, object]) -> Callable[P, None]:
        """`call` for use as somebody's callback: supervised, and nothing once this instance is over."""

        def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
            self._guard(lambda: call(*args, **kwargs))

        return guarded

    def bury(self, message: object, reason: str, error: BaseException | None = None) -> None:
        """Count a message that was meant for this actor, or for a child that is not there, as a dead letter."""
        self._cell.bury(message, reason, error)

    # --- the kernel's own ----------------------------------------------------------------------------------------

    def _effects(self) -> set[Any]:
        cell = self._cell
        if cell.effects is None:
            cell.effects = set()
        return cell.effects

    def _guard(self, call: Callable[[], object]) -> None:
        if not self.live:
            return
        try:
            call()
        except Exception as error:
            self.failed(error)

    def failed(self, error: BaseException) -> None:
        """A call that belongs to this instance raised: that is its failure, if it still lives."""
        from relevo.actors.lifecycle import failed

        self._cell.post(self._if_live, failed, self._cell, error)

    def _if_live(self, call: Callable[..., None], *args: Any) -> None:
        if self.live:
            call(*args)

    def _watched_gone(self, ref: Cell[Any], signal: Terminated) -> None:
        watching = self._cell.watching
        if watching is not None:
            watching.discard(ref)
        self._cell.post(self._signal, signal)

    def _signal(self, signal: Terminated) -> None:
        self._guard(lambda: self._cell.actor.on_terminated(signal))

    def _fired(self, timer: Timer) -> None:
        if self._cell.effects is not None:
            self._cell.effects.discard(timer)
        self._cell.post(self._guard, timer.call)

    def _performed(
        self,
        done: Future[R],
        then: Callable[[R], object],
        failed: Callable[[BaseException], object] | None,
    ) -> None:
        error: BaseException | None = CancelledError() if done.cancelled() else done.exception()
        if not self.live or self._cell.effects is None:
            return
        self._cell.effects.discard(done)
        if error is None:
            self._cell.post(self._guard, lambda: then(done.result()))
        elif failed is not None:
            self._cell.post(self._guard, lambda: failed(error))
        else:
            self._cell.post(self._guard, lambda: _raise(error))


def _raise(error: BaseException) -> None:
    if isinstance(error, Exception):
        raise error
    raise RuntimeError(f"what the actor had performed was ended: {error!r}") from error


class Timer:
    """A call that is to be made later."""

    __slots__ = ("_context", "call", "handle")

    def __init__(self, context: Context[Any], call: Callable[[], object]) -> None:
        self._context = context
        self.call = call
        self.handle: TimerHandle | None = None

    def cancel(self) -> None:
        """Do not make the call. Idempotent."""
        if self.handle is not None:
            self.handle.cancel()
            self.handle = None
            effects = self._context._cell.effects
            if effects is not None:
                effects.discard(self)

    def fire(self) -> None:
        """Make the call in the actor's next step."""
        if self.handle is not None:
            self.handle = None
            self._context._fired(self)
