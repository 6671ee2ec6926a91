"""A cell: the mailbox of an actor and the actor in it. The cell stays when the actor is made anew.

    tell ─► mail ──step: all that waits──► actor.receive
    post ─► system lane (never bounded, first in a step): start, stop, signals, what was performed

Written for speed: `_bound` is 0 when nothing is taken any more, so that `tell` compares once; `_idle` is true only
while mail should wake the dispatcher. What happens at start, failure and stop stands in lifecycle.py.
"""

from __future__ import annotations

import logging
from asyncio import Future
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import Struct

from relevo.actors import lifecycle
from relevo.actors.asking import answer_to, limit_answer
from relevo.actors.errors import ActorDead, MailboxFull
from relevo.actors.messages import DeadLetter, Request, Terminated
from relevo.actors.ref import ActorRef
from relevo.actors.state import DOWN, State

if TYPE_CHECKING:
    from asyncio import TimerHandle

    from relevo.actors.actor import Actor, TaskActor
    from relevo.actors.context import Context
    from relevo.actors.messages import Asks
    from relevo.actors.system import ActorSystem

M = TypeVar("M")
R = TypeVar("R")

_NOTHING: Final[list[Any]] = []
_SWEEP: Final = 64
_log = logging.getLogger("relevo.actors")


class Options(Struct, frozen=True):
    """What is the same for all actors that are spawned alike."""

    bound: int
    passivate_after_s: float | None


