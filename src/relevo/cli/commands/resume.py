"""relevo resume"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from relevo.cli import options

if TYPE_CHECKING:
    from relevo.store.contract import RunRow


@click.command("resume", short_help="Go on with a run that was left, or show the summary that nobody saw.")
@click.argument("run", required=False, shell_complete=options.offered("runs"))
@click.option("--jobs", "-j", type=click.IntRange(1, 1024), metavar="N", help="Jobs that run at a time.")
@options.display
def command(run: str | None, jobs: int | None, plain: bool, as_json: bool, quiet: bool) -> int:
    """Go on with a run that was left, or show the summary that nobody saw.

    Without RUN it is the latest run that has not ended, or whose end nobody has seen. When there is none, there
    is nothing to resume, and that is fine (exit 0). RUN may be the beginning of a run's id, or `latest`.

    \b
    Examples:
      relevo resume
      relevo resume 0192f3
    """
    chosen = options.style(plain=plain, as_json=as_json, quiet=quiet)
    from relevo.cli import connect

    async def main() -> int:
        from relevo.cli.watch import attend

        async with connect.client() as api:
            row = await api.find(run) if run is not None else _latest(await api.runs(limit=1000))
        if row is None:
            # On stderr: --json has no event for it.
            click.echo("nothing to resume", err=as_json)
            return 0

        async def begin(_: object) -> str:
            return row.run

        # A run that has ended and was seen is only shown once more: nothing needs an engine for that.
        asks = row.live or not row.delivered
        opening = connect.engine(jobs=jobs) if asks else connect.client()
        return await attend(opening, begin, style=chosen, resumed=True, owns=asks)

    return connect.run(main)


def _latest(rows: list[RunRow]) -> RunRow | None:
    """The newest run that is live, or whose summary nobody received."""
    return next((row for row in rows if row.live or not row.delivered), None)
