"""Brings the snapshot of a working tree to a server: whole at first, then only the objects that came since.

    what was sent last (in XDG_CACHE_HOME) ─ still there? ─┬─ the same snapshot: nothing is sent
                                                           ├─ it lacks less than half: those objects
                                                           └─ else: all of it, which is what was sent last from then on

What is there is asked first, by digest. The engine joins the parts (`assembly/joining.py`).
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from blake3 import blake3
from msgspec import Struct

from relevo.blobs.directory import DirectoryBlobs
from relevo.protocol.snapshot import encode_header

if TYPE_CHECKING:
    from relevo.assembly.remote.link import Link
    from relevo.assembly.snapshot import Taken

#: More objects are not noted: sending all again is cheaper than looking through them.
MOST_OBJECTS: Final = 500_000
#: What was not used for so long is forgotten.
KEEP_S: Final = 90 * 86_400


class Sent(Struct, frozen=True):
    """What was sent of a tree, whole."""

    digest: str  #: of the blob
    header: str  #: BLAKE3 of the snapshot's header
    objects: bytes  #: their ids, one after another


class Uploads:
    """Sends to one server; `fresh`: as if nothing had ever been sent."""

    def __init__(
        self, link: Link, tree: str, *, fresh: bool = False, told: Callable[[int], None] = lambda size: None
    ) -> None:
        """`told`: called with the bytes that are about to be sent."""
        self._link = link
        self._told = told
        self._path = _noted_at(link.url, tree)
        self._fresh = fresh

    async def send(self, taken: Taken) -> Sequence[str]:
        """See `gathering.Sender`."""
        header = blake3(encode_header(taken.header)).hexdigest()
        last = None if self._fresh else await asyncio.to_thread(self._read)
        if last is not None and await self._missing([last.digest]):
            last = None
        if last is not None and last.header == header:
            return [last.digest]
        objects = await asyncio.to_thread(taken.objects)
        if last is not None:
            known = _split(last.objects, len(objects[0]) // 2)
            new = [name for name in objects if name not in known]
            if len(new) * 2 < len(objects):
                return [last.digest, await self._put(taken, new)]
        digest = await self._put(taken, None)
        if len(objects) <= MOST_OBJECTS:
            ids = b"".join(map(bytes.fromhex, objects))
            await asyncio.to_thread(self._note, Sent(digest, header, ids))
        return [digest]

    async def _put(self, taken: Taken, objects: Sequence[str] | None) -> str:
        with tempfile.TemporaryDirectory(prefix="relevo-upload-") as folder:
            blobs = DirectoryBlobs(folder)
            try:
                digest = await taken.store(blobs, objects)
                if await self._missing([digest]):
                    size = await blobs.size(digest) or 0
                    self._told(size)
                    await self._link.put(f"/blobs/{digest}", size, lambda: blobs.read(digest))
            finally:
                blobs.close()
        return digest

    async def _missing(self, digests: Sequence[str]) -> list[str]:
        answer = await self._link.post("/blobs/missing", {"digests": digests})
        return list(answer["missing"])

    # --- what was sent last ---------------------------------------------------------------------------------------

    def _read(self) -> Sent | None:
        try:
            with open(self._path, "rb") as file:
                sent = msgspec.msgpack.decode(file.read(), type=Sent)
            os.utime(self._path)
        except (OSError, msgspec.DecodeError):
            return None
        return sent

    def _note(self, sent: Sent) -> None:
        """A note that cannot be kept costs an upload, and is no error."""
        folder = os.path.dirname(self._path)
        temporary = f"{self._path}.{os.getpid()}"
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            with open(temporary, "wb") as file:
                file.write(msgspec.msgpack.encode(sent))
            os.replace(temporary, self._path)
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.stat().st_mtime < time.time() - KEEP_S:
                        os.unlink(entry.path)
        except OSError:
            pass


def _noted_at(url: str, tree: str) -> str:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    name = blake3(f"{url}\0{os.path.realpath(tree)}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return os.path.join(cache, "relevo", "sent", name)


def _split(ids: bytes, size: int) -> set[str]:
    text = ids.hex()
    return {text[at : at + 2 * size] for at in range(0, len(text), 2 * size)}
