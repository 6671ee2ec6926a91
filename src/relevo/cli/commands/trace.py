"""relevo trace"""

from __future__ import annotations

import click

from relevo.cli import options


@click.command("trace", short_help="Show where the time of a run went, in Perfetto.")
@click.argument("run", default="latest", shell_complete=options.offered("runs"))
@click.option(
    "-o",
    "--output",
    "path",
    type=click.Path(dir_okay=False, allow_dash=True),
    default="-",
    metavar="FILE",
    help="Write it there instead of to standard output.",
)
def command(run: str, path: str) -> int:
    """Write the trace of a run as Chrome trace-event JSON: when its jobs waited and ran, their attempts and steps, retries and
    annotations, and how many jobs ran at a time. ui.perfetto.dev opens the file; it leaves your machine only if you upload it
    somewhere.

    RUN may be the beginning of a run's id; without it, the latest run. One that still goes on is shown up to now.

    \b
    Examples:
      relevo trace -o trace.json
      relevo trace 0192f3 | jq '.traceEvents[] | select(.cat == "step") | [.name, .dur]'
    """
    from relevo.cli import connect, tracing

    async def main() -> int:
        async with connect.client() as api:
            row = await api.find(run)
            trace = await tracing.collect(api, row.run)
        try:
            tracing.save(trace, path)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise click.BadParameter(f"{path} cannot be written: {error.strerror}", param_hint="-o") from None
        if path != "-":
            click.echo(f"wrote {path}; open it in https://ui.perfetto.dev", err=True)
        return 0

    return connect.run(main)
