"""relevo runs"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from relevo.store.contract import RunRow


@click.command("runs", short_help="List runs, newest first.")
@click.option("--live", is_flag=True, help="Only those that have not ended.")
@click.option(
    "--limit", "-n", type=click.IntRange(1, 100_000), default=20, show_default=True, help="How many at most."
)
@click.option("--json", "as_json", is_flag=True, help="One run a line, for programs.")
def command(live: bool, limit: int, as_json: bool) -> int:
    """List runs, newest first.

    \b
    Examples:
      relevo runs
      relevo runs --live
      relevo runs -n 1 --json
    """
    from relevo.cli import connect

    async def main() -> int:
        async with connect.client() as api:
            rows = await api.runs(live=True if live else None, limit=limit)
        if as_json:
            import msgspec

            for row in rows:
                click.echo(msgspec.json.encode(row))
        elif not rows:
            click.echo("no run is live" if live else "no runs yet: `relevo run` starts one")
        else:
            for line in _table(rows):
                click.echo(line)
        return 0

    return connect.run(main)


def _table(rows: list[RunRow]) -> list[str]:
    import sys
    import time

    from relevo.cli.cells import fitted
    from relevo.cli.output import colours
    from relevo.cli.palette import Palette
    from relevo.cli.text import duration, one_line, table

    palette = Palette(colours(sys.stdout))
    told = [
        tuple(palette("dim", head) for head in ("", "run", "status", "workflow", "jobs", "started", "time"))
    ]
    for row in rows:
        end = row.ended_ms if row.ended_ms is not None else time.time_ns() // 1_000_000
        status = row.status if row.delivered or row.live else f"{row.status} (not seen: relevo resume)"
        title = one_line(row.title)
        workflow = f"{row.workflow} · {title}" if title and title != row.workflow else row.workflow
        told.append(
            (
                palette.mark(row.status),
                row.run,
                palette.status(row.status, status),
                fitted(workflow, 50),
                f"{row.jobs_ended}/{row.jobs}",
                time.strftime("%Y-%m-%d %H:%M", time.localtime(row.created_ms / 1000)),
                duration(max(0, end - row.created_ms)),
            )
        )
    return table(told, right=frozenset({4, 6}))
