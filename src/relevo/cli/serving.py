"""`relevo up` between its signals and its terminal."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from typing import TYPE_CHECKING

import click

from relevo.cli import connect, exits
from relevo.cli.output import note

if TYPE_CHECKING:
    from relevo.assembly.up import Started


async def serve(listener: socket.socket, *, jobs: int | None, names: frozenset[str]) -> int:
    """Serve until a signal; returns the exit code."""
    from relevo.assembly import up
    from relevo.assembly.home import Home
    from relevo.runtime.shutdown import Shutdown

    logging.basicConfig(stream=sys.stderr, format="relevo: %(message)s", level=logging.WARNING)
    signals = [signal.SIGTERM, signal.SIGINT]
    if (
        signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    ):  # nohup: a hang-up that is ignored stays ignored
        signals.append(signal.SIGHUP)
    shutdown = Shutdown(asyncio.get_running_loop(), drain_s=up.LEAVE_S, signals=signals)
    shutdown.attach()
    ending = asyncio.ensure_future(_tell_end(shutdown))
    try:
        await up.serve(Home(connect.home()), listener, shutdown, _tell, slots=jobs, hosts=names)
    finally:
        ending.cancel()
        shutdown.detach()
    return exits.SUCCEEDED


def _tell(started: Started) -> None:
    click.echo(f"relevo serves {started.home}")
    if started.token is None:
        click.echo(f"  page and API   {started.url}/   (the token lies in {started.token_path})")
        return
    click.echo(f"  page           {started.url}/#token={started.token}")
    click.echo(f"  API            {started.url}/api/v1/openapi.json")
    click.echo(f"  token          {started.token}")
    click.echo(f"                 told this once; it lies in {started.token_path}, for its owner alone")


async def _tell_end(shutdown: object) -> None:
    from relevo.runtime.shutdown import Shutdown

    assert isinstance(shutdown, Shutdown)
    await shutdown.draining.wait()
    note(f"relevo: {shutdown.reason}: leaving; jobs that run go on, and the next engine takes them up")
