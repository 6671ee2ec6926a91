"""relevo cancel"""

from __future__ import annotations

import click


@click.command("cancel", short_help="Cancel a run.")
@click.argument("run", default="latest")
@click.option("--force", is_flag=True, help="At once: steps with always() do not run any more.")
@click.option("--no-wait", is_flag=True, help="Do not wait until it has ended.")
def command(run: str, force: bool, no_wait: bool) -> int:
    """Cancel a run, and wait until it has ended.

    The current steps are asked to end, then made to; steps with `if: always()` or `cancelled()` still run, for at most five
    minutes. RUN may be the beginning of a run's id; without it, the latest run.

    \b
    Examples:
      relevo cancel
      relevo cancel 0192f3 --force
    """
    from relevo.cli import connect

    async def main() -> int:
        async with connect.engine() as api:
            row = await api.find(run)
            if not row.live:
                click.echo(f"run {row.run} has ended before: {row.status}")
                return 0
            await api.cancel(row.run, force=force)
            click.echo(f"cancelling run {row.run}")
            if no_wait:
                return 0
            async for event in api.events(row.run):
                if event["event"] == "run.finished":
                    click.echo(f"run {row.run}: {event['status']}")
            return 0

    return connect.run(main)
