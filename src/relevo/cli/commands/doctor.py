"""relevo doctor"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from relevo.cli import exits

if TYPE_CHECKING:
    from relevo.cli.finding import Finding


@click.command("doctor", short_help="Tell what this machine can do, what not, and what to do about it.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def command(as_json: bool) -> int:
    """Tell what this machine can do for relevo, what not, and what to do about it.

    Exit code 1 when something is missing that relevo cannot do without.

    \b
    Examples:
      relevo doctor
      relevo doctor --json | jq '.findings[] | select(.state != "good")'
    """
    from relevo.cli import connect
    from relevo.cli.doctor import examine
    from relevo.cli.finding import Finding

    home = connect.home()
    findings = examine(home)
    engine = connect.run(lambda: _engine(findings, Finding))
    bad = any(finding.state == "bad" for finding in findings)
    if as_json:
        import json

        told = {"v": 1, "good": not bad, "engine": engine, "findings": [one._asdict() for one in findings]}
        click.echo(json.dumps(told))
    else:
        _print(findings, bad=bad)
    return exits.FAILED if bad else exits.SUCCEEDED


async def _engine(findings: list[Finding], made: type[Finding]) -> Any:
    """Who is the engine here; None when there is none."""
    from relevo.cli import connect
    from relevo.domain.errors import RelevoError, UserError

    try:
        async with connect.client() as api:
            told = await api.ping()
    except UserError as error:
        if connect.server() is not None:
            findings.append(made("server", "bad", error.message, error.hint or ""))
            return None
        findings.append(made("engine", "good", "none is running here; `relevo run` starts one"))
        return None
    except RelevoError as error:
        findings.append(made("engine", "bad", str(error), "relevo db check tells more"))
        return None
    live = told.get("live", 0)
    findings.append(
        made(
            "engine" if connect.server() is None else "server",
            "good",
            f"process {told['pid']}, {live} live runs",
        )
    )
    return told


def _print(findings: list[Finding], *, bad: bool) -> None:
    import sys

    from relevo.cli.output import colours
    from relevo.cli.palette import Palette
    from relevo.cli.text import counted

    palette = Palette(colours(sys.stdout))
    marks = {"good": palette("good", "✓"), "lacking": palette("warning", "!"), "bad": palette("bad", "✗")}
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        click.echo(f"{marks[finding.state]} {finding.what.ljust(width)}  {finding.found}")
        if finding.advice:
            click.echo(f"  {' ' * width}  → {finding.advice}")
    lacking = sum(finding.state == "lacking" for finding in findings)
    if bad:
        click.echo(f"\n{palette('bad', 'relevo does not work here before that is mended')}")
    elif lacking:
        click.echo(f"\nrelevo works here; {counted(lacking, 'thing')} would make it better")
    else:
        click.echo(f"\n{palette('good', 'all is well')}")
