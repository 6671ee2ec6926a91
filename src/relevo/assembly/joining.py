"""Snapshots that arrive in parts: one that was uploaded earlier, and what has come since.

A pack is a head with the number of its objects, the objects one after another, and a checksum; who names another object does it
by its id, or by the distance to it within the same part. So packs that have no object in common are joined by laying their
objects one behind the other. The result is a snapshot like any other: whoever reads it knows nothing of parts.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from relevo.domain.errors import UserError
from relevo.orchestrator.api import PartsMissing
from relevo.protocol.snapshot import (
    HEADER_LIMIT_BYTES,
    MAGIC,
    SnapshotHeader,
    SnapshotInvalid,
    decode_header,
    encode_header,
)
from relevo.protocol.source import PARTS_LIMIT

if TYPE_CHECKING:
    from relevo.blobs.contract import BlobStore

#: What stands before the objects of a pack: `PACK`, the version, the number of objects.
_HEAD_BYTES: Final = 12
_HASHES: Final = {"sha1": 20, "sha256": 32}
_READ_BYTES: Final = 1 << 16


class Joined(Struct, frozen=True):
    """A snapshot in the blob store."""

    digest: str
    commit: str


class _Part(Struct, frozen=True):
    digest: str
    header: SnapshotHeader
    start: int  #: of the pack in the blob
    size: int  #: of the blob, bytes
    objects: int

    @property
    def hash_bytes(self) -> int:
        return _HASHES[self.header.object_format]


async def join(digests: Sequence[str], blobs: BlobStore) -> Joined:
    """The snapshot that these parts make up. Raises PartsMissing, and UserError for blobs that are no parts of one."""
    if not 1 <= len(digests) <= PARTS_LIMIT:
        raise UserError(f"a snapshot has 1 to {PARTS_LIMIT} parts, not {len(digests)}")
    for digest in digests:
        blobs.fresh.add(digest)  # none of them is garbage before the run names what is made of it
    if missing := [digest for digest in digests if await blobs.size(digest) is None]:
        raise PartsMissing(missing)
    try:
        parts = [await _part(digest, blobs) for digest in digests]
    except SnapshotInvalid as error:
        raise UserError(f"the source's snapshot cannot be used: {error}") from None
    header = parts[-1].header
    if len(parts) == 1:
        return Joined(parts[0].digest, header.commit)
    if len({part.header.object_format for part in parts}) > 1:
        raise UserError("the parts of the snapshot are of repositories with different kinds of ids")
    if sum(part.objects for part in parts) >= 1 << 32:
        raise UserError("the parts of the snapshot have more objects than a pack may hold")
    writer = await blobs.create()
    try:
        await writer.write(encode_header(header))
        async for piece in _pack(parts, blobs):
            await writer.write(piece)
    except BaseException:
        await asyncio.shield(writer.abort())
        raise
    return Joined(await writer.commit(), header.commit)


async def _part(digest: str, blobs: BlobStore) -> _Part:
    size = await blobs.size(digest) or 0
    start = await blobs.slice(digest, 0, _READ_BYTES)
    if not start.startswith(MAGIC):
        raise SnapshotInvalid(f"{digest} is no snapshot")
    while (end := start.find(b"\n", len(MAGIC))) < 0:
        more = await blobs.slice(digest, len(start), 1 << 20)
        if not more or len(start) > HEADER_LIMIT_BYTES:
            raise SnapshotInvalid(f"the header of {digest} has no end")
        start += more
    header = decode_header(start[len(MAGIC) : end])
    if header.object_format not in _HASHES:
        raise SnapshotInvalid(f"{digest} has ids of an unknown kind: {header.object_format}")
    head = await blobs.slice(digest, end + 1, _HEAD_BYTES)
    if head[:8] != b"PACK\0\0\0\2" or size < end + 1 + _HEAD_BYTES + _HASHES[header.object_format]:
        raise SnapshotInvalid(f"{digest} holds no pack")
    return _Part(digest, header, end + 1, size, int.from_bytes(head[8:], "big"))


async def _pack(parts: Sequence[_Part], blobs: BlobStore) -> AsyncIterator[bytes | memoryview]:
    checksum = hashlib.new(parts[0].header.object_format, usedforsecurity=False)
    head = b"PACK\0\0\0\2" + sum(part.objects for part in parts).to_bytes(4, "big")
    checksum.update(head)
    yield head
    for part in parts:
        skip, left = part.start + _HEAD_BYTES, part.size - part.hash_bytes
        async for piece in blobs.read(part.digest):
            kept = memoryview(piece)[skip:left]
            skip, left = max(0, skip - len(piece)), max(0, left - len(piece))
            checksum.update(kept)
            yield kept
    yield checksum.digest()
