"""relevo login"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from typing import BinaryIO


@click.command("login", short_help="Keep the token for a server.")
@click.argument("url", required=False, metavar="[URL]")
@click.option("--token-file", type=click.File("rb"), metavar="FILE", help="Where the token is; `-`: stdin.")
def command(url: str | None, token_file: BinaryIO | None) -> int:
    """Check the token for a server, and keep it for all commands that are given that server (RELEVO_SERVER).

    URL is the address of a server; without it that of RELEVO_SERVER, else http://127.0.0.1:7878. The token is asked for; where
    there is no terminal, it is read from stdin. It is kept in your configuration folder, readable by you alone.

    \b
    Examples:
      relevo login https://ci.example.org
      ssh ci cat /var/lib/relevo/token | relevo login https://ci.example.org
    """
    import sys

    from relevo.cli import connect
    from relevo.cli.output import note
    from relevo.domain.errors import UserError

    logins = connect.logins()
    address = logins.normal(url or connect.server() or logins.DEFAULT)
    if token_file is not None:
        given = token_file.read(4_096).decode("utf-8", "replace")
    elif sys.stdin.isatty():
        given = click.prompt(f"token for {address}", hide_input=True, err=True)
    else:
        given = sys.stdin.read(4_096)
    token = logins.checked(given, "what was given")

    async def main() -> int:
        async with connect.remote(address, token) as api:
            told = await api.ping()
        where = logins.keep(address, token)
        click.echo(f"logged in to relevo {told['version']} at {address}; the token is in {where}")
        if connect.server() is None or logins.normal(connect.server() or "") != address:
            note(f"  to use it: export RELEVO_SERVER={address}")
        return 0

    try:
        return connect.run(main)
    except UserError as error:
        if error.hint and error.hint.startswith("relevo login"):
            raise UserError(
                error.message, hint="the server's token is in the file `token` of its RELEVO_HOME"
            ) from None
        raise
