"""What stays on the terminal: lines about what has happened, written once."""

from __future__ import annotations

from shlex import quote
from typing import Final

from relevo.cli.live.state import Running
from relevo.cli.palette import Palette
from relevo.cli.text import counted, duration, one_line
from relevo.cli.wording import annotation, reason, why
from relevo.orchestrator.progress import JobProgress, Progress, StepProgress

#: With more jobs than this, one that went well is a line without its steps.
DETAILED: Final = 10
#: Lines of a failing step that are shown while other jobs go on: the summary shows more.
TAIL: Final = 5


def job_ended(
    job: JobProgress, known: Running | None, progress: Progress, palette: Palette, *, program: str
) -> list[str]:
    """A job with its steps and annotations; where it failed and others go on, with its last lines."""
    lines = [_head(job, palette)]
    if job.broken or len(progress.jobs) <= DETAILED:
        lines += [_step(step, palette) for _, step in sorted(job.steps.items()) if step.outcome != "skipped"]
    if known is not None:
        lines += [f"    {annotation(event, palette)}" for event in known.annotations]
        if known.annotated > len(known.annotations):
            more = counted(known.annotated - len(known.annotations), "more annotation")
            lines.append(palette("dim", f"    and {more}: {program} show {progress.run}"))
    if job.broken and progress.jobs_ended < len(progress.jobs):
        if known is not None:
            lines += [
                palette("dim", f"    │ {line}")
                for line in known.log.lines(TAIL, annotations=not known.annotations)
            ]
        if job.attempts:
            lines.append(palette("dim", f"    {program} logs {progress.run} {quote(job.name)}"))
    return lines


def job_failed_in_crowd(job: JobProgress, palette: Palette) -> str:
    """A job that failed, as one line."""
    return f"{palette.mark(job.status)} {palette('bold', one_line(job.name))} {palette(*_told(job))}"


def job_waits(kind: str, job: JobProgress, palette: Palette) -> str:
    """A job that is held, or tried again."""
    told = "held" if kind == "job.held" else "waits again" if job.preempted else "trying again"
    mark = "?" if kind == "job.held" else "↻"
    because = one_line(job.message)
    return f"{palette('warning', f'{mark} {one_line(job.name)} {told}')}{f': {because}' if because else ''}"


def _head(job: JobProgress, palette: Palette) -> str:
    look, told = _told(job)
    facts = [duration(job.took_ms())]
    if job.attempts > 1:
        facts.append(f"{job.attempts} attempts")
    about = ", ".join(fact for fact in facts if fact)
    words = [palette.mark(job.status), palette("bold", one_line(job.name))]
    if job.status != "succeeded":
        words.append(palette(look, told))
    if about:
        words[-1] += f"  {palette('dim', about)}"
    return " ".join(words)


def _told(job: JobProgress) -> tuple[str, str]:
    look = Palette.sign(job.status)[1]
    if job.broken:
        return look, why(job)
    because = one_line(job.message)
    return look, f"{job.status}: {because}" if because else job.status


def _step(step: StepProgress, palette: Palette) -> str:
    took = palette("dim", duration(step.took_ms))
    if step.outcome == "success":
        return f"    {palette('good', '✓')} {one_line(step.name)}  {took}".rstrip()
    forgiven = ", and the job goes on" if step.conclusion == "success" else ""
    look = "warning" if forgiven or step.outcome == "cancelled" else "bad"
    return f"    {palette(look, f'✗ {one_line(step.name)}: {reason(step)}{forgiven}')}  {took}".rstrip()
