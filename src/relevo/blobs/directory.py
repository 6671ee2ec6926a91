"""Blobs as files: `<first two digits>/<digest>`. Written in `unfinished/`, synced, then renamed: whole or not there."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Final, TypeVar

from blake3 import blake3

from relevo.blobs.contract import unexpected
from relevo.blobs.fresh import Fresh
from relevo.domain.errors import DamagedError, InfrastructureError
from relevo.runtime.failpoints import reach

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

#: A disk that hangs is to starve nobody else: these threads do nothing but blobs.
THREADS: Final = 4
#: Small writes are gathered up to here: a change of thread costs as much as writing some hundred KiB.
BUFFER_BYTES: Final = 1 << 18

_is_digest: Final = re.compile(r"[0-9a-f]{64}").fullmatch
T = TypeVar("T")


class DirectoryBlobs:
    """See `contract.BlobStore`. Nothing is made on disk before the first blob."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._writers = 0
        self._pool: ThreadPoolExecutor | None = None
        self.fresh = Fresh()

    async def create(self) -> DirectoryWriter:
        self._writers += 1
        first = self._writers == 1
        path = f"{self._root}/unfinished/{os.getpid()}-{self._writers}"
        fd = await self.in_thread(lambda: _create(path, sweep=first))
        return DirectoryWriter(self, self._root, path, fd)

    async def size(self, digest: str) -> int | None:
        try:
            path = self._path(digest)
            return (await self.in_thread(lambda: os.stat(path))).st_size
        except (FileNotFoundError, KeyError):
            return None

    async def read(self, digest: str, *, chunk_bytes: int = 1 << 20) -> AsyncGenerator[bytes, None]:
        path = self._path(digest)
        fd = await self.in_thread(lambda: _open(path, digest))
        hashed = blake3()

        def piece() -> bytes:
            found = os.read(fd, chunk_bytes)
            hashed.update(found)
            return found

        try:
            while found := await self.in_thread(piece):
                yield found
        finally:
            os.close(fd)
        if hashed.hexdigest() != digest:
            raise DamagedError("the blob's bytes are not those of its name", where=path)

    async def slice(self, digest: str, start: int, size: int) -> bytes:
        path = self._path(digest)
        return await self.in_thread(lambda: _slice(path, digest, start, size))

    async def delete(self, digest: str) -> None:
        try:
            path = self._path(digest)
            await self.in_thread(lambda: os.unlink(path))
        except (FileNotFoundError, KeyError):
            pass  # it is gone: what was asked for holds

    async def list(self) -> list[tuple[str, int]]:
        return await self.in_thread(lambda: _list(self._root))

    def close(self) -> None:
        """Let the threads go; what they do is done. Idempotent, and a later call starts them again."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)

    async def in_thread(self, call: Callable[[], T]) -> T:
        """A call that waits for the disk. Raises InfrastructureError for what the disk cannot do."""
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="relevo-blobs")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise InfrastructureError(f"blobs in {self._root}: {error.strerror}") from error

    def _path(self, digest: str) -> str:
        if not _is_digest(digest):
            raise KeyError(digest)  # it comes from outside, and could name a path elsewhere
        return f"{self._root}/{digest[:2]}/{digest}"


class DirectoryWriter:
    """See `contract.BlobWriter`."""

    def __init__(self, blobs: DirectoryBlobs, root: str, path: str, fd: int) -> None:
        self._blobs = blobs
        self._root = root
        self._path = path
        self._fd = fd
        self._hash = blake3()
        self._parts: list[bytes] = []
        self._buffered = 0

    async def write(self, data: bytes | memoryview) -> None:
        self._parts.append(bytes(data))
        self._buffered += len(data)
        if self._buffered >= BUFFER_BYTES:
            await self._blobs.in_thread(self._flush)

    async def commit(self, expected: str | None = None) -> str:
        try:
            digest = await self._blobs.in_thread(lambda: self._commit(expected))
            self._blobs.fresh.add(digest)
            return digest
        except BaseException:
            await self.abort()
            raise

    async def abort(self) -> None:
        if self._fd >= 0:
            await self._blobs.in_thread(self._discard)

    def __del__(self) -> None:
        self._discard()

    def _flush(self) -> None:
        parts, self._parts, self._buffered = self._parts, [], 0
        for part in parts:
            self._hash.update(part)
            rest = memoryview(part)
            while rest:
                rest = rest[os.write(self._fd, rest) :]

    def _commit(self, expected: str | None) -> str:
        self._flush()
        digest = self._hash.hexdigest()
        if expected not in (None, digest):
            raise unexpected(expected, digest)
        folder = f"{self._root}/{digest[:2]}"
        os.fsync(self._fd)
        reach("blobs.before-rename")
        new = not os.path.isdir(folder)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        # Also over one that is there: should its bytes have gone bad, they are good again now.
        os.replace(self._path, f"{folder}/{digest}")
        _sync_folder(folder)
        if new:
            _sync_folder(self._root)
        os.close(self._fd)
        self._fd = -1
        return digest

    def _discard(self) -> None:
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        os.close(fd)
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            pass  # its folder was removed with it


def _create(path: str, *, sweep: bool) -> int:
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if sweep:
        for name in os.listdir(folder):
            # What a process left that was killed while it wrote.
            if not os.path.exists(f"/proc/{name.partition('-')[0]}"):
                os.unlink(f"{folder}/{name}")
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)


def _open(path: str, digest: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise KeyError(digest) from None


def _slice(path: str, digest: str, start: int, size: int) -> bytes:
    fd = _open(path, digest)
    try:
        return os.pread(fd, size, start)
    finally:
        os.close(fd)


def _list(root: str) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    if not os.path.isdir(root):
        return found
    for folder in sorted(os.listdir(root)):
        if len(folder) == 2:
            with os.scandir(f"{root}/{folder}") as entries:
                found += sorted((entry.name, entry.stat().st_size) for entry in entries)
    return found


def _sync_folder(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
