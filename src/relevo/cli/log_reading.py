"""Reads the logs of jobs from an engine and writes them out (relevo logs)."""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING, BinaryIO

from relevo.cli.lines import PIECE
from relevo.cli.log_text import LogText
from relevo.cli.output import colours, note
from relevo.cli.palette import Palette
from relevo.orchestrator.progress import Progress

if TYPE_CHECKING:
    from relevo.orchestrator.api import UserApi


async def progress_of(api: UserApi, run: str) -> Progress:
    """A run as it is now."""
    progress = Progress(run)
    async for event in api.events(run, follow=False):
        progress.apply(event)
    return progress


async def _started(api: UserApi, progress: Progress, job: str) -> None:
    """Returns when a job has an attempt that runs, or has ended without one."""
    known = progress.jobs[job]
    if (known.attempts and known.steps) or known.ended or progress.ended:
        return
    async for event in api.events(progress.run, progress.sequence):
        progress.apply(event)
        if known.status == "running" or known.ended:
            return


async def _name_step(api: UserApi, progress: Progress, job: str, step: int) -> None:
    """Returns when the name of a step that has written something is known: its start may come after its first bytes."""
    known = progress.jobs[job]
    if progress.ended:
        return
    async for event in api.events(progress.run, progress.sequence):
        progress.apply(event)
        if step in known.steps or known.ended:
            return


async def _next_attempt(api: UserApi, progress: Progress, job: str, number: int) -> int | None:
    """The number of the attempt that follows attempt `number`, once it runs; None when there is none."""
    known = progress.jobs[job]
    if not progress.ended:
        async for event in api.events(progress.run, progress.sequence):
            progress.apply(event)
            if known.ended or known.status == "held" or (known.attempts > number and known.steps):
                break
    return known.attempts if known.attempts > number else None


async def write_raw(
    api: UserApi, progress: Progress, job: str, *, attempt: int | None, follow: bool, to: BinaryIO
) -> None:
    """The exact bytes of one attempt. When it is lost while it is followed, they end there."""
    if follow:
        await _started(api, progress, job)
    number = attempt or progress.jobs[job].attempts or None
    async for frame in api.log(progress.run, job, attempt=number, follow=follow):
        to.write(frame.data)
        if follow:
            to.flush()
    to.flush()


async def write_job(
    api: UserApi,
    progress: Progress,
    job: str,
    *,
    attempt: int | None,
    follow: bool,
    timestamps: bool,
    tail: int | None,
) -> None:
    """The log as text, or the last `tail` lines of it. Who follows a job goes over to its next attempt when one is lost."""
    if follow:
        await _started(api, progress, job)
    number = attempt or progress.jobs[job].attempts or None
    await _write_attempt(api, progress, job, number, follow, timestamps, tail)
    while follow and attempt is None and number is not None:
        number = await _next_attempt(api, progress, job, number)
        if number is not None:
            note(f"attempt {number} of {job}:")
            await _write_attempt(api, progress, job, number, follow, timestamps, tail)


async def _write_attempt(
    api: UserApi,
    progress: Progress,
    job: str,
    number: int | None,
    follow: bool,
    timestamps: bool,
    tail: int | None,
) -> None:
    known = progress.jobs[job]
    # The names of an earlier attempt's steps are those of the last one: both have the same steps.
    names = {index: step.name for index, step in known.steps.items()}
    text = LogText(names, Palette(colours(sys.stdout)), timestamps=timestamps)
    last: deque[str] = deque(maxlen=tail)
    async for frame in api.log(progress.run, job, attempt=number, follow=follow):
        if frame.step not in names:
            await _name_step(api, progress, job, frame.step)
            names.update({index: step.name for index, step in known.steps.items()})
        _put(text.feed(frame), last, tail)
    _put(text.end(), last, tail)
    _put(list(last), last, None)


async def write_json(
    api: UserApi, progress: Progress, job: str, *, attempt: int | None, follow: bool, tail: int | None
) -> None:
    """Each line, or the last `tail` ones, as an object: job, step (index), at (Unix ms, of its end), line (as it was written).

    A line that is too long comes in pieces.
    """
    import json

    if follow:
        await _started(api, progress, job)
    last: deque[str] = deque(maxlen=tail)
    open_line: tuple[int, int, bytes] | None = None

    def told(step: int, at_ms: int, line: bytes) -> str:
        return json.dumps(
            {"v": 1, "job": job, "step": step, "at": at_ms, "line": line.decode("utf-8", "replace")}
        )

    async for frame in api.log(progress.run, job, attempt=attempt, follow=follow):
        lines: list[str] = []
        data = bytes(frame.data)
        if open_line is not None and open_line[0] != frame.step:
            lines.append(told(*open_line))
        elif open_line is not None:
            data = open_line[2] + data
        *whole, rest = data.split(b"\n")
        lines += [told(frame.step, frame.at_ms, line) for line in whole]
        if len(rest) > PIECE:
            lines.append(told(frame.step, frame.at_ms, rest))
            rest = b""
        open_line = (frame.step, frame.at_ms, rest) if rest else None
        _put(lines, last, tail)
    _put([told(*open_line)] if open_line is not None else [], last, tail)
    _put(list(last), last, None)


def _put(lines: list[str], last: deque[str], tail: int | None) -> None:
    if tail is not None:
        last.extend(lines)
    elif lines:
        sys.stdout.write("\n".join(lines) + "\n")
