"""relevo logout"""

from __future__ import annotations

import click


@click.command("logout", short_help="Forget the token for a server.")
@click.argument("url", required=False, metavar="[URL]")
def command(url: str | None) -> int:
    """Forget the token for a server.

    URL is its address; without it that of RELEVO_SERVER, else http://127.0.0.1:7878. The token itself stays valid.

    \b
    Example:
      relevo logout https://ci.example.org
    """
    from relevo.cli import connect

    logins = connect.logins()
    address = logins.normal(url or connect.server() or logins.DEFAULT)
    if logins.forget(address):
        click.echo(f"the token for {address} is forgotten")
    else:
        others = ", ".join(logins.known()) or "none"
        click.echo(f"there is no token for {address} (there are for: {others})")
    return 0
