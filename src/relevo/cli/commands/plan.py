"""relevo plan"""

from __future__ import annotations

import click

from relevo.cli import options


@click.command("plan", short_help="Show which jobs a workflow has, and in which order they run.")
@click.argument(
    "workflow", required=False, metavar="[FILE|NAME]", shell_complete=options.offered("workflows")
)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object, for programs.")
@click.option("--mermaid", is_flag=True, help="As a Mermaid flowchart, for READMEs and issues.")
def command(workflow: str | None, as_json: bool, mermaid: bool) -> int:
    """Show which jobs a workflow has, what each waits for, and in which order they can run. Nothing is started.

    What relevo cannot run is told, too, by file, line and column.

    \b
    Examples:
      relevo plan ci.yml
      relevo plan ci.yml --mermaid
    """
    from relevo.cli import exits, plan_view
    from relevo.cli.workflows import find
    from relevo.workflow.calls import local_files
    from relevo.workflow.diagnostics import WorkflowInvalid
    from relevo.workflow.local_actions import check_local_actions, in_tree
    from relevo.workflow.reader import read
    from relevo.workflow.support import unsupported

    if as_json and mermaid:
        raise click.UsageError("--json and --mermaid cannot be used together")
    found = find(workflow)
    read_workflow = read(found.text, found.path, local_files(found.directory))
    local = check_local_actions(read_workflow, in_tree(found.directory))
    if local.wrong:
        raise WorkflowInvalid(local.wrong)
    refused = (*unsupported(read_workflow), *local.refused)
    if as_json:
        click.echo(plan_view.as_json(read_workflow, refused))
    else:
        for line in plan_view.as_mermaid(read_workflow) if mermaid else plan_view.as_text(read_workflow):
            click.echo(line)
        for problem in refused:
            click.echo(problem, err=True)
    return exits.BAD_INPUT if any(one.severity == "error" for one in refused) else exits.SUCCEEDED
