"""relevo check"""

from __future__ import annotations

import click

from relevo.cli import exits


@click.command("check", short_help="Check workflow files without running them.")
@click.argument("workflows", nargs=-1, metavar="[FILE|NAME]...")
def command(workflows: tuple[str, ...]) -> int:
    """Check workflow files without running them; without a name, all that there are.

    Tells every mistake, and everything that relevo cannot run, by file, line and column.

    \b
    Examples:
      relevo check
      relevo check ci.yml deploy.yml
    """
    from relevo.cli.workflows import candidates, find, root
    from relevo.domain.errors import UserError
    from relevo.workflow.calls import local_files
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
            refused = (*unsupported(workflow), *check_local_actions(workflow, found.directory))
            problems = [str(problem) for problem in refused]
        except UserError as error:
            problems = [str(error)]
        for problem in problems:
            click.echo(problem, err=True)
        bad += bool(problems)
        if not problems:
            click.echo(f"{found.path}: good")
    return exits.BAD_INPUT if bad else exits.SUCCEEDED
