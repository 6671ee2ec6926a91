"""relevo drain"""

from __future__ import annotations

import click


@click.command("drain", short_help="Have an agent take nothing new.")
@click.argument("agent", default="local")
@click.option("--reason", default="", metavar="TEXT", help="What is done there; shown to whoever waits.")
def command(agent: str, reason: str) -> int:
    """Have an agent take nothing new, until `relevo undrain`. What it has goes on to its end.

    That is kept in the home: engines that come later go by it. Jobs wait meanwhile, and `relevo why` says for what. Without
    AGENT, the one of this machine.

    \b
    Examples:
      relevo drain --reason "new kernel"
      relevo drain build-7
    """
    from relevo.cli import connect

    async def main() -> int:
        async with connect.engine() as api:
            await api.drain(agent, reason=reason)
            click.echo(f"agent {agent} takes nothing new; relevo undrain lets it take jobs again")
            return 0

    return connect.run(main)
