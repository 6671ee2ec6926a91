"""How actors begin, fail, begin again and end. All of it happens in the cells' own steps, on the loop.

    spawn ─► STARTING ─start─► RUNNING ─stop─► STOPPING ─► STOPPED
                 ▲                │ failed                  children first, then the actor, then those who watch
                 └── after the back-off: children gone, a new instance, the same mailbox

A failed actor asks its parent's `Supervision`; `judge` and `concerned` are the rules, this file carries them out.
"""

from __future__ import annotations

import logging
from asyncio import Future, TimerHandle
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from relevo.actors.context import Context
from relevo.actors.errors import ActorDead, Escalated
from relevo.actors.messages import Request, Terminated
from relevo.actors.state import DOWN, PAUSED, State
from relevo.actors.supervision import Directive, concerned, judge

if TYPE_CHECKING:
    from relevo.actors.cell import Cell

log = logging.getLogger("relevo.actors")


def start(cell: Cell[Any]) -> None:
    """Make an instance and let it run; nothing when it runs already or shall not run any more."""
    if cell.state is not State.STARTING or cell.ending is not None or cell.context is not None:
        return
    if cell.actor is None:
        assert cell.factory is not None
        try:
            cell.actor = cell.factory()
        except Exception as error:
            failed(cell, error)
            return
    cell.actor.context = cell.context = Context(cell)
    cell.begin()


def start_at_once(cell: Cell[Any]) -> None:
    """Start one that was just placed and has nothing to do for it: a step of its own would find nothing to do."""
    cell.actor.context = cell.context = Context(cell)
    cell.begun = True
    cell.state = State.RUNNING
    cell.hold = 0
    cell.settle()


def running(cell: Cell[Any]) -> None:
    """Its `started` has succeeded."""
    cell.begun = True
    cell.state = State.RUNNING
    passivate_after_s = cell.options.passivate_after_s
    if passivate_after_s is not None:
        cell.active_at = cell.system.loop.time()
        _watch_idleness(cell, passivate_after_s)
    cell.release(DOWN)


def batch_failed(cell: Cell[Any], batch: list[Any], error: BaseException) -> int:
    """Handling `batch` raised: find the message, give back what comes after it. Returns how many were handled."""
    at = cell.at
    if at < 0 and len(batch) == 1:
        at = 0
    if at >= 0:
        cell.give_back(batch[at + 1 :], singly=False)
        cell.bury(batch[at], "poison", error)
    else:
        cell.give_back(unanswered(batch), singly=True)
    failed(cell, error)
    handled = max(at, 0)
    cell.handled += handled
    return handled


def unanswered(messages: list[Any]) -> list[Any]:
    """Those of `messages` that may be handed over again."""
    return [one for one in messages if not (isinstance(one, Request) and one.answered)]


def failed(cell: Cell[Any], error: BaseException) -> None:
    """The instance is void: let the parent's supervision decide."""
    cell.block(DOWN)
    if cell.state is State.STOPPING:
        log.error("actor %s failed while it stopped", cell.path, exc_info=error)
        return
    cell.state = State.STARTING
    parent = cell.parent
    if parent is None or parent.actor is None or parent.ending is not None:
        if parent is None:
            cell.system.root_failed(error)
        stop(cell, "failed", error)
        return
    now = cell.system.loop.time()
    supervision = parent.actor.supervision
    verdict = judge(supervision, error, cell.history, now, restartable=cell.factory is not None)
    about = {"actor": cell.path}
    log.error("actor %s failed: %s", cell.path, verdict.directive.value, exc_info=error, extra=about)
    if verdict.directive is Directive.STOP:
        stop(cell, "failed", error)
    elif verdict.directive is Directive.ESCALATE:
        parent.post(failed, parent, Escalated(cell.path, error))
    else:
        assert parent.children is not None
        _restart(parent, cell, verdict.delay_s, verdict.history)


def _restart(parent: Cell[Any], culprit: Cell[Any], delay_s: float, history: tuple[float, ...]) -> None:
    """End the instances of all whom it concerns, the youngest first, and start new ones, the oldest first."""
    assert parent.children is not None
    living = [one for one in parent.children.values() if one.state is not State.STOPPING]
    group = concerned(parent.actor.supervision.strategy, living, culprit)
    culprit.history = history

    def start_all() -> None:
        for one in group:
            if one.context is None:
                one.restarts += 1
                one.system.restarts += 1
                one.post(start, one)

    def all_ended() -> None:
        if parent.context is not None:
            parent.context.later(delay_s, start_all)

    ended = Join(len(group), all_ended)
    for one in reversed(group):
        if one.state is State.RUNNING:
            one.state = State.STARTING
            one.block(DOWN)
        end_instance(one, ended)
    for one in group:
        if one.factory is None and one is not culprit:
            stop(one, "failed")


def stop(cell: Cell[Any], reason: str, error: BaseException | None = None) -> None:
    """End it for good, its children before it. Idempotent."""
    if cell.state in (State.STOPPING, State.STOPPED):
        return
    cell.state = State.STOPPING
    cell.block(DOWN)
    cell.close_mailbox()
    cell.stopping = Terminated(cell.path, reason, error)
    if cell.simple:
        cell.ending = []
        cell.finish(_nothing)
        _instance_ended(cell)
        _gone(cell)
    else:
        end_instance(cell, lambda: _gone(cell))


