"""A run as `relevo show` tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from relevo.cli.palette import Palette
from relevo.cli.summary import ROWS, decisions, job_table, result
from relevo.cli.text import counted, duration, one_line, size
from relevo.cli.wording import annotation
from relevo.orchestrator.progress import JobProgress, Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relevo.orchestrator.api import Wait
    from relevo.store.contract import RunRow

#: Annotations that are shown.
ANNOTATIONS: Final = 50
_CONCLUSIONS: Final = {"success": "succeeded", "failure": "failed"}


def lines(progress: Progress, row: RunRow, palette: Palette, waits: Sequence[Wait] = ()) -> list[str]:
    """For people. `waits`: why jobs wait."""
    reasons = {wait.job: wait.reason for wait in waits}
    told = [
        f"{palette('bold', one_line(progress.workflow or row.workflow))}  {palette('dim', f'run {progress.run}')}"
    ]
    title = one_line(progress.title)
    about = [title if title != progress.trigger else "", progress.trigger, _when(row.created_ms)]
    if row.retried_from:
        about.append(f"attempt {row.run_attempt} of {row.retried_from}")
    told += [palette("dim", " · ".join(part for part in about if part)), ""]
    told += [palette("warning", f"warning: {one_line(text)}") for text in progress.warnings]
    jobs = list(progress.jobs.values())
    if len(jobs) > ROWS:
        told += job_table(progress, palette)
    else:
        for job in jobs:
            told += _job(job, palette, reasons.pop(job.name, ""))
        told += [
            f"{palette.mark('pending')} {one_line(name)}  {one_line(reason)}"
            for name, reason in reasons.items()
            if name
        ]
        for call in progress.calls.values():
            if call.outputs or call.message:
                told += _job(call, palette)
    if progress.annotations:
        told += ["", palette("dim", counted(len(progress.annotations), "annotation"))]
        told += [f"  {annotation(event, palette)}" for event in progress.annotations[:ANNOTATIONS]]
    if progress.artifacts:
        named = ", ".join(f"{name} ({size(count)})" for name, count in sorted(progress.artifacts.items()))
        told += ["", f"artifacts: {named}"]
    if "" in reasons:
        told += ["", palette("notice", f"the run {one_line(reasons[''])}")]
    told += ["", result(progress, palette)]
    if progress.status == "held":
        told += decisions(progress)
    return told


def _job(job: JobProgress, palette: Palette, reason: str = "") -> list[str]:
    why = one_line(reason or job.message) if job.status != "succeeded" else ""
    facts = [duration(job.took_ms())]
    if job.attempts > 1:
        facts.append(f"{job.attempts} attempts")
    about = ", ".join(fact for fact in facts if fact)
    dimmed = f"  {palette('dim', about)}" if about else ""
    told = [
        f"{palette.mark(job.status)} {one_line(job.name)}  {palette.status(job.status)}"
        f"{f': {why}' if why else ''}{dimmed}"
    ]
    for _, step in sorted(job.steps.items()):
        status = _CONCLUSIONS.get(step.conclusion, step.conclusion or "running")
        code = f"  exit code {step.exit_code}" if step.exit_code else ""
        why = f"  {one_line(step.message)}" if step.message else ""
        told.append(
            f"    {palette.mark(status)} {one_line(step.name)}{code}{why}  {palette('dim', duration(step.took_ms))}".rstrip()
        )
    told += [f"    {palette('dim', f'{name} =')} {one_line(value)}" for name, value in job.outputs.items()]
    return told


def _when(ms: int) -> str:
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ms / 1000))
