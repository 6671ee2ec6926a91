"""Blobs between agents and the engine: taken in order, served a piece at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from relevo.blobs.contract import BlobStore, BlobWriter
from relevo.domain.errors import RelevoError
from relevo.protocol import messages as m

if TYPE_CHECKING:
    from relevo.workers.link import Link

PIECE_BYTES: Final = 1 << 20

#: Finds out what is meant by `artifact:…`, `artifacts:…`, `secrets:…`: a digest, or the bytes themselves. KeyError: no such thing.
Resolve = Callable[[str], Awaitable[str | bytes]]


class Spawn(Protocol):
    """Starts a task that somebody looks after."""

    def __call__(self, coroutine: Any) -> asyncio.Task[Any]: ...


class Bulk:
    """All blob traffic of one engine."""

    def __init__(self, blobs: BlobStore, resolve: Resolve, spawn: Spawn) -> None:
        self._blobs = blobs
        self._resolve = resolve
        self._spawn = spawn
        self._writing: dict[tuple[Link, str], asyncio.Queue[m.PutBlob | None]] = {}
        self._storing: dict[str, asyncio.Task[str]] = {}

    # --- put ----------------------------------------------------------------------------------------------------------

    def put(self, link: Link, message: m.PutBlob) -> None:
        """Take the next piece of a blob."""
        key = (link, message.digest)
        queue = self._writing.get(key)
        if queue is None:
            if message.offset:
                return  # the middle of something that was given up: it comes again from its beginning
            queue = self._writing[key] = asyncio.Queue()
            task = self._storing[message.digest] = self._spawn(self._store(key, queue))
            task.add_done_callback(lambda ended: self._stored(message.digest, ended))
        queue.put_nowait(message)

    def gone(self, link: Link) -> None:
        """Nothing more comes on that connection: what was half sent comes again from its beginning."""
        for (whose, _), queue in self._writing.items():
            if whose is link:
                queue.put_nowait(None)

    def _stored(self, digest: str, task: asyncio.Task[str]) -> None:
        if self._storing.get(digest) is task:
            del self._storing[digest]
        if not task.cancelled():
            task.exception()  # looked at: what was not stored is asked for again with the record that names it

    async def _store(self, key: tuple[Link, str], queue: asyncio.Queue[m.PutBlob | None]) -> str:
        digest = key[1]
        writer: BlobWriter | None = None
        try:
            writer = await self._blobs.create()
            offset = 0
            while True:
                piece = await queue.get()
                if piece is None:
                    raise RelevoError(f"blob {digest}: its sender went away")
                if piece.offset != offset:
                    raise RelevoError(f"blob {digest}: expected offset {offset}, got {piece.offset}")
                await writer.write(piece.data)
                offset += len(piece.data)
                if piece.last:
                    break
            stored = await writer.commit()
            if stored != digest:
                raise RelevoError(f"blob {digest} has other bytes: {stored}")
            return stored
        except BaseException:
            if writer is not None:
                await writer.abort()
            raise
        finally:
            self._writing.pop(key, None)

    def durable(self, digest: str, done: Callable[[bool], None]) -> None:
        """Call `done` when the blob is durable, or is not to be had."""
        self._spawn(self._await_durable(digest, done))

    async def _await_durable(self, digest: str, done: Callable[[bool], None]) -> None:
        task = self._storing.get(digest)
        try:
            if task is not None:
                await asyncio.shield(task)
            elif await self._blobs.size(digest) is None:
                raise KeyError(digest)
        except Exception:
            # Whatever it was (no room, bytes that came out of order): nothing is acknowledged, so all comes again.
            done(False)
        else:
            done(True)

    # --- get ----------------------------------------------------------------------------------------------------------

    def get(self, link: Link, message: m.GetBlob) -> None:
        """Answer with the next piece."""
        self._spawn(self._answer(link, message))

    async def _answer(self, link: Link, message: m.GetBlob) -> None:
        try:
            piece, last = await self._piece(message.what, message.start)
        except KeyError:
            link.send(m.BlobBytes(message.request, b"", True, f"there is no {message.what}"))
        except Exception as error:
            # Whatever it was: an agent that gets no answer waits for ever.
            link.send(m.BlobBytes(message.request, b"", True, str(error) or repr(error)))
        else:
            link.send(m.BlobBytes(message.request, piece, last))

    async def _piece(self, what: str, start: int) -> tuple[bytes, bool]:
        found = what.removeprefix("blob:") if what.startswith("blob:") else await self._resolve(what)
        if start < 0:
            raise KeyError(f"{what} from {start}")
        if isinstance(found, bytes):
            stop = start + PIECE_BYTES
            return found[start:stop], stop >= len(found)
        size = await self._blobs.size(found)
        if size is None:
            raise KeyError(found)
        piece = await self._blobs.slice(found, start, PIECE_BYTES)
        return piece, start + len(piece) >= size
