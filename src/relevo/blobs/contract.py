"""What every blob store promises. `relevo.testing.contracts.blobs` holds the tests of it.

A blob is named by the BLAKE3 of its bytes (hex). A blob is there whole or not at all; reading checks the hash at
the end and raises DamagedError.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from relevo.blobs.fresh import Fresh
from relevo.domain.errors import DamagedError


class BlobWriter(Protocol):
    """A blob being written. `commit` or `abort` must be called, once; a writer that is dropped is aborted."""

    async def write(self, data: bytes | memoryview) -> None:
        """Append bytes. Raises StoreUnavailable-like InfrastructureError when there is no room."""

    async def commit(self, expected: str | None = None) -> str:
        """Make it durable (fsync, atomic rename); returns its hash. Writing the same bytes twice is one blob.

        Raises DamagedError when the hash is not the `expected` one; nothing was put then.
        """

    async def abort(self) -> None:
        """Forget it. Idempotent."""


class BlobStore(Protocol):
    """Content-addressed storage."""

    @property
    def fresh(self) -> Fresh:
        """What was committed through this store object not long ago: somebody may be about to name it, so that it is no garbage yet."""

    async def create(self) -> BlobWriter:
        """Begin a blob."""

    async def size(self, digest: str) -> int | None:
        """Size in bytes, None when it is not there."""

    def read(self, digest: str, *, chunk_bytes: int = 1 << 20) -> AsyncIterator[bytes]:
        """Its bytes. Raises KeyError when it is not there, DamagedError when the hash is off."""

    async def slice(self, digest: str, start: int, size: int) -> bytes:
        """At most `size` bytes from an offset, b"" past the end. The hash is not checked. Raises KeyError when it is not there."""

    async def delete(self, digest: str) -> None:
        """Remove it. Idempotent."""

    async def list(self) -> list[tuple[str, int]]:
        """(digest, size in bytes) of every blob."""


def unexpected(expected: str | None, digest: str) -> DamagedError:
    """What was written is not what was meant."""
    return DamagedError(f"these bytes are not those of {expected}", where=digest)
