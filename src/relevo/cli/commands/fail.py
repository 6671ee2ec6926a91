"""relevo fail"""

from __future__ import annotations

import click

from relevo.cli import options


@click.command("fail", short_help="Decide that a held job has failed.")
@click.argument("run", default="latest", shell_complete=options.offered("runs"))
@click.option(
    "--job", required=True, metavar="JOB", shell_complete=options.offered("held jobs"), help="The held job."
)
@options.display
def command(run: str, job: str, plain: bool, as_json: bool, quiet: bool) -> int:
    """Decide that a held job has failed, and follow the run to its end.

    RUN may be the beginning of a run's id; without it, the latest run.

    \b
    Example:
      relevo fail 0192f3 --job deploy
    """
    chosen = options.style(plain=plain, as_json=as_json, quiet=quiet)
    from relevo.cli import connect
    from relevo.cli.watch import attend
    from relevo.orchestrator.api import UserApi

    async def begin(api: UserApi) -> str:
        row = await api.find(run)
        await api.fail(row.run, job=job)
        return row.run

    return connect.run(lambda: attend(connect.engine(), begin, style=chosen, resumed=True))
