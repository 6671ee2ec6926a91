"""Reads a home: from the engine that lives there, else from what is stored. It becomes no engine, and makes nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from relevo.assembly.client import connect
from relevo.assembly.home import Home
from relevo.assembly.offline import Offline
from relevo.assembly.relay import Relay

if TYPE_CHECKING:
    from relevo.assembly.client import Client
    from relevo.assembly.embedded import Embedded
    from relevo.orchestrator.api import EngineApi

#: How long somebody who followed an engine that went away waits for the next one.
NEXT_ENGINE_S: Final = 10.0
POLL_S: Final = 0.1


class Reader(Relay):
    """A relay that waits for the next engine instead of becoming it."""

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        self._offline: Offline | None = None
        self._had_engine = False

    async def close(self) -> None:
        offline, self._offline = self._offline, None
        if offline is not None:
            await offline.close()
        await super().close()

    async def _attach(self) -> tuple[EngineApi, Embedded | None, Client | None]:
        client = await self._engine()
        if client is not None:
            self._had_engine = True
            return client, None, client
        self._had_engine = False
        self._offline = Offline(self._home)
        await self._offline.open()
        return self._offline, None, None

    async def _engine(self) -> Client | None:
        loop = asyncio.get_running_loop()
        until = loop.time() + (NEXT_ENGINE_S if self._had_engine else 0.0)
        while True:
            if os.path.exists(self._home.socket):
                client = await connect(self._home.socket, loop)
                if client is not None:
                    return client
            if loop.time() >= until:
                return None
            await asyncio.sleep(POLL_S)


@asynccontextmanager
async def open_reader(home: str) -> AsyncIterator[EngineApi]:
    """A reader of a home. What would change something raises UserError when no engine lives."""
    reader = Reader(Home(home))
    try:
        yield reader
    finally:
        await reader.close()
