"""relevo version"""

from __future__ import annotations

import click


@click.command("version", short_help="Tell the version of relevo and of what it runs on.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def command(as_json: bool) -> int:
    """Tell the version of relevo and of what it runs on. For reports of mistakes.

    \b
    Example:
      relevo version --json
    """
    import os
    import platform

    from relevo import __version__

    kernel = os.uname()
    told = {
        "relevo": __version__,
        "python": platform.python_version(),
        "kernel": kernel.release,
        "machine": kernel.machine,
    }
    if as_json:
        import json

        click.echo(json.dumps(told))
    else:
        click.echo(f"relevo {__version__}")
        click.echo(f"Python {told['python']}, Linux {told['kernel']}, {told['machine']}")
    return 0
