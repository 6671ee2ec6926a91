"""relevo cancel"""

from __future__ import annotations

import click

from relevo.cli import options


@click.command("cancel", short_help="Cancel a run.")
@click.argument("run", default="latest", shell_complete=options.offered("runs"))
@click.option("--force", is_flag=True, help="At once: jobs and steps with always() do not run any more.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: the run and its status.")
@click.option("--no-wait", is_flag=True, help="Do not wait until it has ended.")
def command(run: str, force: bool, as_json: bool, no_wait: bool) -> int:
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
            status = row.status
            if not row.live:
                tell(row.run, status, f"run {row.run} has ended before: {status}")
                return 0
            await api.cancel(row.run, force=force)
            if not as_json:
                click.echo(f"cancelling run {row.run}")
            if no_wait:
                tell(row.run, "cancelling", "")
                return 0
            async for event in api.events(row.run):
                if event["event"] == "run.finished":
                    status = event["status"]
            tell(row.run, status, f"run {row.run}: {status}")
            return 0

    def tell(run: str, status: str, words: str) -> None:
        if as_json:
            import json

            click.echo(json.dumps({"v": 1, "run": run, "status": status}))
        elif words:
            click.echo(words)

    return connect.run(main)
