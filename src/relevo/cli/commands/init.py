"""relevo init"""

from __future__ import annotations

import os

import click

#: Where the first workflow is written.
PLACE = ".github/workflows/ci.yml"


@click.command("init", short_help="Write a first workflow, from what the repository holds.")
@click.option("--print", "only_print", is_flag=True, help="Print it instead of writing it.")
def command(only_print: bool) -> int:
    """Write a first workflow to .github/workflows/ci.yml, from what the repository holds: Python, Node, Go, Rust, make.

    Each gets a job that installs, builds and tests. Nothing is ever overwritten: where there are workflows, it names them and
    leaves.

    \b
    Examples:
      relevo init
      relevo init --print
    """
    from shutil import which

    from relevo.cli.output import note
    from relevo.cli.starters import starters, workflow
    from relevo.cli.workflows import candidates, root
    from relevo.domain.errors import UserError

    directory = root(".")
    found = starters(directory)
    text = workflow(found)
    if only_print:
        click.echo(text, nl=False)
        return 0
    known = candidates(directory)
    if known:
        raise UserError(
            f"there are workflows already: {', '.join(known[:5])}{' …' if len(known) > 5 else ''}",
            hint=f"relevo run {known[0]}   (relevo init --print shows what would be written)",
        )
    path = os.path.join(directory, PLACE)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror}", hint="relevo init --print shows what it would be"
        ) from None
    click.echo(f"found: {', '.join(starter.found for starter in found)}")
    click.echo(f"wrote {os.path.relpath(path)}:")
    for starter in found:
        click.echo(f"  {starter.job}: {', '.join(name.lower() for name, _ in starter.steps)}")
    missing = [program for starter in found for program in starter.programs if which(program) is None]
    if missing:
        note(f"not installed here, and needed to run it here: {', '.join(missing)}")
    click.echo(
        "next:\n  relevo run     runs it here, on the files as they are\n  relevo plan    shows its jobs"
    )
    return 0
