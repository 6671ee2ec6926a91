"""Things that are started and stopped, in order. After River's start/stop: stop tolerates not started, and twice."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

#: What one service may take to stop.
STOP_S: Final = 10.0

_log = logging.getLogger("relevo.services")


class Service(Protocol):
    """Something that is started once and stopped once."""

    @property
    def name(self) -> str:
        """For messages."""

    async def start(self) -> None:
        """Start; returns when it works. What raises has cleaned up after itself."""

    async def stop(self) -> None:
        """Stop; returns when nothing of it is left. Nothing when it is not started, or stopped already."""


class Started:
    """A service made of two functions, that keeps the promises of `Service` whatever these do."""

    def __init__(
        self, name: str, start: Callable[[], Awaitable[object]], stop: Callable[[], Awaitable[object]]
    ) -> None:
        self.name = name
        self._start = start
        self._stop = stop
        self._running = False
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """See Service. Raises RuntimeError when it runs already."""
        async with self._lock:
            if self._running:
                raise RuntimeError(f"{self.name} is started already")
            await self._start()
            self._running = True

    async def stop(self) -> None:
        """See Service."""
        async with self._lock:
            if self._running:
                self._running = False
                await self._stop()


class ServiceGroup:
    """Services that depend on those before them: started in order, stopped in the opposite one.

    If one does not start, those that did are stopped, and its error is raised. A stop that fails or takes longer than
    `stop_s` is logged and passed over: the others are stopped nevertheless.
    """

    def __init__(self, name: str, services: Sequence[Service], *, stop_s: float = STOP_S) -> None:
        self.name = name
        self.started = asyncio.Event()  #: set while all of them run
        self._services = services
        self._stop_s = stop_s
        self._running: list[Service] = []
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """See Service."""
        async with self._lock:
            if self._running:
                raise RuntimeError(f"{self.name} is started already")
            try:
                for service in self._services:
                    await service.start()
                    self._running.append(service)
            except BaseException:
                await asyncio.shield(self._stop_all())
                raise
            self.started.set()

    async def stop(self) -> None:
        """See Service. Goes on to its end even if the caller is cancelled."""
        await asyncio.shield(self._stop())

    async def _stop(self) -> None:
        async with self._lock:
            await self._stop_all()

    async def _stop_all(self) -> None:
        self.started.clear()
        while self._running:
            service = self._running.pop()
            try:
                async with asyncio.timeout(self._stop_s):
                    await service.stop()
            except TimeoutError:
                _log.error("%s: %s did not stop within %g s", self.name, service.name, self._stop_s)
            except Exception:
                _log.exception("%s: %s failed to stop", self.name, service.name)
