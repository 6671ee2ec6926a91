"""relevo prune"""

from __future__ import annotations

import click


@click.command("prune", short_help="Remove old runs, and give their room back.")
@click.option(
    "--keep",
    "runs",
    type=click.IntRange(0),
    default=500,
    show_default=True,
    help="Runs that are kept at most.",
)
@click.option(
    "--days",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    help="Days that a run is kept at most.",
)
@click.option(
    "--size",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    metavar="GB",
    help="What all of them may take.",
)
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
def command(runs: int, days: float, size: float, dry_run: bool) -> int:
    """Remove old runs with their logs and artifacts, and give their room back. Runs that have not ended always stay.

    \b
    Examples:
      relevo prune
      relevo prune --keep 20 --dry-run
    """
    from relevo.cli import connect, text
    from relevo.cli.maintenance import Retention

    async def main() -> int:
        pruned = await connect.prune(Retention(runs, days, int(size * 1e9)), dry_run=dry_run)
        for run in pruned.runs:
            click.echo(run)
        done = "would be removed" if dry_run else "removed"
        click.echo(
            f"{text.counted(len(pruned.runs), 'run')} {done}, {text.size(pruned.size_bytes)}", err=True
        )
        return 0

    return connect.run(main)
