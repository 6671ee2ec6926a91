"""relevo up"""

from __future__ import annotations

import click


@click.command("up", short_help="Serve the HTTP API and the page, as the engine that stays.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Listen there. What is not this machine alone needs --without-tls.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=7878,
    show_default=True,
    metavar="N",
    help="Listen at that port; 0: at any that is free.",
)
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(1, 1024),
    metavar="N",
    help="Jobs that run at a time. Default: as many as the machine has processors.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help="A name that the server is reached by, such as behind a proxy; repeatable. Others are refused.",
)
@click.option(
    "--without-tls",
    is_flag=True,
    help="Let others reach it although nothing is encrypted: whoever is on the way can read the token.",
)
def command(host: str, port: int, jobs: int | None, names: tuple[str, ...], without_tls: bool) -> int:
    """Serve the HTTP API and the page, as the engine that stays.

    It is the engine of RELEVO_HOME until SIGTERM or Ctrl-C. Jobs that run then go on with their agent, and the next engine
    takes them up. `relevo run`, `logs`, `cancel` and the others in the same home work through it.

    The token lies in the file `token` of RELEVO_HOME. It is told at the first start only.

    \b
    Examples:
      relevo up
      relevo up --port 0 --jobs 8
      curl -H "Authorization: Bearer $(cat ~/.local/state/relevo/token)" http://127.0.0.1:7878/api/v1/runs
    """
    from relevo.cli import connect
    from relevo.cli.output import note
    from relevo.server.access import is_loopback
    from relevo.server.serving import listen

    if not is_loopback(host):
        if not without_tls:
            raise click.UsageError(
                f"--host {host} can be reached by others, and nothing is encrypted: let a proxy with TLS speak to "
                "127.0.0.1 (and give its name by --name), or add --without-tls"
            )
        note(
            f"relevo: {host} can be reached by others, without TLS: whoever is on the way can read the token"
        )
    listener = listen(host, port)
    connect.head_start(jobs=jobs)

    async def main() -> int:
        from relevo.cli.serving import serve

        return await serve(
            listener, jobs=jobs, names=frozenset((host.lower(), *(name.lower() for name in names)))
        )

    return connect.run(main)
