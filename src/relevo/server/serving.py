"""Listening: uvicorn's protocol on a socket of ours, bounded in connections, and how it ends."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
import time
from email.utils import formatdate
from typing import Any, Final

from uvicorn import Config
from uvicorn.server import ServerState

from relevo.core.measured import HTTP_CONNECTIONS
from relevo.domain.errors import UserError
from relevo.server.app import App
from relevo.server.connection import Connection

#: Connections at a time, if the process may have so many files.
CONNECTIONS: Final = 12_000
#: Files that connections leave to everything else.
FILES_KEPT: Final = 256
#: What answers that have begun may take when the server ends.
DRAIN_S: Final = 5.0
BACKLOG: Final = 1_024
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
)


class _Refusing(asyncio.Protocol):
    """For whoever comes when there are too many."""

    def connection_made(self, transport: Any) -> None:
        transport.write(_FULL)
        transport.close()


class Serving:
    """An application on a socket."""

    def __init__(self, app: App, loop: asyncio.AbstractEventLoop, *, connections: int | None = None) -> None:
        self._app = app
        self._loop = loop
        self._most = connections or most_connections()
        self._state = ServerState()
        self._config = Config(
            app,
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
        )
        self._server: asyncio.Server | None = None
        self._clock: asyncio.TimerHandle | None = None
        self.address: tuple[str, int] = ("", 0)

    async def open(self, listener: socket.socket) -> None:
        """Listen on a bound socket."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what clients do wrong is no news
        self._config.load()
        self._tick()
        self._server = await self._loop.create_server(self._accept, sock=listener, backlog=BACKLOG)
        self.address = listener.getsockname()[:2]

    def _accept(self) -> asyncio.Protocol:
        if len(self._state.connections) >= self._most:
            return _Refusing()
        return Connection(self._config, self._state, {}, self._loop)

    def _tick(self) -> None:
        self._state.default_headers = [(b"date", formatdate(time.time(), usegmt=True).encode())]
        HTTP_CONNECTIONS.set(len(self._state.connections))
        self._clock = self._loop.call_later(1.0, self._tick)

    async def close(self, now: asyncio.Event | None = None) -> None:
        """Take no more, end streams, let answers that have begun end within a time (less, once `now` is set). Idempotent."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        await self._app.hub.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        await self._drained(now)
        for task in list(self._state.tasks):
            task.cancel()
        for connection in list(self._state.connections):
            connection.transport.abort()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=1.0)
        if self._clock is not None:
            self._clock.cancel()

    async def _drained(self, now: asyncio.Event | None) -> None:
        hurry = self._loop.create_task(now.wait()) if now is not None else None
        until = self._loop.time() + DRAIN_S
        try:
            while self._state.tasks and self._loop.time() < until:
                waited: set[asyncio.Future[Any]] = set(self._state.tasks)
                if hurry is not None:
                    if hurry.done():
                        return
                    waited.add(hurry)
                await asyncio.wait(
                    waited, timeout=until - self._loop.time(), return_when=asyncio.FIRST_COMPLETED
                )
        finally:
            if hurry is not None:
                hurry.cancel()


def most_connections() -> int:
    """How many connections this process can have."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(16, min(CONNECTIONS, files - FILES_KEPT))


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0: any. Raises UserError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
        except OSError:
            found.close()
            raise
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            hint = "--host is an address of this machine: 127.0.0.1, 0.0.0.0 for all that it has"
        elif error.errno == errno.EACCES:
            hint = "ports below 1024 are for root: --port takes another one, and a proxy may have that one"
        else:
            hint = "--port takes another one; --port 0 any that is free"
        raise UserError(
            f"{host}:{port} cannot be listened on: {error.strerror or error}", hint=hint
        ) from None
    found.setblocking(False)
    return found
