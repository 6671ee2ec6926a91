"""Follows the logs of the attempts of a run and shows them in order with their events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from relevo.cli.ordering import Bytes, Event, Ordering
from relevo.cli.tail import Tail
from relevo.domain.errors import RelevoError

if TYPE_CHECKING:
    from relevo.cli.view import View
    from relevo.orchestrator.api import UserApi
    from relevo.orchestrator.progress import Progress

#: A log that has brought nothing for so long holds back no event.
QUIET_S: Final = 0.03
#: The log of an attempt that was lost has no end: it is given up when it has brought nothing for so long.
END_S: Final = 1.0
ORDERED: Final = frozenset({"step.started", "step.finished", "annotation"})


class _Attempt:
    """One attempt whose log is followed."""

    __slots__ = ("job", "number", "offset", "ordering", "tail", "task", "timer")

    def __init__(self, job: str, number: int, started: int) -> None:
        self.job = job
        self.number = number
        self.ordering = Ordering(started)
        self.tail = Tail()
        self.offset = 0
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None


class LiveLogs:
    """The attempts that run now. `group` owns the tasks."""

    def __init__(self, api: UserApi, progress: Progress, view: View, group: asyncio.TaskGroup) -> None:
        self._api = api
        self._progress = progress
        self._view = view
        self._group = group
        self._attempts: dict[str, _Attempt] = {}
        self.tails: dict[
            str, Tail
        ] = {}  #: of the last attempt of each job that was followed and did not succeed

    def start(self, job: str, number: int, *, started: int = -1) -> None:
        """Follow an attempt that runs; `started`: its last step whose start has been shown."""
        attempt = self._attempts[job] = _Attempt(job, number, started)
        attempt.task = self._group.create_task(self._follow(attempt))

    def event(self, event: Event) -> None:
        """Show an event of a step in its place, or at once when its job is not followed."""
        attempt = self._attempts.get(event["job"])
        if attempt is None or attempt.number != event.get("attempt"):
            self._view.event(event, self._progress)
            return
        self._show(attempt, attempt.ordering.event(event))
        self._watch_for_quiet(attempt)

    async def end(self, job: str) -> None:
        """The attempt of a job has ended: show what its log still holds."""
        attempt = self._attempts.pop(job, None)
        if attempt is None:
            return
        if attempt.task is not None:
            seen = -1
            while not attempt.task.done() and attempt.offset != seen:
                seen = attempt.offset
                await asyncio.wait([attempt.task], timeout=END_S)
            await _end(attempt.task)
        if attempt.timer is not None:
            attempt.timer.cancel()
        self._show(attempt, attempt.ordering.ended())
        self.tails[job] = attempt.tail

    async def close(self) -> None:
        """Follow nothing any more."""
        for attempt in self._attempts.values():
            if attempt.timer is not None:
                attempt.timer.cancel()
            if attempt.task is not None:
                await _end(attempt.task)
            self._show(attempt, attempt.ordering.ended())
        self._attempts.clear()

    async def _follow(self, attempt: _Attempt) -> None:
        frames = self._api.log(self._progress.run, attempt.job, attempt=attempt.number, follow=True)
        try:
            async for frame in frames:
                await self._view.room()
                data = bytes(frame.data)
                attempt.offset = frame.offset + len(data)
                self._show(attempt, attempt.ordering.bytes(frame.step, data))
                self._watch_for_quiet(attempt)
        except RelevoError as error:
            # A log that cannot be read is no reason to lose sight of the run.
            warning = {"event": "warning", "message": f"the log of {attempt.job} cannot be shown: {error}"}
            self._view.event(warning, self._progress)

    def _watch_for_quiet(self, attempt: _Attempt) -> None:
        if attempt.timer is not None:
            attempt.timer.cancel()
            attempt.timer = None
        if attempt.ordering.waits:
            loop = asyncio.get_running_loop()
            attempt.timer = loop.call_later(QUIET_S, self._quiet, attempt)

    def _quiet(self, attempt: _Attempt) -> None:
        attempt.timer = None
        self._show(attempt, attempt.ordering.quiet())

    def _show(self, attempt: _Attempt, items: list[Event | Bytes]) -> None:
        for item in items:
            if isinstance(item, tuple):
                attempt.tail.feed(*item)
                self._view.log(attempt.job, *item)
            else:
                self._view.event(item, self._progress)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def fetch_tail(api: UserApi, progress: Progress, job: str) -> Tail:
    """The tail of a job's last log, for a job that was not followed."""
    known = progress.jobs[job]
    tail = Tail()
    start = max(0, known.log_size - Tail.BYTES)
    frames: Any = api.log(progress.run, job, start=start)
    async for frame in frames:
        tail.feed(frame.step, bytes(frame.data))
    return tail
