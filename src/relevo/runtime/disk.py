"""Files that must survive, behind a port: logs and the spool write through it, so that tests can tear, fill and cut it.

Only what durability depends on stands here. OSError is raised as the kernel gives it (ENOSPC, EIO, EROFS).
"""

from __future__ import annotations

import errno
import os
from typing import Protocol


def lacks_room(error: BaseException) -> bool:
    """Whether the disk, or the user's share of it, was full: that passes, and whoever can wait had better wait."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


class AppendFile(Protocol):
    """A file that only grows. Not buffered: `write` reaches the kernel before it returns."""

    @property
    def size(self) -> int:
        """Bytes written so far, those found at opening included."""

    def write(self, data: bytes | memoryview) -> None:
        """Append all of it. On OSError the file is cut back to what it was, or `broken` is true."""

    def writev(self, parts: list[bytes | memoryview]) -> None:
        """Append all parts, in one call where the kernel can."""

    def sync(self) -> None:
        """fdatasync: what was written survives the loss of power. Blocking; may be called from another thread."""

    def truncate(self, size: int) -> None:
        """Cut it to `size` bytes."""

    def close(self) -> None:
        """Close without syncing. Idempotent."""


class Disk(Protocol):
    """A tree of files."""

    def append(self, path: str, *, durable: bool = True) -> AppendFile:
        """Open for appending, made if absent (0600), the folder's entry made durable.

        Not `durable`: the entry of a new file is left to a later `sync_folder`, so that an event loop need not wait for it.
        """

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        """Bytes of a file. Raises FileNotFoundError."""

    def size(self, path: str) -> int:
        """Size in bytes. Raises FileNotFoundError."""

    def replace(self, path: str, data: bytes) -> None:
        """Write a small file whole: temporary file, fsync, rename, fsync of the folder."""

    def rename(self, source: str, target: str) -> None:
        """Give a file another name in the same folder, atomically and durably."""

    def remove(self, path: str) -> None:
        """Remove a file. Idempotent."""

    def remove_tree(self, path: str) -> None:
        """Remove a folder and all in it. Idempotent."""

    def list(self, path: str) -> list[str]:
        """Names in a folder, sorted; [] when there is no such folder."""

    def make(self, path: str) -> None:
        """Make a folder and its parents (0700). Idempotent."""

    def sync_folder(self, path: str) -> None:
        """fsync of a folder: the names in it survive the loss of power. Blocking; may be called from another thread."""


class OsAppendFile:
    """An AppendFile on a descriptor."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._fd).st_size

    @property
    def size(self) -> int:
        return self._size

    def write(self, data: bytes | memoryview) -> None:
        self.writev([data])

    def writev(self, parts: list[bytes | memoryview]) -> None:
        total = sum(len(part) for part in parts)
        try:
            written = os.writev(self._fd, parts[:1024]) if total else 0
            if written < total:
                self._write_rest(b"".join(parts)[written:])
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += total

    def _write_rest(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)
        self._size = size

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class OsDisk:
    """The machine's own file system."""

    def append(self, path: str, *, durable: bool = True) -> AppendFile:
        existed = not durable or os.path.exists(path)
        file = OsAppendFile(path)
        if not existed:
            _sync_folder(os.path.dirname(path))
        return file

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        with open(path, "rb") as file:
            file.seek(start)
            return file.read() if size is None else file.read(size)

    def size(self, path: str) -> int:
        return os.stat(path).st_size

    def replace(self, path: str, data: bytes) -> None:
        temporary = f"{path}.{os.getpid()}.tmp"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(fd, rest) :]
                os.fsync(fd)
            finally:
                os.close(fd)
            os.replace(temporary, path)
        except OSError:
            self.remove(temporary)
            raise
        _sync_folder(os.path.dirname(path))

    def rename(self, source: str, target: str) -> None:
        os.replace(source, target)
        _sync_folder(os.path.dirname(target))

    def remove(self, path: str) -> None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass  # somebody was here before: what was asked for holds

    def remove_tree(self, path: str) -> None:
        import shutil

        shutil.rmtree(path, ignore_errors=True)
        if os.path.lexists(path):
            _remove_stubborn(path)

    def list(self, path: str) -> list[str]:
        try:
            return sorted(os.listdir(path))
        except FileNotFoundError:
            return []

    def make(self, path: str) -> None:
        os.makedirs(path, mode=0o700, exist_ok=True)

    def sync_folder(self, path: str) -> None:
        _sync_folder(path)


def _sync_folder(path: str) -> None:
    fd = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove_stubborn(path: str) -> None:
    """Steps leave folders without write permission behind (Go's module cache does): give it back, then remove."""
    import shutil

    for folder, _, _ in os.walk(path):
        os.chmod(folder, 0o700)
    shutil.rmtree(path)
