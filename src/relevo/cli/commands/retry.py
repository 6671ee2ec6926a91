"""relevo retry"""

from __future__ import annotations

import os

import click

from relevo.cli import options


@click.command("retry", short_help="Run a finished run again, or a held job.")
@click.argument("run", default="latest", shell_complete=options.offered("runs"))
@click.option("--failed", is_flag=True, help="Only the jobs that did not succeed, and what depends on them.")
@click.option(
    "--job", metavar="JOB", shell_complete=options.offered("held jobs"), help="Run a held job of a run again."
)
@click.option(
    "--secret",
    "secrets",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="A secret: those of a finished run are gone; repeatable.",
)
@click.option("--jobs", "-j", type=click.IntRange(1, 1024), metavar="N", help="Jobs that run at a time.")
@options.display
def command(
    run: str,
    failed: bool,
    job: str | None,
    secrets: tuple[str, ...],
    jobs: int | None,
    plain: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run a finished run again, as a new one, with the same files; or, with --job, run a held job again.

    A job is held when it was lost in the middle of a step that is marked `idempotent: false`: it is never run again without
    your word. RUN may be the beginning of a run's id; without it, the latest run.

    \b
    Examples:
      relevo retry --failed
      relevo retry 0192f3 --secret TOKEN
      relevo retry 0192f3 --job deploy
    """
    if failed and job is not None:
        raise click.UsageError("--failed and --job exclude each other: --job is for one held job of a run")
    chosen = options.style(plain=plain, as_json=as_json, quiet=quiet)
    given = options.secrets(secrets)
    from relevo.cli import connect
    from relevo.cli.watch import attend
    from relevo.orchestrator.api import UserApi

    async def begin(api: UserApi) -> str:
        row = await api.find(run)
        return await api.retry(
            row.run,
            failed=failed,
            job=job,
            secrets=given or None,
            traceparent=os.environ.get("TRACEPARENT", ""),
            tracestate=os.environ.get("TRACESTATE", ""),
        )

    return connect.run(
        lambda: attend(connect.engine(jobs=jobs), begin, style=chosen, resumed=job is not None)
    )
