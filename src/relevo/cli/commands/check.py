"""relevo check"""

from __future__ import annotations

import click

from relevo.cli import exits


@click.command("check", short_help="Check workflow files without running them.")
@click.argument("workflows", nargs=-1, metavar="[FILE|NAME]...")
def command(workflows: tuple[str, ...]) -> int:
    """Check workflow files without running them; without a name, all that there are.

    Tells every mistake by file, line and column, and warns of scripts that would run text of strangers, of names that nothing
    gives a value, and of what relevo cannot run. Warnings alone leave a file good; `relevo plan` and `relevo run` refuse what
    relevo cannot run.

    \b
    Examples:
      relevo check
      relevo check ci.yml deploy.yml
    """
    from msgspec.structs import replace

    from relevo.cli.text import counted
    from relevo.cli.workflows import candidates, find, root
    from relevo.domain.errors import UserError
    from relevo.workflow.calls import local_files
    from relevo.workflow.diagnostics import WorkflowInvalid
    from relevo.workflow.local_actions import check_local_actions
    from relevo.workflow.reader import read
    from relevo.workflow.support import unsupported

    names = workflows or tuple(candidates(root("."))) or (None,)
    directory = "." if workflows else root(".")
    bad = 0
    for name in names:
        found = find(name, directory)
        try:
            workflow = read(found.text, found.path, local_files(found.directory))
            local = check_local_actions(workflow, found.directory)
            if local.wrong:
                raise WorkflowInvalid(local.wrong)
        except UserError as error:
            click.echo(error, err=True)
            bad += 1
            continue
        cannot = [*unsupported(workflow), *local.refused]
        refused = [one for one in cannot if one.severity == "error"]
        warnings = WorkflowInvalid(
            replace(one, severity="warning") for one in (*workflow.warnings, *cannot, *local.warnings)
        )
        if warnings.diagnostics:
            click.echo(warnings, err=True)
        told = f", with {counted(len(warnings.diagnostics), 'warning')}" if warnings.diagnostics else ""
        click.echo(f"{found.path}: good{told}{'; relevo cannot run it' if refused else ''}")
    return exits.BAD_INPUT if bad else exits.SUCCEEDED
