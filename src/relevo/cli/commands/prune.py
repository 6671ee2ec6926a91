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
@click.option(
    "--cache-size",
    type=click.FloatRange(0),
    metavar="GB",
    help="What the caches of jobs may take; 0 removes all. Default: 10.",
)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
def command(
    keep: int | None,
    days: float | None,
    size: float | None,
    cache_size: float | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Remove old runs with their logs and artifacts, and give their room back. Runs that have not ended always stay.
    Caches that no job used for a week go as well, and beyond 10 GB those that were used longest ago.

    The ids of the runs go to stdout, one a line.

    \b
    Examples:
      relevo prune
      relevo prune --keep 20 --dry-run
      relevo prune --cache-size 0
    """
    from relevo.cli import connect, text

    async def main() -> int:
        max_bytes = None if size is None else int(size * 1e9)
        async with connect.engine() as api:
            pruned = await api.prune(
                keep_days=days,
                keep_runs=keep,
                max_bytes=max_bytes,
                max_cache_bytes=None if cache_size is None else int(cache_size * 1e9),
                dry=dry_run,
            )
        if as_json:
            import json

            click.echo(json.dumps({"v": 1, "dry": dry_run, **pruned}))
            return 0
        for run in pruned["runs"]:
            click.echo(run)
        told = "would be removed" if dry_run else "removed"
        runs = text.counted(len(pruned["runs"]), "run")
        click.echo(f"{runs} {told}, {text.size(pruned['bytes'])}", err=True)
        if pruned["caches"]:
            caches = text.counted(pruned["caches"], "cache")
            click.echo(f"{caches} {told}, {text.size(pruned['cache_bytes'])}", err=True)
        return 0

    return connect.run(main)
