"""The cell of an actor with a task of its own. Mailbox, order and supervision are those of a light one."""

from __future__ import annotations

from asyncio import CancelledError, Future, Task, timeout
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from relevo.actors import lifecycle
from relevo.actors.cell import Cell
from relevo.actors.state import DOWN

if TYPE_CHECKING:
    from relevo.actors.actor import TaskActor

M = TypeVar("M")


class TaskCell(Cell[M]):
    """Its step hands the batch to the task, when that waits for one."""

    __slots__ = ("_asked_for_mail", "_task")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._task: Task[None] | None = None
        self._asked_for_mail: Future[list[M] | None] | None = (
            None  #: None as its result: the instance is to end
        )

    def begin(self) -> None:
        """See Cell.begin."""
        self._task = self.system.loop.create_task(self._main(self.actor), name=self.path)

    def deliver(self) -> int:
        """See Cell.deliver."""
        asked = self._asked_for_mail
        if asked is None or asked.done():
            return 0  # it works; it will look again
        batch = self.take_batch()
        asked.set_result(batch)
        return len(batch)

    def quiesce(self, then: Callable[[], None]) -> None:
        """See Cell.quiesce."""
        task = self._task
        if task is None or task.done():
            then()
            return
        asked = self._asked_for_mail
        if asked is not None and not asked.done():
            asked.set_result(None)
        elif not self.begun:
            task.cancel()
        lifecycle.await_tasks(self, [task], then)

    @property
    def simple(self) -> bool:
        """See Cell.simple: its task has to be waited for."""
        return False

    def finish(self, then: Callable[[], None]) -> None:
        """See Cell.finish."""
        self._task = None
        self._asked_for_mail = None
        if not self.begun:
            then()
            return
        cleaning = self.system.loop.create_task(self._clean_up(self.actor), name=f"{self.path} stopped()")
        lifecycle.await_tasks(self, [cleaning], then)

    def _ending(self) -> bool:
        return self.ending is not None

    async def _clean_up(self, actor: TaskActor[M]) -> None:
        try:
            await actor.stopped()
        except Exception:
            lifecycle.log.exception("actor %s failed in stopped()", self.path)

    async def _main(self, actor: TaskActor[M]) -> None:
        try:
            await actor.started()
        except (Exception, CancelledError) as error:
            if not self._ending():
                self.post(lifecycle.failed, self, error)
            return
        if self._ending():
            self.begun = True  # it is to be cleaned up after
            return
        lifecycle.running(self)
        while await self._handle_batch(actor):
            pass

    async def _handle_batch(self, actor: TaskActor[M]) -> bool:
        """Handle the next batch. False when the instance is over."""
        if self._ending():
            return False
        asked = self._asked_for_mail = self.system.loop.create_future()
        self.settle()
        try:
            batch = await asked
        except CancelledError as error:
            if not self._ending():
                self._fail(lifecycle.failed, error)
            return False
        if batch is None:
            return False
        self.at = -1
        try:
            if actor.receive_timeout_s is None:
                await actor.receive(batch)
            else:
                async with timeout(actor.receive_timeout_s):
                    await actor.receive(batch)
        except (Exception, CancelledError) as error:
            if not self._ending():
                self._fail(lifecycle.batch_failed, batch, error)
            else:  # not its fault: it was cut off
                handled = max(self.at, 0)
                self.handled += handled
                self.give_back(lifecycle.unanswered(batch[handled:]), singly=False)
            return False
        self.handled += len(batch)
        return True

    def _fail(self, call: Callable[..., object], *args: Any) -> None:
        """Deliver nothing more, and have the failure judged in the next step."""
        self.block(DOWN)
        self.post(call, self, *args)