class Cell(ActorRef[M]):
    """The cell of a light actor; everything public of it is `ActorRef`'s, the rest is the kernel's own."""

    __slots__ = (
        "__weakref__",
        "_below",
        "_bound",
        "_idle",
        "_lane",
        "_mail",
        "_queued",
        "_singly",
        "_waiters",
        "active_at",
        "actor",
        "asks",
        "at",
        "begun",
        "child_watchers",
        "children",
        "context",
        "effects",
        "ending",
        "factory",
        "handled",
        "history",
        "hold",
        "idle_timer",
        "name",
        "options",
        "parent",
        "reason",
        "restarts",
        "state",
        "stopping",
        "system",
        "watchers",
        "watching",
    )

    def __init__(
        self,
        system: ActorSystem,
        parent: Cell[Any] | None,
        name: str,
        actor: Actor[M] | TaskActor[M],
        factory: Callable[[], Actor[M] | TaskActor[M]] | None,
        options: Options,
    ) -> None:
        self._below: str | None = None  # once it had a child whose path was asked for
        self._bound = options.bound
        self._idle = False
        self._mail: list[M] = []
        self._queued = False
        self._singly = (
            0  #: so many messages are handed over one by one: one of them raised, nobody knows which
        )
        self._lane: list[tuple[Callable[..., object], tuple[Any, ...]]] | None = None
        self._waiters: deque[tuple[M, Future[None] | None]] | None = None
        self.active_at = 0.0
        self.actor: Any = actor  #: Actor[M] | TaskActor[M]; None between instances
        self.asks: set[Future[Any]] | None = None  #: not answered yet, delivered or not
        self.begun = False  #: this instance's `started` has succeeded
        self.at = -1  #: index of the message being handled, as far as it is known
        self.children: dict[str, Cell[Any]] | None = None  #: in order of start
        self.child_watchers: list[Callable[[str, Terminated], object]] | None = None
        self.context: Context[M] | None = None  #: of this instance; None between instances
        self.effects: set[Any] | None = None  #: tasks, futures and timers of this instance
        self.ending: list[Callable[[], None]] | None = None  #: who waits for the end of this instance
        self.factory = factory  #: None when the actor cannot be made anew
        self.handled = 0
        self.history: tuple[float, ...] = ()  #: times of recent restarts
        self.hold = DOWN  #: reasons for not delivering mail, as bits; 0 when there is none
        self.idle_timer: TimerHandle | None = None
        self.name = name
        self.options = options
        self.parent = parent
        self.reason: Terminated | None = None
        self.restarts = 0
        self.state = State.STARTING
        self.stopping: Terminated | None = None  #: with which reason it is stopping
        self.system = system
        self.watchers: dict[object, Callable[[Terminated], None]] | None = None
        self.watching: set[Cell[Any]] | None = None

    # --- what everybody may call -------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """See ActorRef.path."""
        parent = self.parent
        return "/" if parent is None else parent.below + self.name

    @property
    def below(self) -> str:
        """What the paths of its children begin with."""
        if self._below is None:
            path = self.path
            self._below = path if path == "/" else f"{path}/"
        return self._below

    @property
    def alive(self) -> bool:
        """See ActorRef.alive."""
        return self._bound > 0

    def tell(self, message: M) -> None:
        """See ActorRef.tell."""
        mail = self._mail
        if len(mail) < self._bound:
            mail.append(message)
            if self._idle:
                self._idle = False
                self._queued = True
                self.system.dispatcher.add(self)
        elif self._bound:
            raise MailboxFull(self.path, self._bound)
        else:
            self.bury(message, "dead")

    def tell_many(self, messages: Sequence[M]) -> None:
        """See ActorRef.tell_many."""
        if not self._bound:
            for message in messages:
                self.bury(message, "dead")
        elif len(self._mail) + len(messages) > self._bound:
            raise MailboxFull(self.path, self._bound)
        elif messages:
            self._mail += messages
            if self._idle:
                self._queue()

    async def send(self, message: M) -> None:
        """See ActorRef.send."""
        if len(self._mail) < self._bound:
            self.tell(message)
            return
        if not self._bound:
            self.bury(message, "dead")
            raise ActorDead(self.path, "it is stopped")
        future: Future[None] = self.system.loop.create_future()
        self._wait(message, future)
        await future

    def ask(self, request: Asks[M, R], *, timeout_s: float | None = None) -> Future[R]:
        """See ActorRef.ask."""
        future: Future[R] = answer_to(request, self.system.loop)
        if timeout_s is not None:
            limit_answer(future, self.system.loop, timeout_s, self.path)
        self.take_ask(request, future)  # type: ignore[arg-type]  # Asks is how the checker sees a message
        return future

    def stop(self) -> None:
        """See ActorRef.stop."""
        self.post(lifecycle.stop, self, "stopped")

    def end(self) -> None:
        """See Context.end."""
        lifecycle.stop(self, "stopped")

    def gone(self) -> Future[Terminated]:
        """See ActorRef.gone."""
        future: Future[Terminated] = self.system.loop.create_future()
        if self.reason is not None:
            future.set_result(self.reason)
        else:
            self.watched_by(future, lambda signal: None if future.done() else future.set_result(signal))
        return future

    # --- the kernel's own ----------------------------------------------------------------------------------------

    def take_ask(self, request: M, future: Future[Any]) -> None:
        """Admit a request whose answer `future` waits for; it waits for room where there is none."""
        if not self._bound:
            self.bury(request, "dead")
            return
        asks = self.asks
        if asks is None:
            asks = self.asks = set()
        elif len(asks) >= _SWEEP and len(asks) & (len(asks) - 1) == 0:
            asks -= {one for one in asks if one.done()}  # their askers gave up
        asks.add(future)
        request.__dict__["asks"] = asks
        if len(self._mail) < self._bound:
            self._mail.append(request)
            if self._idle:
                self._idle = False
                self._queued = True
                self.system.dispatcher.add(self)
        else:
            self._wait(request, None)

    def post(self, call: Callable[..., object], *args: Any) -> None:
        """Have `call(*args)` made in this actor's next step, before its mail and even while it is held."""
        if self.state is State.STOPPED:
            return
        if self._lane is None:
            self._lane = []
        self._lane.append((call, args))
        self._queue()

    def release(self, reason: int) -> None:
        """Deliver again, as far as it was held for `reason` only."""
        if self.hold & reason:
            self.hold &= ~reason
            self.settle()

    def settle(self) -> None:
        """Bring `_idle` in agreement with the rest, and be stepped if there is mail to deliver."""
        self._idle = False
        if not self.hold:
            if self._mail:
                self._queue()
            else:
                self._idle = True

    def block(self, reason: int) -> None:
        """Deliver nothing until it is released."""
        self.hold |= reason
        self._idle = False

    def step(self) -> int:
        """Handle what waits; called by the dispatcher alone. Returns the number of messages handled."""
        if self.options.passivate_after_s is not None:
            self.active_at = self.system.dispatcher.now
        try:
            # Still counted as queued: what these calls bring is handled in this very step.
            while self._lane is not None:
                lane, self._lane = self._lane, None
                for call, args in lane:
                    call(*args)
        finally:
            self._queued = False
        if self.hold:
            return 0
        if not self._mail:
            self._idle = True
            return 0
        return self.deliver()

    def deliver(self) -> int:
        """Hand the batch to the actor."""
        batch = self.take_batch()
        self.at = -1
        try:
            self.actor.receive(batch)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            return lifecycle.batch_failed(self, batch, error)
        self.handled += len(batch)
        if not self.hold:
            if self._mail:
                self._queue()
            else:
                self._idle = True
        return len(batch)

    def take_batch(self) -> list[M]:
        """All that waits, in order, and let in who waits for room."""
        if self._singly:
            self._singly -= 1
            batch = [self._mail.pop(0)]
        else:
            batch = self._mail
            self._mail = []
        if self._waiters:
            self._admit()
        return batch

    def give_back(self, messages: list[M], *, singly: bool) -> None:
        """Put messages that were not handled before all others; with `singly` they come one by one."""
        self._mail[:0] = messages
        if singly:
            self._singly = len(messages)

    def begin(self) -> None:
        """Start the instance."""
        try:
            self.actor.started()
        except Exception as error:
            lifecycle.failed(self, error)
        else:
            lifecycle.running(self)

    def quiesce(self, then: Callable[[], None]) -> None:
        """Call `then` once the instance handles nothing any more."""
        then()

    @property
    def simple(self) -> bool:
        """Whether nothing has to be waited for, or taken back, when it ends."""
        return not (
            self.children
            or self.effects
            or self.watching
            or self.idle_timer is not None
            or self.ending is not None
        )

    def finish(self, then: Callable[[], None]) -> None:
        """Let the instance clean up, then call `then`."""
        if self.begun:
            try:
                self.actor.stopped()
            except Exception:
                _log.exception("actor %s failed in stopped()", self.path)
        then()

    def child_gone(self, child: Cell[Any], signal: Terminated) -> None:
        """A child is stopped."""
        for call in self.child_watchers or ():  # None once the instance is over
            try:
                call(child.name, signal)
            except Exception as error:
                if self.context is not None:
                    self.context.failed(error)

    def close_mailbox(self) -> None:
        """Take no more messages."""
        self._bound = 0
        self._idle = False

    def empty_mailbox(self) -> tuple[list[M], list[tuple[M, Future[None] | None]]]:
        """What was left in the mailbox, and who still waited for room. The mailbox is closed for good."""
        mail, self._mail = self._mail, _NOTHING
        waiters, self._waiters = list(self._waiters or ()), None
        self._lane = None
        return mail, waiters

    def waiting(self) -> Iterable[M]:
        """All messages that are not delivered yet."""
        yield from self._mail
        for message, _ in self._waiters or ():
            yield message

    @property
    def depth(self) -> int:
        """Messages that wait, those of waiting senders included."""
        return len(self._mail) + len(self._waiters or ())

    @property
    def busy(self) -> bool:
        """Whether there is anything that passivation would cut off."""
        return bool(
            self.hold or self._mail or self._waiters or self._lane or self.effects or self.children
        ) or any(not future.done() for future in self.asks or ())

    def watched_by(self, who: object, call: Callable[[Terminated], None]) -> None:
        """Call `call` once when this is gone; at most once for each `who`."""
        if self.watchers is None:
            self.watchers = {}
        self.watchers[who] = call

    def bury(self, message: object, reason: str, error: BaseException | None = None) -> None:
        """Make `message` a dead letter; who asked is told."""
        self.system.dead_letters.add(DeadLetter(self.path, message, reason, error))
        if isinstance(message, Request):
            message.fail(error or ActorDead(self.path, "it is stopped"))

    def _queue(self) -> None:
        self._idle = False
        if not self._queued:
            self._queued = True
            self.system.dispatcher.add(self)

    def _wait(self, message: M, future: Future[None] | None) -> None:
        if self._waiters is None:
            self._waiters = deque()
        self._waiters.append((message, future))

    def _admit(self) -> None:
        """Let waiting senders in; some are left only while the mailbox is full, so that nobody is passed or forgotten."""
        waiters = self._waiters
        assert waiters is not None
        mail = self._mail
        while waiters and len(mail) < self._bound:
            message, future = waiters.popleft()
            if future is None:
                if not message.answered:  # type: ignore[attr-defined]  # a request; its asker has not given up
                    mail.append(message)
            elif not future.done():
                future.set_result(None)
                mail.append(message)
        if not waiters:
            self._waiters = None
