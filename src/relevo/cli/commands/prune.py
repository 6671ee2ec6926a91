"""relevo prune"""

from __future__ import annotations

import click


@click.command("prune", short_help="Remove old runs, and give their room back.")
@click.option(
    "--keep", type=click.IntRange(0), metavar="N", help="Keep at most so many runs. Default: 10,000."
)
@click.option(
    "--days", type=click.FloatRange(0), metavar="DAYS", help="Keep a run at most so long. Default: 90."
)
@click.option(
    "--size",
    type=click.FloatRange(0),
    metavar="GB",
    help="What all logs and artifacts may take. Default: 21.",
)
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
def command(keep: int | None, days: float | None, size: float | None, dry_run: bool) -> int:
    """Remove old runs with their logs and artifacts, and give their room back. Runs that have not ended always stay.

    The ids of the runs go to stdout, one a line.

    \b
    Examples:
      relevo prune
      relevo prune --keep 20 --dry-run
    """
    from relevo.cli import connect, text

    async def main() -> int:
        max_bytes = None if size is None else int(size * 1e9)
        async with connect.engine() as api:
            pruned = await api.prune(keep_days=days, keep_runs=keep, max_bytes=max_bytes, dry=dry_run)
        for run in pruned["runs"]:
            click.echo(run)
        told = "would be removed" if dry_run else "removed"
        runs = text.counted(len(pruned["runs"]), "run")
        click.echo(f"{runs} {told}, {text.size(pruned['bytes'])}", err=True)
        return 0

    return connect.run(main)
