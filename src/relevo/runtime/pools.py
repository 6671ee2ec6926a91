"""Threads for what blocks: a named, bounded pool for each context, so that one that hangs starves no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class Pool:
    """Threads of one context. They are started when they are needed."""

    def __init__(self, name: str, *, threads: int) -> None:
        self.name = name
        self._executor = ThreadPoolExecutor(threads, f"relevo-{name}")

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """The result of a blocking call."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    async def close(self) -> None:
        """Wait for what runs. Idempotent."""
        await asyncio.get_running_loop().run_in_executor(None, self._executor.shutdown)
