"""relevo run"""

from __future__ import annotations

import os

import click

from relevo.cli import options


@click.command("run", short_help="Run a workflow and show it live.")
@click.argument(
    "workflow", required=False, metavar="[FILE|NAME]", shell_complete=options.offered("workflows")
)
@click.option(
    "--event",
    default="",
    metavar="NAME[:TYPE]",
    help="Run it as if that had started it, with its filters: push, pull_request:closed, …. "
    "Default: by hand, as workflow_dispatch if the workflow has that, else as push, else as what it has.",
)
@click.option(
    "--job",
    "jobs_only",
    multiple=True,
    metavar="ID",
    shell_complete=options.offered("jobs of the workflow"),
    help="Only this job and what it needs; repeatable.",
)
@click.option(
    "--input", "inputs", multiple=True, metavar="K=V", help="An input of workflow_dispatch; repeatable."
)
@click.option(
    "--secret",
    "secrets",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="A secret, by default from the environment, else asked for; repeatable.",
)
@click.option("--env", "env", multiple=True, metavar="K=V", help="A variable of all steps; repeatable.")
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(1, 1024),
    metavar="N",
    help="Jobs that run at a time. Default: as many as the machine has processors.",
)
@click.option("--committed", is_flag=True, help="Run HEAD, not the working tree as it is.")
@click.option(
    "--skip-unmatched", is_flag=True, help="Leave out jobs that no agent can run (windows-latest, …)."
)
@click.option("--keep", is_flag=True, help="Keep the workspaces of jobs, to look into them.")
@click.option(
    "--trace",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="At the end, write where the time went, for ui.perfetto.dev; `relevo trace` does it later.",
)
@options.display
def command(
    workflow: str | None,
    event: str,
    jobs_only: tuple[str, ...],
    inputs: tuple[str, ...],
    secrets: tuple[str, ...],
    env: tuple[str, ...],
    jobs: int | None,
    committed: bool,
    skip_unmatched: bool,
    keep: bool,
    trace: str | None,
    plain: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run a workflow and show it live.

    FILE is a workflow file, `-` reads it from stdin; NAME is the name of one in .github/workflows. Left out, it is
    the only one there is.

    The run sees the working tree as it is now, what is not committed included. Ctrl-C cancels it, twice ends it at once. When
    the terminal closes, its jobs go on, and `relevo resume` comes back to them.

    \b
    Examples:
      relevo run
      relevo run ci.yml --job test
      relevo run deploy --input target=staging --secret TOKEN
      relevo run --event push --json | jq .event
      relevo run --trace trace.json
    """
    chosen = options.style(plain=plain, as_json=as_json, quiet=quiet)
    given_inputs = options.pairs("--input", inputs)
    given_env = options.pairs("--env", env)
    from relevo.cli.workflows import find

    found = find(workflow)
    given_secrets = options.secrets(secrets)
    missing = options.missing_secrets(found.text, given_secrets)
    if missing:
        from relevo.cli.output import note

        note(
            f"relevo: not given, and therefore empty: {', '.join(missing)}\n"
            f"  relevo run --secret {missing[0]} takes it from the environment, or asks"
        )

    if trace is not None:
        from relevo.cli import tracing

        tracing.must_be_writable(trace)
    from relevo.cli import connect

    if connect.server() is None:
        connect.head_start(jobs=jobs)

    from relevo.cli.watch import attend
    from relevo.orchestrator.api import Submission, UserApi

    submission = Submission(
        workflow_path=found.path,
        workflow_text=found.text,
        event=event,
        inputs=given_inputs,
        env=given_env,
        secrets=given_secrets,
        jobs=jobs_only,
        directory=found.directory,
        committed=committed,
        skip_unmatched=skip_unmatched,
        keep=keep,
        traceparent=os.environ.get("TRACEPARENT", ""),
        tracestate=os.environ.get("TRACESTATE", ""),
    )

    async def submit(api: UserApi) -> str:
        return await api.submit(submission)

    return connect.run(lambda: attend(connect.engine(jobs=jobs), submit, style=chosen, trace=trace))
