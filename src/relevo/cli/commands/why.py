"""relevo why"""

from __future__ import annotations

import click

from relevo.cli import options


@click.command("why", short_help="Tell what the jobs of a run wait for.")
@click.argument("run", default="latest", shell_complete=options.offered("runs"))
@click.argument("job", required=False, shell_complete=options.offered("jobs"))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(run: str, job: str | None, as_json: bool) -> int:
    """Tell what the jobs of a run wait for, and what would let them go on.

    For other jobs that it needs, a concurrency group, max-parallel, a free slot, cpus or memory, a label, an agent, room on its disk,
    the back-off before it is tried again, or somebody's decision. RUN may be the beginning of a run's id; without it, the latest run.

    \b
    Examples:
      relevo why
      relevo why 0192f3 deploy
    """
    from relevo.cli import connect

    async def main() -> int:
        async with connect.client() as api:
            row = await api.find(run)
            waits = await api.why(row.run, job)
        if as_json:
            import msgspec

            told = {"v": 1, "run": row.run, "status": row.status, "waits": waits}
            click.echo(msgspec.json.encode(told))
            return 0
        from relevo.cli.text import one_line

        if not row.live:
            click.echo(f"run {row.run} has ended: {row.status}")
        elif not waits:
            click.echo(f"nothing of run {row.run} waits")
        for wait in waits if row.live or job is not None else []:
            click.echo(one_line(f"{wait.job or f'run {wait.run}'} {wait.reason}"))
        return 0

    return connect.run(main)
