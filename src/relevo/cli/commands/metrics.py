"""relevo metrics"""

from __future__ import annotations

import click


@click.command("metrics", short_help="Print what the living engine counts.")
def command() -> int:
    """Print what the living engine counts and measures, as OpenMetrics text.

    \b
    Example:
      relevo metrics | grep queue
    """
    from relevo.cli import connect

    async def main() -> int:
        async with connect.client() as api:
            click.echo(await api.metrics(), nl=False)
        return 0

    return connect.run(main)