def end_instance(cell: Cell[Any], then: Callable[[], None]) -> None:
    """End the instance in `cell`, its children before it, then call `then`; at once where nothing has to be waited for."""
    if cell.ending is not None:
        cell.ending.append(then)
        return
    cell.ending = [then]
    for watched in cell.watching or ():
        if watched.watchers is not None:
            watched.watchers.pop(cell, None)
    cell.watching = None
    if cell.idle_timer is not None:
        cell.idle_timer.cancel()
        cell.idle_timer = None
    children = list((cell.children or {}).values())
    quiet = Join(len(children) + 2, lambda: cell.finish(lambda: _instance_ended(cell)))
    for child in reversed(children):
        when_gone(child, quiet)
        stop(child, "stopped")
    cell.quiesce(quiet)
    end_effects(cell, quiet)


def _nothing() -> None:
    """Nothing more follows."""


def when_gone(cell: Cell[Any], call: Callable[[], None]) -> None:
    """Call `call` once `cell` is stopped, which it is not yet."""
    cell.watched_by(object(), lambda _: call())


def end_effects(cell: Cell[Any], then: Callable[[], None]) -> None:
    """Cancel what the instance has under way; `then` comes once it is over, or after the grace."""
    effects, cell.effects = cell.effects, None
    for effect in effects or ():
        effect.cancel()
    tasks = [effect for effect in effects or () if isinstance(effect, Future) and not effect.done()]
    await_tasks(cell, tasks, then)


def await_tasks(cell: Cell[Any], tasks: list[Future[Any]], then: Callable[[], None]) -> None:
    """Call `then` once all of `tasks` are done; those that are not after the grace are cancelled, and after another left."""
    if not tasks:
        then()
        return
    left = set(tasks)
    timers: list[TimerHandle] = []

    def wait(call: Callable[[], None]) -> None:
        timers.append(cell.system.loop.call_later(cell.system.grace_s, call))

    def cancel() -> None:
        for task in left:
            task.cancel()
        wait(leave)

    def leave() -> None:
        for task in list(left):
            task.remove_done_callback(done)
            log.error("actor %s leaves %r behind: it ignores its cancellation", cell.path, task)
        left.clear()
        then()

    def done(task: Future[Any]) -> None:
        left.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: nobody else will
        if not left:
            timers[-1].cancel()
            then()

    wait(cancel)
    for task in tasks:
        task.add_done_callback(done)


def _instance_ended(cell: Cell[Any]) -> None:
    """Nothing of the instance is left: those whom it owed an answer get to know it."""
    cell.actor = cell.context = cell.child_watchers = None
    cell.begun = False
    cell.hold &= ~PAUSED
    if cell.asks:
        _fail_asks(cell, cell.waiting(), "it was made anew and has forgotten the request")
    calls, cell.ending = cell.ending or [], None
    for call in calls:
        call()


def _fail_asks(cell: Cell[Any], kept: Iterable[Any], reason: str) -> None:
    assert cell.asks is not None
    still = {message.__dict__.get("future") for message in kept if isinstance(message, Request)}
    error = None
    for future in [future for future in cell.asks if future not in still]:
        cell.asks.discard(future)
        if not future.done():
            error = error or ActorDead(cell.path, reason)
            future.set_exception(error)


def _gone(cell: Cell[Any]) -> None:
    """The last of a cell: nothing refers to it from here on but those who hold its reference."""
    if cell.state is State.STOPPED:
        return
    mail, waiters = cell.empty_mailbox()
    if cell.asks:
        _fail_asks(cell, mail, "it is stopped")
    for message in mail:
        cell.bury(message, "unhandled")
    for message, future in waiters:
        if future is None or not future.done():
            cell.bury(message, "unhandled")
        if future is not None and not future.done():
            future.set_exception(ActorDead(cell.path, "it is stopped"))
    signal = cell.stopping
    assert signal is not None
    cell.reason = signal
    cell.system.count -= 1
    cell.state = State.STOPPED
    parent = cell.parent
    if parent is not None and parent.children is not None:
        parent.children.pop(cell.name, None)
    watchers, cell.watchers = cell.watchers, None
    cell.factory = None
    cell.children = cell.asks = None
    cell.history = ()
    if parent is not None:
        parent.child_gone(cell, signal)  # before the others: one of them may wait for it to end the parent
    for call in (watchers or {}).values():
        call(signal)


def _watch_idleness(cell: Cell[Any], after_s: float) -> None:
    """Look again in `after_s` whether the actor can be passivated. One timer, moved on only when it fires."""
    cell.idle_timer = cell.system.loop.call_later(after_s, _look, cell)


def _look(cell: Cell[Any]) -> None:
    after_s = cell.options.passivate_after_s
    assert after_s is not None
    left_s = after_s if cell.busy else cell.active_at + after_s - cell.system.loop.time()
    if left_s > 0:
        _watch_idleness(cell, left_s)
    else:
        cell.post(_passivate, cell)


def _passivate(cell: Cell[Any]) -> None:
    """Stop it, unless something has come in since it was found idle."""
    if cell.busy or cell.state is not State.RUNNING:
        assert cell.options.passivate_after_s is not None
        if cell.state is State.RUNNING:
            _watch_idleness(cell, cell.options.passivate_after_s)
    else:
        stop(cell, "passivated")


class Join:
    """Calls `then` when it was called itself `count` times."""

    __slots__ = ("_left", "_then")

    def __init__(self, count: int, then: Callable[[], None]) -> None:
        self._left = count
        self._then = then
        if count == 0:
            then()

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._then()
