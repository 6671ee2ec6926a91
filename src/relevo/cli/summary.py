"""What is told at the end of a run: what steps summed up, the jobs, what failed and where to look, the result."""

from __future__ import annotations

from shlex import quote
from typing import Final

from relevo.cli.cells import fitted
from relevo.cli.log_commands import readable
from relevo.cli.markdown import plain
from relevo.cli.palette import Palette
from relevo.cli.text import counted, duration, one_line, safe, size, table
from relevo.cli.wording import annotation, why
from relevo.orchestrator.progress import Progress

#: Rows of the table, and failures that are shown with their last lines.
ROWS: Final = 60
FAILURES: Final = 10
#: Annotations that are shown of each of these.
ANNOTATIONS: Final = 10
NAME_WIDTH: Final = 60
#: The least that is left of a name, and what the other columns of the table take.
NARROW: Final = 8
OTHER_COLUMNS: Final = 32
_ORDER: Final = (
    "failed",
    "timed-out",
    "held",
    "cancelled",
    "running",
    "waiting",
    "queued",
    "pending",
    "succeeded",
    "skipped",
)


def summary(
    progress: Progress,
    tails: dict[str, list[str]],
    palette: Palette,
    *,
    program: str = "relevo",
    width: int | None = None,
) -> list[str]:
    """All of it, as lines; `width`: cells of the window that names are cut for."""
    lines = [""]
    for job, step, markdown in progress.summaries:
        lines.append(palette("dim", f"── {one_line(job)} · {one_line(step)}"))
        lines += [palette("bold", line) if heading else line for line, heading in plain(markdown)]
        lines.append("")
    lines += job_table(progress, palette, width)
    if progress.artifacts:
        named = ", ".join(f"{name} ({size(count)})" for name, count in sorted(progress.artifacts.items()))
        lines += ["", f"artifacts: {named}"]
    lines += failures(progress, tails, palette, program=program)
    lines += ["", result(progress, palette)]
    if progress.status == "held":
        lines += decisions(progress, program=program)
    return lines


def job_table(progress: Progress, palette: Palette, width: int | None = None) -> list[str]:
    """The jobs; of very many those that matter first, and how many are left out."""
    named = NAME_WIDTH if width is None else max(NARROW, min(NAME_WIDTH, width - OTHER_COLUMNS))
    jobs = list(progress.jobs.values())
    left_out = 0
    if len(jobs) > ROWS:
        shown = [job for job in jobs if job.status not in ("succeeded", "skipped")][:ROWS]
        left_out = len(jobs) - len(shown)
        jobs = shown
    rows = [tuple(palette("dim", head) for head in ("", "job", "status", "time", "attempts"))] if jobs else []
    rows += [
        (
            palette.mark(job.status),
            fitted(one_line(job.name), named),
            palette.status(job.status),
            duration(job.took_ms()),
            str(job.attempts) if job.attempts else "-",
        )
        for job in jobs
    ]
    lines = table(rows, right=frozenset({3, 4}))
    if left_out:
        told = ", ".join(
            f"{progress.counts[status]:,} {status}" for status in _ORDER if progress.counts.get(status)
        )
        lines.append(palette("dim", f"  {counted(len(progress.jobs), 'job')}: {told}"))
    return lines


def failures(
    progress: Progress, tails: dict[str, list[str]], palette: Palette, *, program: str = "relevo"
) -> list[str]:
    """Why each job failed: its step, that step's last lines, and the command that shows more."""
    lines: list[str] = []
    broken = [job for job in progress.jobs.values() if job.broken]
    # A call that fails by itself says why; else the jobs in it do.
    broken += [call for call in progress.calls.values() if call.broken and call.message]
    for job in broken[:FAILURES]:
        lines += ["", palette("bad", f"✗ {one_line(job.name)} {why(job)}")]
        told = [event for event in progress.annotations if event["job"] == job.name]
        for line in tails.get(job.name, []):
            # Annotations are told under the lines, with their places.
            shown = readable(safe(line, colours=False), annotations=not told)
            if shown is not None:
                lines.append(f"    {shown}")
        lines += [f"  {annotation(event, palette)}" for event in told[:ANNOTATIONS]]
        if len(told) > ANNOTATIONS:
            more = counted(len(told) - ANNOTATIONS, "more annotation")
            lines.append(palette("dim", f"  and {more}: {program} show {progress.run}"))
        if job.attempts:
            lines.append(palette("dim", f"  all of it: {program} logs {progress.run} {quote(job.name)}"))
    if len(broken) > FAILURES:
        lines += [
            "",
            palette(
                "bad",
                f"and {counted(len(broken) - FAILURES, 'more failed job')}: {program} show {progress.run}",
            ),
        ]
    return lines


def result(progress: Progress, palette: Palette) -> str:
    """The last line: how it ended, how many jobs, how long, and the run's id."""
    good = progress.counts.get("succeeded", 0)
    told = f"{progress.status}: {good:,} of {counted(len(progress.jobs), 'job')} succeeded"
    for status in ("failed", "timed-out", "held", "cancelled", "skipped"):
        if progress.counts.get(status):
            told += f", {progress.counts[status]:,} {status}"
    if progress.message and progress.status not in ("succeeded", "cancelled"):
        told += f" ({one_line(progress.message)})"
    took = duration(progress.took_ms())
    return (
        f"{palette.mark(progress.status)} {palette.status(progress.status, told)}"
        f"{f' in {took}' if took else ''}  {palette('dim', f'run {progress.run}')}"
    )


def decisions(progress: Progress, *, program: str = "relevo") -> list[str]:
    """What a held run asks, with the commands that answer it."""
    lines = []
    for job in progress.jobs.values():
        if job.status == "held":
            named = f"{progress.run} --job {quote(job.name)}"
            lines += [
                "",
                f"{one_line(job.name)} is held: {one_line(job.message) or 'it was lost where running it again may do harm'}",
                f"  to run it again:   {program} retry {named}",
                f"  to let it fail:    {program} fail {named}",
            ]
    return lines
