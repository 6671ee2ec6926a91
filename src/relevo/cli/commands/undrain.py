"""relevo undrain"""

from __future__ import annotations

import click


@click.command("undrain", short_help="Have an agent take jobs again.")
@click.argument("agent", default="local")
def command(agent: str) -> int:
    """Have an agent take jobs again that `relevo drain` kept from it. Without AGENT, the one of this machine.

    \b
    Example:
      relevo undrain build-7
    """
    from relevo.cli import connect

    async def main() -> int:
        async with connect.engine() as api:
            await api.undrain(agent)
            click.echo(f"agent {agent} takes jobs")
            return 0

    return connect.run(main)
