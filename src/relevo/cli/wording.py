"""How things of a run are worded, the same in each view."""

from __future__ import annotations

from typing import Any

from relevo.cli.palette import Palette
from relevo.cli.text import one_line
from relevo.orchestrator.progress import JobProgress, Progress, StepProgress


def heading(progress: Progress, palette: Palette) -> str:
    """The first line of a run: `CI · push  run 0192f3`."""
    title = one_line(progress.title)
    workflow = one_line(progress.workflow)
    named = f"{workflow} · {title}" if title and title != workflow else workflow
    return f"{palette('bold', named)}  {palette('dim', f'run {progress.run}')}"


def reason(step: StepProgress) -> str:
    """Why a step did not succeed."""
    return one_line(step.message) or (
        f"exit code {step.exit_code}" if step.exit_code is not None else step.outcome
    )


def why(job: JobProgress) -> str:
    """Why a job failed: `failed in “Compile”: exit code 2`."""
    found = job.failing_step()
    message = one_line(job.message)
    if found is None:
        return f"{job.status}: {message}" if message else job.status
    return f"{job.status} in “{one_line(found[1].name)}”: {reason(found[1])}"


def annotation(event: dict[str, Any], palette: Palette) -> str:
    """An annotation as a line: `error src/x.py:3:1: title: message`, with a link to the file where the palette makes links."""
    look = {"error": "bad", "warning": "warning"}.get(event["level"], "notice")
    file = one_line(event.get("file") or "")
    place = file
    if file and event.get("line"):
        place += f":{event['line']}"
        if event.get("column"):
            place += f":{event['column']}"
    parts = [one_line(event.get("title") or ""), one_line(event["message"])]
    told = ": ".join(part for part in (palette.link(place, file), *parts) if part)
    return f"{palette(look, event['level'])} {told}"
