"""relevo db"""

from __future__ import annotations

import click

from relevo.cli import exits


@click.group("db", short_help="Verify what is stored.")
def command() -> None:
    """Verify what is stored in RELEVO_HOME.

    \b
    Example:
      relevo db check
    """


@command.command("check", short_help="Replay all events, verify checksums, compare the read models.")
@click.option("--rebuild", is_flag=True, help="Write the read models anew from the events.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def check(rebuild: bool, as_json: bool) -> int:
    """Replay all events, verify the checksums of events and logs, compare the read models with the events.

    Each damage is named by its place, and is confined to the runs that use what is there. Exit code 1 when there is any.

    \b
    Examples:
      relevo db check
      relevo db check --rebuild
    """
    from relevo.assembly.maintenance import check as check_home
    from relevo.cli import connect, text

    async def main() -> int:
        checked = await check_home(connect.home(), rebuild=rebuild)
        if as_json:
            import msgspec

            click.echo(msgspec.json.encode(checked._asdict()))
        else:
            for problem in checked.problems:
                click.echo(problem)
            told = f"{text.counted(checked.runs, 'run')}, {text.counted(checked.appends, 'append')}"
            found = text.counted(len(checked.problems), "problem") if checked.problems else "all is well"
            click.echo(f"{told}: {found}{', read models rebuilt' if checked.rebuilt else ''}")
        return exits.FAILED if checked.problems else exits.SUCCEEDED

    return connect.run(main)
