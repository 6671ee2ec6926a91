"""`relevo up`: the engine of a home that stays, with its HTTP API and its page.

It becomes the engine, or says who is. When another process takes over (this one stood still for seconds), it goes on serving through
that one, and becomes the engine again when that leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from relevo.assembly.embedded import Embedded, open_engine
from relevo.assembly.home import Home
from relevo.assembly.relay import Relay
from relevo.domain.errors import RelevoError, UserError
from relevo.leases.contract import LeaseHeld
from relevo.runtime.entropy import SystemEntropy
from relevo.runtime.loop import freeze_started

if TYPE_CHECKING:
    from relevo.runtime.shutdown import Shutdown
    from relevo.server.access import Access
    from relevo.server.serving import Serving

#: What leaving may take in all.
LEAVE_S: Final = 10.0
#: Between two tries to have an engine again.
AGAIN_S: Final = 1.0

_log = logging.getLogger(__name__)


class Started(Struct, frozen=True):
    """What is told once it answers."""

    url: str
    home: str
    token: str | None  #: when this start made it
    token_path: str


async def serve(
    home: Home,
    listener: socket.socket,
    shutdown: Shutdown,
    told: Callable[[Started], None],
    *,
    slots: int | None = None,
    hosts: frozenset[str] = frozenset(),
) -> None:
    """Serve on a bound socket until `shutdown` asks for the end. Runs and their jobs go on without it. Raises UserError."""
    from relevo.blobs.directory import DirectoryBlobs
    from relevo.console import static_folder
    from relevo.server.app import App
    from relevo.server.serving import Serving

    loop = asyncio.get_running_loop()
    relay = Relay(home, slots=slots, engine=await _become_engine(home, slots))
    staying: asyncio.Task[None] | None = None
    serving: Serving | None = None
    try:
        access = await _access(home)
        elsewhere = DirectoryBlobs(home.blobs)
        app = App(
            relay,
            loop,
            access,
            # When another process is the engine, it knows nothing of uploads that no run names yet: should it remove one that
            # is needed, the client is told, and uploads it again.
            blobs=lambda: elsewhere if relay.embedded is None else relay.embedded.engine.parts.blobs,
            nowhere=_nowhere(home),
            static=static_folder(),
            hosts=hosts,
        )
        serving = Serving(app, loop)
        await serving.open(listener)
        staying = loop.create_task(_stay(relay))
        host, port = serving.address
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{port}"
        await asyncio.to_thread(_note_served, home, url)
        told(Started(url, home.path, access.made, access.token_path))
        freeze_started()
        await shutdown.draining.wait()
    finally:
        _forget_served(home)
        await _leave(serving, relay, staying, shutdown)


async def _become_engine(home: Home, slots: int | None) -> Embedded:
    try:
        return await open_engine(home, slots=slots)
    except LeaseHeld as error:
        pid = error.holder.pid
        if (url := _served(home, pid)) is not None:
            raise UserError(
                f"{home.path} is served already, at {url} (process {pid})",
                hint=f"another home needs another RELEVO_HOME; `kill {pid}` ends that server, and its jobs go on",
            ) from None
        raise UserError(
            f"another engine lives in {home.path}: process {pid}",
            hint=f"`relevo run` and `relevo resume` are engines while they run: wait until it ends, or end it: kill {pid} "
            "(its jobs go on, and this server takes them over)",
        ) from None


def _note_served(home: Home, url: str) -> None:
    """Say where it is served, for who starts a second server. Without room for it, that one says less."""
    try:
        with open(f"{home.path}/served", "w") as file:
            file.write(f"{os.getpid()} {url}\n")
    except OSError as error:
        _log.debug("where this home is served cannot be noted: %s", error)


def _forget_served(home: Home) -> None:
    with contextlib.suppress(OSError):
        os.unlink(f"{home.path}/served")


def _served(home: Home, pid: int) -> str | None:
    """Where a process serves the home; None when it does not, as far as is known."""
    try:
        with open(f"{home.path}/served") as file:
            noted, _, url = file.read(1_024).strip().partition(" ")
    except (OSError, UnicodeDecodeError):
        return None
    return url if noted == str(pid) and url else None


async def _access(home: Home) -> Access:
    from relevo.server.access import Access

    access = Access(home.path, SystemEntropy())
    try:
        await asyncio.to_thread(access.open)
    except (OSError, ValueError) as error:
        raise UserError(
            f"who may ask cannot be read from {home.path}: {error}",
            hint="remove its files `access` and `token` to have a new token made",
        ) from None
    return access


def _nowhere(home: Home) -> str:
    """An empty folder, for runs that need no working tree."""
    path = f"{os.path.dirname(home.socket)}/nowhere"
    os.makedirs(path, mode=0o500, exist_ok=True)
    return path


async def _leave(
    serving: Serving | None, relay: Relay, staying: asyncio.Task[None] | None, shutdown: Shutdown
) -> None:
    if staying is not None:
        staying.cancel()
    if serving is not None:
        await serving.close(shutdown.now)
    leaving = asyncio.ensure_future(relay.close())
    hurry = asyncio.ensure_future(shutdown.now.wait())
    try:
        # With a second signal, or when the disk stands still: what is stored is stored, the rest an engine takes up.
        await asyncio.wait((leaving, hurry), timeout=LEAVE_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        hurry.cancel()
    if leaving.done():
        await leaving


async def _stay(relay: Relay) -> None:
    """Have an engine at all times: ours, or that of whoever took over."""
    first = True
    while True:
        try:
            ours = await relay.attached()
            if not first:
                if ours:
                    _log.warning("this is the engine again")
                else:
                    _log.warning("another engine has taken over this home: serving through that one")
            first = False
            await relay.left()
        except RelevoError as error:
            _log.warning("there is no engine: %s", error)
            await asyncio.sleep(AGAIN_S)
