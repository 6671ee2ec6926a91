"""relevo show"""

from __future__ import annotations

import click

from relevo.cli import options


@click.command("show", short_help="Show how a run went, or goes.")
@click.argument("run", default="latest", shell_complete=options.offered("runs"))
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")
def command(run: str, as_json: bool) -> int:
    """Show how a run went, or goes: its jobs, their steps, what failed, artifacts, outputs.

    RUN may be the beginning of a run's id; without it, the latest run.

    \b
    Examples:
      relevo show
      relevo show 0192f3 --json
    """
    from relevo.cli import connect
    from relevo.orchestrator.progress import Progress

    async def main() -> int:
        async with connect.client() as api:
            row = await api.find(run)
            progress = Progress(row.run)
            async for event in api.events(row.run, follow=False):
                progress.apply(event)
            waits = await api.why(row.run) if row.live else []
        if as_json:
            import msgspec

            from relevo.orchestrator.details import details

            click.echo(msgspec.json.encode(details(progress, row, waits)))
            return 0
        import sys

        from relevo.cli.output import colours
        from relevo.cli.palette import Palette
        from relevo.cli.shown import lines

        for line in lines(progress, row, Palette(colours(sys.stdout)), waits):
            click.echo(line)
        return 0

    return connect.run(main)
