"""Blobs as files: `<first two digits>/<digest>`. Written beside, synced, then renamed: whole or not there."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from blake3 import blake3

from relevo.domain.errors import DamagedError, InfrastructureError
from relevo.runtime.failpoints import reach


class DirectoryBlobs:
    """See `contract.BlobStore`. Nothing is made on disk before the first blob."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._writers = 0

    def _path(self, digest: str) -> str:
        if not digest.isalnum():
            raise KeyError(digest)
        return f"{self._root}/{digest[:2]}/{digest}"

    async def create(self) -> DirectoryWriter:
        self._writers += 1
        temporary = f"{self._root}/unfinished/{os.getpid()}-{self._writers}"
        return await asyncio.to_thread(DirectoryWriter, self._root, temporary)

    async def size(self, digest: str) -> int | None:
        try:
            return os.stat(self._path(digest)).st_size
        except (FileNotFoundError, KeyError):
            return None

    async def read(self, digest: str, *, chunk_bytes: int = 1 << 20) -> AsyncIterator[bytes]:
        path = self._path(digest)
        try:
            file = await asyncio.to_thread(open, path, "rb")
        except FileNotFoundError:
            raise KeyError(digest) from None
        hashed = blake3()
        try:
            while chunk := await asyncio.to_thread(file.read, chunk_bytes):
                hashed.update(chunk)
                yield chunk
        finally:
            file.close()
        if hashed.hexdigest() != digest:
            raise DamagedError("the blob's bytes are not those of its name", where=path)

    async def slice(self, digest: str, start: int, size: int) -> bytes:
        try:
            return await asyncio.to_thread(_slice, self._path(digest), start, size)
        except FileNotFoundError:
            raise KeyError(digest) from None

    async def delete(self, digest: str) -> None:
        try:
            os.unlink(self._path(digest))
        except FileNotFoundError:
            pass  # it is gone: what was asked for holds

    async def list(self) -> list[tuple[str, int]]:
        return await asyncio.to_thread(_list, self._root)


class DirectoryWriter:
    """See `contract.BlobWriter`."""

    def __init__(self, root: str, temporary: str) -> None:
        self._root = root
        self._temporary = temporary
        self._hash = blake3()
        os.makedirs(os.path.dirname(temporary), mode=0o700, exist_ok=True)
        self._fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    async def write(self, data: bytes | memoryview) -> None:
        await asyncio.to_thread(self._write, data)

    def _write(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            raise InfrastructureError(f"a blob cannot be written: {error.strerror}") from error

    async def commit(self) -> str:
        return await asyncio.to_thread(self._commit)

    def _commit(self) -> str:
        digest = self._hash.hexdigest()
        folder = f"{self._root}/{digest[:2]}"
        try:
            os.fsync(self._fd)
            reach("blobs.before-rename")
            os.makedirs(folder, mode=0o700, exist_ok=True)
            os.replace(self._temporary, f"{folder}/{digest}")
            entry = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(entry)
            finally:
                os.close(entry)
        except OSError as error:
            raise InfrastructureError(f"a blob cannot be kept: {error.strerror}") from error
        finally:
            self._close()
        return digest

    async def abort(self) -> None:
        self._close()
        try:
            os.unlink(self._temporary)
        except FileNotFoundError:
            pass  # it was committed, or aborted before

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _slice(path: str, start: int, size: int) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(fd, size, start)
    finally:
        os.close(fd)


def _list(root: str) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    if not os.path.isdir(root):
        return found
    for folder in sorted(os.listdir(root)):
        if len(folder) != 2:
            continue
        found += [(entry.name, entry.stat().st_size) for entry in os.scandir(f"{root}/{folder}")]
    return found
