from __future__ import annotations

import pytest

from relevo.blobs.memory import MemoryBlobs
from relevo.domain.errors import InfrastructureError
from relevo.testing.contracts.blobs import BlobsContract, put


class TestMemory(BlobsContract):
    @pytest.fixture
    def blobs(self) -> MemoryBlobs:
        return MemoryBlobs()

    async def damage(self, blobs: MemoryBlobs, digest: str) -> None:
        blobs.held[digest] = b"wrong" + blobs.held[digest]


async def test_a_full_store_says_so() -> None:
    blobs = MemoryBlobs()
    blobs.full = True
    with pytest.raises(InfrastructureError):
        await put(blobs, b"x")
