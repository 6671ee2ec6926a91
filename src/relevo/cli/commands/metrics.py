"""relevo metrics"""

from __future__ import annotations

import click


@click.command("metrics", short_help="Print what the living engine counts.")
@click.option("--json", "as_json", is_flag=True, help="One sample a line, for programs.")
def command(as_json: bool) -> int:
    """Print what the living engine counts and measures, as OpenMetrics text.

    \b
    Examples:
      relevo metrics | grep queue
      relevo metrics --json | jq 'select(.value > 0)'
    """
    from relevo.cli import connect

    async def main() -> int:
        async with connect.client() as api:
            text = await api.metrics()
        if as_json:
            import json

            from relevo.cli.samples import samples

            for sample in samples(text):
                click.echo(json.dumps(sample))
        else:
            click.echo(text, nl=False)
        return 0

    return connect.run(main)
