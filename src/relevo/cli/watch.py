"""Follows a run from here to its end, and makes of it lines and an exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from relevo.cli import exits
from relevo.cli.live_logs import ORDERED, LiveLogs, fetch_tail
from relevo.cli.output import Output, colours, note
from relevo.cli.palette import Palette
from relevo.cli.signals import Signals
from relevo.domain.errors import RelevoError
from relevo.orchestrator.progress import Progress

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from relevo.cli.view import View
    from relevo.orchestrator.api import UserApi

#: Lines of a failing step that are shown again at the end, and jobs whose lines are.
TAIL_LINES = 20
TAIL_JOBS = 10
#: Between two looks at why jobs wait: what waits for less is not explained.
EXPLAIN_S = 2.5
WAITING = ("pending", "waiting", "queued", "assigned")


def open_view(output: Output, style: str) -> View:
    """The view of a style: plain, json or quiet; "": live where the terminal can show it, else plain."""
    if style == "json":
        from relevo.cli.view_json import JsonView

        return JsonView(output)
    if not style:
        from relevo.cli.live import terminal

        if terminal.redraws(sys.stdout, os.environ):
            return _live_view(output)
    palette = Palette(colours(sys.stdout))
    if style == "quiet":
        from relevo.cli.view_quiet import QuietView

        return QuietView(output, palette)
    from relevo.cli.view_plain import PlainView

    return PlainView(output, palette)


def _live_view(output: Output) -> View:
    from relevo.cli.live import terminal
    from relevo.cli.live.view import LiveView
    from relevo.cli.workflows import root

    descriptor = sys.stdout.fileno()
    palette = Palette(True, links_to=root(".") if terminal.links(os.environ) else None)
    return LiveView(output, palette, lambda: terminal.size(descriptor))


async def attend(
    opening: AbstractAsyncContextManager[UserApi],
    begin: Callable[[UserApi], Awaitable[str]],
    *,
    style: str,
    resumed: bool = False,
    owns: bool = True,
    trace: str | None = None,
) -> int:
    """Open an engine, `begin` a run on it (or find one), follow it to its end; returns the exit code.

    Who `owns` the run cancels it with Ctrl-C, twice forces it, and counts as having received its summary. With SIGTERM, SIGHUP,
    or Ctrl-C while there is nothing to cancel, the command leaves and the run goes on. `trace`: the file that gets the run's
    trace at its end.
    """
    output = Output(sys.stdout)
    run: str | None = None
    with Signals() as signals:
        try:
            async with opening as api:
                run = await begin(api)
                view = open_view(output, style)
                try:
                    code = await follow(api, run, view, signals, resumed=resumed, owns=owns)
                    if trace is not None:
                        await _save_trace(api, run, trace, view)
                    return code
                finally:
                    view.close()
        except asyncio.CancelledError:
            if signals.left is None:
                raise
            return _left(signals.left, run, told=owns)
        finally:
            # Who does not read what a command that was told to leave still has to say must not keep it alive.
            output.close(timeout_s=None if signals.left is None else 0.2)


async def _save_trace(api: UserApi, run: str, path: str, view: View) -> None:
    """What the run came to stands, whether its trace can be written or not."""
    from relevo.cli import tracing

    try:
        tracing.save(await tracing.collect(api, run), path)
    except (OSError, RelevoError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        view.note(f"relevo: the trace was not written to {path}: {why}\n  relevo trace {run} -o FILE")


def _left(number: signal.Signals, run: str | None, *, told: bool) -> int:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
    if told and run is None:
        note("relevo: interrupted before the run was accepted")
    elif told:
        note(f"relevo: {number.name}: leaving run {run}; its jobs go on\n  relevo resume {run}")
    return exits.CANCELLED if number is signal.SIGINT else exits.signalled(number)


async def follow(api: UserApi, run: str, view: View, signals: Signals, *, resumed: bool, owns: bool) -> int:
    """Follow a run to its end (or until it is held) on a view."""
    progress = Progress(run)
    async with asyncio.TaskGroup() as group:
        if owns:
            signals.on_interrupt = _canceller(api, run, view, group)
        logs = LiveLogs(api, progress, view, group)
        explaining = group.create_task(_explain(api, progress, view))
        if resumed:
            await _catch_up(api, progress, view, logs)
        if not progress.ended and progress.status != "held":
            async for event in api.events(run, progress.sequence):
                await _take(event, progress, view, logs)
                if event["event"] == "run.held":
                    break
        await logs.close()
        explaining.cancel()
    if not progress.ended and progress.status != "held":
        view.note(f"relevo: no engine lives any more; the jobs that run go on\n  relevo resume {run}")
    # Now Ctrl-C only spares the summary.
    signals.on_interrupt = None
    view.summary(progress, await _tails(api, progress, logs))
    if await view.flushed() and progress.ended and owns:
        await api.delivered(run)
    return exits.of(progress)


async def _explain(api: UserApi, progress: Progress, view: View) -> None:
    """Tell the view why jobs wait, once they have for a while."""
    waiting: set[str] = set()
    while True:
        await asyncio.sleep(EXPLAIN_S)
        still = waiting & (waiting := {job.name for job in progress.jobs.values() if job.status in WAITING})
        if not view.explains:
            continue
        try:
            waits = await api.why(progress.run) if still or not progress.jobs else []
        except RelevoError:
            continue  # the engine is changing, or is an older one
        view.reasons({wait.job: wait.reason for wait in waits if wait.job in still or not wait.job})


def _canceller(api: UserApi, run: str, view: View, group: asyncio.TaskGroup) -> Callable[[int], None]:
    def cancel(times: int) -> None:
        if times == 1:
            view.note(f"relevo: cancelling run {run}; Ctrl-C again ends it at once")
        elif times == 2:
            view.note("relevo: ending it at once")
        group.create_task(_cancel(api, run, view, force=times > 1))

    return cancel


async def _cancel(api: UserApi, run: str, view: View, *, force: bool) -> None:
    try:
        await api.cancel(run, force=force)
    except RelevoError as error:
        view.note(f"relevo: the run could not be cancelled: {error}")


async def _catch_up(api: UserApi, progress: Progress, view: View, logs: LiveLogs) -> None:
    """Take in what has happened so far; of what still runs the log is shown from its beginning."""
    async for event in api.events(progress.run, follow=False):
        progress.apply(event)
        if not view.wants_logs:
            view.event(event, progress)
    view.caught_up(progress)
    if not progress.ended and view.wants_logs:
        for job in progress.jobs.values():
            if job.status in ("running", "preempting", "cancelling") and job.steps:
                logs.start(job.name, job.attempts, started=max(job.steps))


async def _take(event: dict[str, Any], progress: Progress, view: View, logs: LiveLogs) -> None:
    kind: str = event["event"]
    if kind in ("attempt.finished", "job.finished", "job.retrying", "job.held"):
        await logs.end(event["job"])
    progress.apply(event)
    if kind in ORDERED:
        logs.event(event)
    else:
        view.event(event, progress)
    if kind == "job.running" and view.wants_logs:
        logs.start(event["job"], event["attempt"])
    await view.room()


async def _tails(api: UserApi, progress: Progress, logs: LiveLogs) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for job in progress.jobs.values():
        if not job.broken or not job.attempts:
            continue
        tail = logs.tails.get(job.name) or await fetch_tail(api, progress, job.name)
        failing = job.failing_step()
        found[job.name] = tail.lines(failing[0] if failing else None, TAIL_LINES)
        if len(found) == TAIL_JOBS:
            break
    return found
