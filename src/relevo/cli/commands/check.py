"""relevo check"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from relevo.cli import exits, options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relevo.workflow.diagnostics import Diagnostic


@click.command("check", short_help="Check workflow files without running them.")
@click.argument("workflows", nargs=-1, metavar="[FILE|NAME]...", shell_complete=options.offered("workflows"))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file, for programs.")
def command(workflows: tuple[str, ...], as_json: bool) -> int:
    """Check workflow files without running them; without a name, all that there are.

    Tells every mistake by file, line and column, and warns of scripts that would run text of strangers, of names that nothing
    gives a value, and of what relevo cannot run. Warnings alone leave a file good; `relevo plan` and `relevo run` refuse what
    relevo cannot run.

    \b
    Examples:
      relevo check
      relevo check ci.yml deploy.yml
      relevo check --json | jq .problems
    """
    from msgspec.structs import replace

    from relevo.cli.text import counted
    from relevo.cli.workflows import candidates, find, root
    from relevo.workflow.calls import local_files
    from relevo.workflow.diagnostics import WorkflowInvalid
    from relevo.workflow.local_actions import check_local_actions, in_tree
    from relevo.workflow.reader import read
    from relevo.workflow.support import unsupported

    names = workflows or tuple(candidates(root("."))) or (None,)
    directory = "." if workflows else root(".")
    bad = 0
    for name in names:
        found = find(name, directory)
        try:
            workflow = read(found.text, found.path, local_files(found.directory))
            local = check_local_actions(workflow, in_tree(found.directory))
            if local.wrong:
                raise WorkflowInvalid(local.wrong)
        except WorkflowInvalid as error:
            bad += 1
            if as_json:
                _print_json(found.path, error.diagnostics, good=False, runnable=False)
            else:
                click.echo(error, err=True)
            continue
        cannot = [*unsupported(workflow), *local.refused]
        told_all = (*workflow.warnings, *cannot, *local.warnings)
        refused = any(one.severity == "error" for one in cannot)
        if as_json:
            _print_json(found.path, told_all, good=True, runnable=not refused)
            continue
        warnings = WorkflowInvalid(replace(one, severity="warning") for one in told_all)
        if warnings.diagnostics:
            click.echo(warnings, err=True)
        told = f", with {counted(len(warnings.diagnostics), 'warning')}" if warnings.diagnostics else ""
        click.echo(f"{found.path}: good{told}{'; relevo cannot run it' if refused else ''}")
    return exits.BAD_INPUT if bad else exits.SUCCEEDED


def _print_json(path: str, diagnostics: Iterable[Diagnostic], *, good: bool, runnable: bool) -> None:
    import json

    from relevo.cli.problems import as_data

    told = {"v": 1, "path": path, "good": good, "runnable": runnable, "problems": as_data(diagnostics)}
    click.echo(json.dumps(told))
