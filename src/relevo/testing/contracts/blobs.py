"""The promises of `relevo.blobs.contract`.

class TestMine(BlobsContract):
    @pytest.fixture
    def blobs(self) -> BlobStore: ...
    async def damage(self, blobs, digest) -> None: ...
"""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from blake3 import blake3

from relevo.blobs.contract import BlobStore
from relevo.domain.errors import DamagedError


async def put(blobs: BlobStore, *parts: bytes) -> str:
    """Write a blob; its hash."""
    writer = await blobs.create()
    for part in parts:
        await writer.write(part)
    return await writer.commit()


async def get(blobs: BlobStore, digest: str, *, chunk_bytes: int = 1 << 20) -> bytes:
    """The whole of a blob."""
    return b"".join([piece async for piece in blobs.read(digest, chunk_bytes=chunk_bytes)])


class BlobsContract:
    """Subclass it, with a fixture `blobs`."""

    async def damage(self, blobs: Any, digest: str) -> None:
        """Spoil a stored byte."""
        raise NotImplementedError

    @pytest.mark.parametrize("size", [0, 1, 300_000, 3_000_000])
    async def test_a_blob_is_read_back_under_its_hash(self, blobs: BlobStore, size: int) -> None:
        data = bytes(range(251)) * (size // 251 + 1)
        data = data[:size]
        digest = await put(blobs, data[: size // 3], memoryview(data)[size // 3 :])  # type: ignore[arg-type]
        assert digest == blake3(data).hexdigest()
        assert await blobs.size(digest) == size
        assert await get(blobs, digest) == data
        assert await get(blobs, digest, chunk_bytes=100_000) == data
        assert await blobs.list() == [(digest, size)]

    async def test_equal_bytes_are_one_blob(self, blobs: BlobStore) -> None:
        digests = await asyncio.gather(*(put(blobs, b"same", b"bytes") for _ in range(5)))
        assert len(set(digests)) == 1
        assert await blobs.list() == [(digests[0], 9)]

    async def test_what_is_not_there_is_told(self, blobs: BlobStore) -> None:
        nobody = "0" * 64
        assert await blobs.size(nobody) is None
        with pytest.raises(KeyError):
            await get(blobs, nobody)
        with pytest.raises(KeyError):
            await blobs.slice(nobody, 0, 1)
        await blobs.delete(nobody)
        assert await blobs.list() == []

    @pytest.mark.parametrize(
        "name", ["", "..", "../../etc/passwd", "a" * 63, "A" * 64, "a" * 63 + "\n", "00/" + "a" * 61]
    )
    async def test_a_name_that_is_no_hash_names_nothing(self, blobs: BlobStore, name: str) -> None:
        digest = await put(blobs, b"somebody's")
        assert await blobs.size(name) is None
        with pytest.raises(KeyError):
            await get(blobs, name)
        with pytest.raises(KeyError):
            await blobs.slice(name, 0, 1)
        await blobs.delete(name)
        assert await get(blobs, digest) == b"somebody's"

    async def test_slices(self, blobs: BlobStore) -> None:
        digest = await put(blobs, b"0123456789")
        assert await blobs.slice(digest, 0, 4) == b"0123"
        assert await blobs.slice(digest, 8, 4) == b"89"
        assert await blobs.slice(digest, 10, 4) == b""
        assert await blobs.slice(digest, 99, 4) == b""

    async def test_nothing_is_there_before_the_commit_nor_after_an_abort(self, blobs: BlobStore) -> None:
        writer = await blobs.create()
        await writer.write(b"x" * 1_000_000)
        assert await blobs.list() == []
        await writer.abort()
        await writer.abort()
        assert await blobs.list() == []

    async def test_a_writer_that_is_dropped_is_aborted(self, blobs: BlobStore) -> None:
        writer = await blobs.create()
        await writer.write(b"x" * 1_000_000)
        del writer
        gc.collect()
        assert await blobs.list() == []

    async def test_bytes_that_are_not_the_expected_ones_are_not_put(self, blobs: BlobStore) -> None:
        digest = blake3(b"right").hexdigest()
        wrong, right = await blobs.create(), await blobs.create()
        await wrong.write(b"wrong")
        with pytest.raises(DamagedError):
            await wrong.commit(digest)
        assert await blobs.list() == []
        await right.write(b"right")
        assert await right.commit(digest) == digest
        assert await blobs.list() == [(digest, 5)]
        assert digest in blobs.fresh

    async def test_writers_do_not_mix(self, blobs: BlobStore) -> None:
        writers = [await blobs.create() for _ in range(4)]
        for _ in range(3):
            await asyncio.gather(*(writer.write(b"%d" % n * 200_000) for n, writer in enumerate(writers)))
        digests = [await writer.commit() for writer in writers]
        for n, digest in enumerate(digests):
            assert await get(blobs, digest) == b"%d" % n * 600_000

    async def test_a_removed_blob_is_gone(self, blobs: BlobStore) -> None:
        digest, other = await put(blobs, b"one"), await put(blobs, b"two")
        await blobs.delete(digest)
        await blobs.delete(digest)
        assert await blobs.size(digest) is None
        assert await blobs.list() == [(other, 3)]

    async def test_damage_is_found_at_the_end_and_mended_by_the_same_bytes(self, blobs: BlobStore) -> None:
        digest, other = await put(blobs, b"sound bytes"), await put(blobs, b"others")
        await self.damage(blobs, digest)
        with pytest.raises(DamagedError):
            await get(blobs, digest)
        assert await get(blobs, other) == b"others"
        assert await put(blobs, b"sound bytes") == digest
        assert await get(blobs, digest) == b"sound bytes"
