"""relevo logs"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from relevo.cli import options

if TYPE_CHECKING:
    from relevo.orchestrator.api import UserApi
    from relevo.orchestrator.progress import Progress


@click.command("logs", short_help="Show what the steps of a job wrote.")
@click.argument("run", required=False, shell_complete=options.offered("runs or jobs"))
@click.argument("job", required=False, shell_complete=options.offered("jobs"))
@click.option("--follow", "-f", is_flag=True, help="Go on as it grows, until it ends.")
@click.option(
    "--raw", is_flag=True, help="Exactly the bytes that the steps wrote (masked), and nothing else."
)
@click.option(
    "--attempt", type=click.IntRange(1), metavar="N", help="The job's N-th attempt. Default: its last."
)
@click.option("--timestamps", "-t", is_flag=True, help="When each line was written (UTC).")
@click.option("--json", "as_json", is_flag=True, help="One line a JSON object, with job, step and time.")
@click.option("--tail", "-n", type=click.IntRange(1), metavar="LINES", help="Only the last lines.")
def command(
    run: str | None,
    job: str | None,
    follow: bool,
    raw: bool,
    attempt: int | None,
    timestamps: bool,
    as_json: bool,
    tail: int | None,
) -> int:
    """Show what the steps of a job wrote.

    RUN may be the beginning of a run's id, or `latest`, which it also is when it is left out. JOB is the job's id as it is
    shown, or that of a call, for all jobs in it; left out: all jobs, one after another.

    \b
    Examples:
      relevo logs                      all of the latest run
      relevo logs -f                   all of it, live
      relevo logs build                a job of the latest run
      relevo logs 0192f3 'test (3.11, linux)' --raw > test.log
    """
    for other, given in (("--timestamps", timestamps), ("--tail", tail is not None), ("--json", as_json)):
        if raw and given:
            raise click.UsageError(f"--raw gives the exact bytes: it takes no {other}")
    if as_json and timestamps:
        raise click.UsageError("--json has the time of each line: it takes no --timestamps")
    if follow and tail is not None:
        raise click.UsageError("--follow and --tail exclude each other")
    from relevo.cli import connect
    from relevo.domain.errors import UserError

    async def main() -> int:
        async with connect.client() as api:
            progress, chosen = await _choose(api, run, job)
            names = _names(progress, chosen)
            single = "--raw" if raw else "--follow --json" if follow and as_json else ""
            if single and chosen not in progress.jobs:
                if len(names) != 1:
                    raise UserError(
                        f"{single} is for one job: name it",
                        hint=f"relevo logs {progress.run} JOB {single}; its jobs: {', '.join(names[:20]) or 'none so far'}",
                    )
                chosen = names[0]
            if chosen is not None or not follow or progress.ended:
                await _show(api, progress, chosen, names)
                return 0
        return await _live(progress.run)

    async def _show(api: UserApi, progress: Progress, chosen: str | None, names: list[str]) -> None:
        from relevo.cli.log_reading import write_job, write_json, write_raw

        if raw:
            assert chosen is not None
            await write_raw(api, progress, chosen, attempt=attempt, follow=follow, to=sys.stdout.buffer)
            return
        alone = chosen in progress.jobs
        for name in names:
            if not alone and not progress.jobs[name].attempts:
                continue
            if as_json:
                await write_json(api, progress, name, attempt=attempt, follow=follow, tail=tail)
                continue
            if not alone:
                click.echo(click.style(f"══ {name}", bold=True))
            await write_job(
                api, progress, name, attempt=attempt, follow=follow, timestamps=timestamps, tail=tail
            )

    return connect.run(main)


async def _choose(api: UserApi, run: str | None, job: str | None) -> tuple[Progress, str | None]:
    """The run and the job that are meant; one argument alone may be either."""
    from relevo.cli.log_reading import progress_of
    from relevo.domain.errors import UserError

    try:
        progress = await progress_of(api, (await api.find(run or "latest")).run)
    except UserError:
        if run is None or job is not None:
            raise
        for row in await api.runs(limit=1):
            progress = await progress_of(api, row.run)
            if run in progress.jobs or run in progress.calls:
                return progress, run
        raise
    if job is not None and job not in progress.jobs and job not in progress.calls:
        names = ", ".join(list(progress.jobs)[:20]) or "none so far"
        raise UserError(f"run {progress.run} has no job {job!r}", hint=f"its jobs: {names}")
    return progress, job


def _names(progress: Progress, chosen: str | None) -> list[str]:
    """The jobs that are meant: one, all in a call, or all."""
    if chosen is None:
        return list(progress.jobs)
    return [name for name in progress.jobs if name == chosen or name.startswith(f"{chosen} / ")]


async def _live(run: str) -> int:
    from relevo.cli import connect
    from relevo.cli.watch import attend

    async def begin(_: object) -> str:
        return run

    return await attend(connect.client(), begin, style="plain", resumed=True, owns=False)
