"""Blobs without a disk, for the simulation."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from blake3 import blake3

from relevo.blobs.contract import unexpected
from relevo.blobs.fresh import Fresh
from relevo.domain.errors import DamagedError, InfrastructureError


class MemoryBlobs:
    """See `contract.BlobStore`. The object is the disk: what was committed outlives whoever wrote it."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.fresh = Fresh()
        self.full = False  #: nothing more finds room

    async def create(self) -> MemoryWriter:
        return MemoryWriter(self)

    async def size(self, digest: str) -> int | None:
        data = self.held.get(digest)
        return None if data is None else len(data)

    async def read(self, digest: str, *, chunk_bytes: int = 1 << 20) -> AsyncGenerator[bytes, None]:
        data = self.held[digest]
        for start in range(0, len(data), chunk_bytes):
            yield data[start : start + chunk_bytes]
        if blake3(data).hexdigest() != digest:
            raise DamagedError("the blob's bytes are not those of its name", where=digest)

    async def slice(self, digest: str, start: int, size: int) -> bytes:
        return self.held[digest][start : start + size]

    async def delete(self, digest: str) -> None:
        self.held.pop(digest, None)

    async def list(self) -> list[tuple[str, int]]:
        return sorted((digest, len(data)) for digest, data in self.held.items())


class MemoryWriter:
    """See `contract.BlobWriter`."""

    def __init__(self, blobs: MemoryBlobs) -> None:
        self._blobs = blobs
        self._data = bytearray()

    async def write(self, data: bytes | memoryview) -> None:
        if self._blobs.full:
            raise InfrastructureError("no room")
        self._data += data

    async def commit(self, expected: str | None = None) -> str:
        data = bytes(self._data)
        digest = blake3(data).hexdigest()
        if expected not in (None, digest):
            raise unexpected(expected, digest)
        self._blobs.held[digest] = data
        self._blobs.fresh.add(digest)
        return digest

    async def abort(self) -> None:
        self._data.clear()
