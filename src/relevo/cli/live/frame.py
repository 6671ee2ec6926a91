"""The bottom of the terminal while a run goes on: a pure function of what is known, the window's size and the time."""

from __future__ import annotations

from typing import Final

from relevo.cli.live.rows import Row, dressed
from relevo.cli.live.state import LiveState, Running
from relevo.cli.palette import Palette
from relevo.cli.text import clock, counted, duration, one_line
from relevo.cli.wording import why
from relevo.orchestrator.progress import JobProgress, Progress, StepProgress

#: The last lines of a job that are shown, and its steps that have ended.
LOG_LINES: Final = 5
DONE_STEPS: Final = 4
#: Jobs that wait and are shown one by one.
WAITING: Final = 5
#: A window of fewer rows is used whole; in a higher one, room is left for what stays.
LOW: Final = 16
_BAR: Final = 16
_WIDE: Final = 72  #: cells from which there is room for the bar and the run's id
_AHEAD: Final = ("pending", "waiting", "queued", "assigned")
_ACTIVE: Final = ("starting", "running", "preempting", "cancelling")
_DONE: Final = {"success": "succeeded", "failure": "failed", "cancelled": "cancelled", "skipped": "skipped"}


def render(state: LiveState, width: int, height: int, now_ms: int, palette: Palette) -> list[str]:
    """At most `height - 1` lines (but one) of fewer than `width` cells: what failed, what runs, what waits, how far it is."""
    left = max(1, height - 1 if height < LOW else height * 2 // 3) - 1
    rows: list[Row] = []
    if state.crowded and left >= 4:
        rows += _failed(state)
    waiting = [] if state.crowded else _waiting(state, (left - len(rows)) // 3)
    rows += _running(state, left - len(rows) - len(waiting), now_ms)
    rows += waiting
    rows.append(_status(state.progress, width, now_ms))
    return [dressed(row, width - 1, palette) for row in rows]


def _failed(state: LiveState) -> list[Row]:
    rows: list[Row] = [[("bad", f"✗ {one_line(job.name)} {why(job)}")] for job in state.failed]
    broken = sum(state.progress.counts.get(status, 0) for status in ("failed", "timed-out"))
    if broken > len(rows):
        rows.append([("bad", f"  and {broken - len(rows):,} more failed before")])
    return rows


def _running(state: LiveState, left: int, now_ms: int) -> list[Row]:
    running = list(state.running.values())
    if left < 1 or not running:
        return []
    shown = running if len(running) <= left else running[: left - 1]
    rows: list[Row] = []
    for place, one in enumerate(shown):
        jobs_left = len(shown) - place
        rows += _job(one, (left - len(rows)) // jobs_left if len(shown) == len(running) else 1, now_ms)
    if len(shown) < len(running):
        rows.append([("dim", f"  and {counted(len(running) - len(shown), 'more job')} at work")])
    return rows


def _job(one: Running, left: int, now_ms: int) -> list[Row]:
    """A job in at most `left` rows: its head, the steps that ended last, the one that runs, the last lines of that one."""
    job = one.job
    current = _current(job)
    if left < 2 or (current is None and not job.steps):
        return [_head(one, now_ms, step=current[1] if current else None)]
    rows = [_head(one, now_ms)]
    left -= 1
    log: list[str] = []
    if current is not None:
        left -= 1
        if current[0] == one.step:
            log = one.log.lines(min(LOG_LINES, left))
    rows += _done(job, left - len(log))
    if current is not None:
        took = _since(current[1].started_ms, now_ms)
        rows.append([("notice", "  ▸ "), ("", one_line(current[1].name)), ("dim", f"  {took}")])
        rows += [[("dim", f"    │ {line}")] for line in log]
    return rows


def _head(one: Running, now_ms: int, step: StepProgress | None = None) -> Row:
    job = one.job
    again = f" (attempt {job.attempts})" if job.attempts > 1 else ""
    ending = job.status in ("preempting", "cancelling")
    row: Row = [("warning", "■ ") if ending else ("notice", "● "), ("bold", one_line(job.name))]
    if step is not None:
        row.append(("", f" · {one_line(step.name)}"))
    row.append(("dim", f"{again}  {clock(job.took_ms(now_ms))}"))
    if ending:
        row.append(("warning", f"  {job.status}"))
    if one.annotated:
        row.append(("warning", f"  {counted(one.annotated, 'annotation')}"))
    return row


def _current(job: JobProgress) -> tuple[int, StepProgress] | None:
    for index in reversed(job.steps):
        if not job.steps[index].outcome:
            return index, job.steps[index]
    return None


def _done(job: JobProgress, left: int) -> list[Row]:
    ended = [step for step in job.steps.values() if step.outcome and step.outcome != "skipped"]
    room = min(DONE_STEPS, left)
    if room < 1 or not ended:
        return []
    shown = ended if len(ended) <= room else ended[len(ended) - room + 1 :]
    rows: list[Row] = []
    if len(shown) < len(ended):
        rows.append([("dim", f"  ✓ {counted(len(ended) - len(shown), 'step')} before")])
    for step in shown:
        mark, look = Palette.sign(_DONE.get(step.outcome, step.outcome))
        rows.append([(look, f"  {mark} "), ("", one_line(step.name)), ("dim", f"  {duration(step.took_ms)}")])
    return rows


def _waiting(state: LiveState, left: int) -> list[Row]:
    progress = state.progress
    if left < 1 or not any(progress.counts.get(status) for status in _AHEAD):
        return []
    jobs = [job for job in progress.jobs.values() if job.status in _AHEAD]
    if len(jobs) > min(left, WAITING):
        names = ", ".join(one_line(job.name) for job in jobs)
        return [[("dim", f"· {counted(len(jobs), 'job')} to come: {names}")]]
    return [
        [("dim", f"· {one_line(job.name)}"), ("dim", _reason(job, state.reasons.get(job.name, "")))]
        for job in jobs
    ]


def _reason(job: JobProgress, why: str) -> str:
    if why:
        return f"  {one_line(why)}"
    if job.status == "pending" and job.needs:
        return f"  after {', '.join(map(one_line, job.needs))}"
    if job.status == "waiting":
        return f"  waits for concurrency group '{one_line(job.group)}'"
    return "  queued" if job.status in ("queued", "assigned") else ""


def _status(progress: Progress, width: int, now_ms: int) -> Row:
    ended, all_jobs = progress.jobs_ended, len(progress.jobs)
    counts = progress.counts
    row: Row = []
    if width >= _WIDE and all_jobs:
        filled = ended * _BAR // all_jobs
        row += [("good", "━" * filled), ("dim", "─" * (_BAR - filled)), ("", "  ")]
    row.append(("bold", f"{ended:,} of {all_jobs:,} done" if all_jobs else "starting"))
    for status, look in (
        ("failed", "bad"),
        ("timed-out", "bad"),
        ("held", "warning"),
        ("cancelled", "warning"),
    ):
        if counts.get(status):
            row += [("", ", "), (look, f"{counts[status]:,} {status}")]
    for statuses, told in ((_ACTIVE, "running"), (_AHEAD, "to come")):
        count = sum(counts.get(status, 0) for status in statuses)
        if count:
            row.append(("", f", {count:,} {told}"))
    if progress.status == "cancelling":
        row.append(("warning", ", cancelling"))
    row.append(("dim", f"  {_since(progress.started_ms, now_ms)}"))
    if width >= _WIDE:
        row.append(("dim", f"  run {progress.run}"))
    return row


def _since(ms: int | None, now_ms: int) -> str:
    return "" if ms is None else clock(max(0, now_ms - ms))
