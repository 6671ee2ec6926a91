"""relevo actors"""

from __future__ import annotations

import click


@click.command("actors", short_help="Show the living engine from inside.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON list.")
def command(as_json: bool) -> int:
    """Show the living engine from inside: its actors, how much mail waits for each, how much it has handled.

    \b
    Example:
      relevo actors
    """
    from relevo.cli import connect

    async def main() -> int:
        async with connect.client() as api:
            tree = await api.actors()
        if as_json:
            import msgspec

            click.echo(msgspec.json.encode(tree))
        elif not tree:
            click.echo("no engine is running here")
        else:
            from relevo.cli.text import table

            # The kernel names the columns; paths come first.
            heads = [head for head in tree[0] if head != "about" or any(actor[head] for actor in tree)]
            rows = [heads] + [[str(actor.get(head, "")) for head in heads] for actor in tree]
            for line in table(
                rows, right=frozenset(i for i, h in enumerate(heads) if isinstance(tree[0][h], int))
            ):
                click.echo(line)
        return 0

    return connect.run(main)
