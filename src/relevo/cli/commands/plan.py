"""relevo plan"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from relevo.workflow.model import Workflow


@click.command("plan", short_help="Show which jobs a workflow has, and in which order they run.")
@click.argument("workflow", required=False, metavar="[FILE|NAME]")
def command(workflow: str | None) -> int:
    """Show which jobs a workflow has, what each waits for, and in which order they can run. Nothing is started.

    \b
    Example:
      relevo plan ci.yml
    """
    from relevo.cli.workflows import find
    from relevo.workflow.calls import local_files
    from relevo.workflow.reader import read

    found = find(workflow)
    for line in _lines(read(found.text, found.path, local_files(found.directory))):
        click.echo(line)
    return 0


def _lines(workflow: Workflow) -> list[str]:
    from relevo.cli.text import counted, table

    depth: dict[str, int] = {}
    left = dict(workflow.jobs)
    while left:
        ready = [id for id, job in left.items() if all(need in depth for need in job.needs)]
        for id in ready:
            depth[id] = 1 + max((depth[need] for need in left[id].needs), default=0)
        for id in ready:
            del left[id]
    rows = [["stage", "job", "needs", "runs-on", "steps", ""]]
    for id in sorted(depth, key=lambda id: depth[id]):
        job = workflow.jobs[id]
        runs_on = ", ".join(job.runs_on) if isinstance(job.runs_on, list) else str(job.runs_on)
        extra = "matrix" if job.matrix is not None else ""
        if job.if_ is not None:
            extra = f"{extra} if: {job.if_}".strip()
        rows.append([str(depth[id]), id, ", ".join(job.needs), runs_on, str(len(job.spec.steps)), extra])
    return [
        f"{workflow.name or workflow.path}: {counted(len(workflow.jobs), 'job')}",
        *table(rows, right=frozenset({0, 4}), indent="  "),
    ]
