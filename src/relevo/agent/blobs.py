"""Bytes by the bulk, between the agent and the engine.

Put: into a file of the spool first, so that an absent engine stops nothing; the session sends the file before the
records that name its digest, and it is removed when those are acknowledged.
Get: asked of the engine; a lost connection resumes at the offset reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from blake3 import blake3

from relevo.agent.reporter import BlobUnavailable
from relevo.agent.room import once_there_is_room
from relevo.protocol.messages import BlobBytes, GetBlob
from relevo.runtime.disk import Disk


class AgentBlobs:
    """The blobs of one agent. `send` hands a message to the connection, if there is one."""

    def __init__(
        self,
        disk: Disk,
        folder: str,
        loop: asyncio.AbstractEventLoop,
        blocking: Callable[[Callable[[], None]], Awaitable[None]],
        send: Callable[[GetBlob], None],
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._loop = loop
        self._blocking = blocking
        self._send = send
        self._asked: dict[int, tuple[GetBlob, asyncio.Future[BlobBytes]]] = {}
        self._requests = 0
        self._puts = 0

    def open(self) -> None:
        """Make the folder, and forget what was not finished."""
        self._disk.make(self._folder)
        for name in self._disk.list(self._folder):
            if name.endswith(".part"):
                self._disk.remove(f"{self._folder}/{name}")

    # --- put ------------------------------------------------------------------------------------------------------

    async def put(self, chunks: AsyncIterator[bytes]) -> str:
        """Spool a blob; returns its digest. Waits while the disk is full. Raises OSError."""
        self._puts += 1
        path = f"{self._folder}/{self._puts}.part"
        digest = blake3()
        self._disk.remove(path)
        file = await once_there_is_room(self._loop, partial(self._disk.append, path))
        try:
            async for chunk in chunks:
                digest.update(chunk)
                await once_there_is_room(self._loop, partial(file.write, chunk))
            await self._blocking(file.sync)
        except BaseException:
            file.close()
            self._disk.remove(path)
            raise
        file.close()
        name = digest.hexdigest()
        await once_there_is_room(self._loop, partial(self._disk.rename, path, self.path(name)))
        return name

    def path(self, digest: str) -> str:
        return f"{self._folder}/{digest}"

    def size(self, digest: str) -> int | None:
        """Its size in bytes, None when the engine has it already."""
        try:
            return self._disk.size(self.path(digest))
        except FileNotFoundError:
            return None

    def read(self, digest: str, start: int, size: int) -> bytes:
        return self._disk.read(self.path(digest), start, size)

    def drop(self, digest: str) -> None:
        """The engine has it."""
        self._disk.remove(self.path(digest))

    # --- get ------------------------------------------------------------------------------------------------------

    async def get(self, what: str) -> AsyncIterator[bytes]:
        """Bytes of a thing that the engine has, a piece at a time. Raises BlobUnavailable when it says no."""
        start = 0
        while True:
            piece = await self._ask(what, start)
            if piece.error:
                raise BlobUnavailable(piece.error)
            if piece.data:
                yield piece.data
                start += len(piece.data)
            if piece.last:
                return

    async def _ask(self, what: str, start: int) -> BlobBytes:
        self._requests += 1
        request = GetBlob(self._requests, what, start)
        answer: asyncio.Future[BlobBytes] = self._loop.create_future()
        self._asked[request.request] = (request, answer)
        self._send(request)
        try:
            return await answer
        finally:
            del self._asked[request.request]

    def received(self, message: BlobBytes) -> None:
        """An answer has come. Answers that nobody waits for are dropped."""
        asked = self._asked.get(message.request)
        if asked is not None and not asked[1].done():
            asked[1].set_result(message)

    def reconnected(self) -> None:
        """Ask again for what had not come."""
        for request, _ in self._asked.values():
            self._send(request)
