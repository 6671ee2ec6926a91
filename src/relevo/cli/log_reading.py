"""Reads the logs of jobs from an engine and writes them out (relevo logs)."""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING, BinaryIO

from relevo.cli.log_text import LogText
from relevo.cli.output import colours
from relevo.cli.palette import Palette
from relevo.cli.progress import Progress

if TYPE_CHECKING:
    from relevo.assembly.api import EngineApi


async def progress_of(api: EngineApi, run: str) -> Progress:
    """A run as it is now."""
    progress = Progress(run)
    async for event in api.events(run, follow=False):
        progress.apply(event)
    return progress


async def _started(api: EngineApi, progress: Progress, job: str) -> None:
    """Returns when a job has an attempt that runs, or has ended without one."""
    known = progress.jobs[job]
    if (known.attempts and known.steps) or known.ended or progress.ended:
        return
    async for event in api.events(progress.run, progress.sequence):
        progress.apply(event)
        if known.status == "running" or known.ended:
            return


async def _name_step(api: EngineApi, progress: Progress, job: str, step: int) -> None:
    """Returns when the name of a step that has written something is known: its start may come after its first bytes."""
    known = progress.jobs[job]
    if progress.ended:
        return
    async for event in api.events(progress.run, progress.sequence):
        progress.apply(event)
        if step in known.steps or known.ended:
            return


async def write_raw(
    api: EngineApi, progress: Progress, job: str, *, attempt: int | None, follow: bool, to: BinaryIO
) -> None:
    """The exact bytes."""
    if follow:
        await _started(api, progress, job)
    async for frame in api.log(progress.run, job, attempt=attempt, follow=follow):
        to.write(frame.data)
        if follow:
            to.flush()
    to.flush()


async def write_job(
    api: EngineApi,
    progress: Progress,
    job: str,
    *,
    attempt: int | None,
    follow: bool,
    timestamps: bool,
    tail: int | None,
) -> None:
    """The log as text, or the last `tail` lines of it."""
    if follow:
        await _started(api, progress, job)
    known = progress.jobs[job]
    # The names of an earlier attempt's steps are those of the last one: both have the same steps.
    names = {index: step.name for index, step in known.steps.items()}
    text = LogText(names, Palette(colours(sys.stdout)), timestamps=timestamps)
    last: deque[str] = deque(maxlen=tail)
    async for frame in api.log(progress.run, job, attempt=attempt, follow=follow):
        if frame.step not in names:
            await _name_step(api, progress, job, frame.step)
            names.update({index: step.name for index, step in known.steps.items()})
        _put(text.feed(frame), last, tail)
    _put(text.end(), last, tail)
    _put(list(last), last, None)


def _put(lines: list[str], last: deque[str], tail: int | None) -> None:
    if tail is not None:
        last.extend(lines)
    elif lines:
        sys.stdout.write("\n".join(lines) + "\n")
