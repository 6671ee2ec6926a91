"""A disk in memory that can lose power, fill up, rot, and refuse: a `runtime.disk.Disk` for tests and simulation.

Each file has what processes see (the page cache) and what would survive the loss of power. `kill` ends the process: open
files become unusable, the page cache stays. `crash` ends the machine: what was not synced is lost, torn or kept, by the seed.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from relevo.runtime.disk import AppendFile
from relevo.runtime.entropy import Entropy

PAGE: Final = 4096


class Killed(SystemExit):
    """The process ends here: raised out of the write at which `kill_at_write` strikes, and through any event loop."""


class _File:
    def __init__(self) -> None:
        self.data = bytearray()
        self.durable = b""
        self.named = False  #: its name survives the loss of power
        self.given_up = False  #: a sync failed: the pages count as clean, no later sync writes them


class SimDisk:
    """A tree of files in memory. Deterministic."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._removed: dict[str, _File] = {}  #: back when the power goes too soon
        self._folders: dict[str, bool] = {"/": True}  #: with: the name survives the loss of power
        self._room: int | None = None
        self._ragged = False
        self._writes_to_kill: int | None = None
        self._kill_entropy: Entropy | None = None
        self._syncs_to_fail: list[str] = []
        self.life = 0  #: processes so far; files opened in an earlier one are unusable
        self.syncs = 0  #: of files, since the beginning
        self.open_files = 0

    # --- what a process does

    def append(self, path: str, *, durable: bool = True) -> AppendFile:
        file = self._files.get(path)
        if file is None:
            self._need_folder(path)
            self._need_room(path, 0)
            file = self._files[path] = _File()
            self._removed.pop(path, None)
            if durable:
                self._names_durable(os.path.dirname(path))
        return _SimAppendFile(self, path, file)

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        data = self._file(path).data
        return bytes(data[start:] if size is None else data[start : start + size])

    def size(self, path: str) -> int:
        return len(self._file(path).data)

    def replace(self, path: str, data: bytes) -> None:
        self._need_folder(path)
        self._need_room(path, len(data))
        file = _File()
        file.data = bytearray(data)
        file.durable = data
        self._files[path] = file
        self._names_durable(os.path.dirname(path))

    def rename(self, source: str, target: str) -> None:
        self._need_folder(target)
        file = self._file(source)
        del self._files[source]
        self._files[target] = file
        self._names_durable(os.path.dirname(target))

    def remove(self, path: str) -> None:
        file = self._files.pop(path, None)
        if file is not None and file.named:
            self._removed[path] = file

    def remove_tree(self, path: str) -> None:
        below = path + "/"
        for name in [name for name in self._files if name.startswith(below)]:
            del self._files[name]
        for name in [name for name in self._folders if name == path or name.startswith(below)]:
            del self._folders[name]

    def list(self, path: str) -> list[str]:
        below = path.rstrip("/") + "/"
        names = {
            name[len(below) :].split("/")[0]
            for name in (*self._files, *self._folders)
            if name.startswith(below)
        }
        return sorted(names - {""})

    def make(self, path: str) -> None:
        folder = path.rstrip("/")
        if folder and folder not in self._folders:
            self.make(os.path.dirname(folder))
            self._need_room(folder, 0)
            self._folders[folder] = False

    def sync_folder(self, path: str) -> None:
        folder = path.rstrip("/") or "/"
        if folder not in self._folders:
            raise FileNotFoundError(errno.ENOENT, "no such folder", path)
        for name in self._folders:
            if os.path.dirname(name) == folder:
                self._folders[name] = True
        self._names_durable(folder)

    def _names_durable(self, folder: str) -> None:
        for name, file in self._files.items():
            if os.path.dirname(name) == folder:
                file.named = True
        for name in [name for name in self._removed if os.path.dirname(name) == folder]:
            del self._removed[name]

    # --- what befalls it

    def kill(self) -> None:
        """The process ends. What it wrote stays, synced or not."""
        self.life += 1
        self.open_files = 0
        self._writes_to_kill = None

    def kill_at_write(self, nth: int, entropy: Entropy) -> None:
        """The nth write from now puts down only a part of its bytes, by the seed, and raises Killed. Call `kill` then."""
        self._writes_to_kill = nth
        self._kill_entropy = entropy

    def crash(self, entropy: Entropy) -> None:
        """The power goes. Unsynced names are gone or not, unsynced removals hold or not; of unsynced bytes a prefix stays, in which pages may be zero."""
        self.kill()
        for name in sorted(self._folders):
            if name not in self._folders:
                continue  # it went with its parent
            if not self._folders[name] and entropy.uniform() < 0.5:
                self.remove_tree(name)
            else:
                self._folders[name] = True
        for name in sorted(self._files):
            file = self._files[name]
            if not file.named and entropy.uniform() < 0.5:
                del self._files[name]
                continue
            file.named = True
            file.data = bytearray(_torn(bytes(file.data), file.durable, entropy))
            file.durable = bytes(file.data)
            file.given_up = False  # what the kernel took for clean is gone with its memory
        removed, self._removed = self._removed, {}
        for name in sorted(removed):
            if name not in self._files and os.path.dirname(name) in self._folders and entropy.uniform() < 0.5:
                file = self._files[name] = removed[name]
                file.data = bytearray(file.durable)
                file.given_up = False

    def fill(self, room: int = 0, *, ragged: bool = False) -> None:
        """The disk is full but for so many bytes. `ragged`: a write that fails leaves a part of its bytes behind."""
        self._room = room
        self._ragged = ragged

    def free(self) -> None:
        """There is room again."""
        self._room = None

    def fail_sync(self, part_of_path: str) -> None:
        """The next sync of a file with this in its path raises EIO, and its pages count as clean: only writing anew helps."""
        self._syncs_to_fail.append(part_of_path)

    def flip(self, path: str, position: int, mask: int = 1) -> None:
        """Bits of a byte change, in the cache and on the medium."""
        file = self._file(path)
        file.data[position] ^= mask
        file.durable = bytes(file.data[: len(file.durable)])

    def cut(self, path: str, size: int) -> None:
        """The file loses all beyond `size`."""
        file = self._file(path)
        del file.data[size:]
        file.durable = file.durable[:size]

    # --- for _SimAppendFile

    def written(self, path: str, file: _File, data: bytes) -> None:
        """Append to a file."""
        if self._writes_to_kill is not None:
            self._writes_to_kill -= 1
            if self._writes_to_kill <= 0:
                assert self._kill_entropy is not None
                file.data += data[: int(self._kill_entropy.uniform() * (len(data) + 1))]
                raise Killed(path)
        if self._ragged and self._room is not None and len(data) > self._room:
            file.data += data[: self._room]
        self._need_room(path, len(data))
        file.data += data

    def synced(self, path: str, file: _File) -> None:
        """Make what was written durable."""
        self.syncs += 1
        for part in self._syncs_to_fail:
            if part in path:
                self._syncs_to_fail.remove(part)
                file.given_up = len(file.data) > 0
                raise OSError(errno.EIO, "Input/output error", path)
        if not file.given_up:
            file.durable = bytes(file.data)

    def _file(self, path: str) -> _File:
        file = self._files.get(path)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        return file

    def _need_folder(self, path: str) -> None:
        folder = os.path.dirname(path).rstrip("/")
        if folder and folder not in self._folders:
            raise FileNotFoundError(errno.ENOENT, "no such folder", path)

    def _need_room(self, path: str, size: int) -> None:
        if self._room is None:
            return
        if size > self._room or self._room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device", path)
        self._room -= size


class _SimAppendFile:
    """An AppendFile of a SimDisk, usable in the life it was opened in."""

    def __init__(self, disk: SimDisk, path: str, file: _File) -> None:
        self._disk = disk
        self._path = path
        self._file = file
        self._life = disk.life
        self._closed = False
        disk.open_files += 1

    @property
    def size(self) -> int:
        return len(self._file.data)

    def write(self, data: bytes | memoryview) -> None:
        self._check()
        self._disk.written(self._path, self._file, bytes(data))

    def writev(self, parts: list[bytes | memoryview]) -> None:
        self.write(b"".join(parts))

    def sync(self) -> None:
        self._check()
        self._disk.synced(self._path, self._file)

    def truncate(self, size: int) -> None:
        self._check()
        del self._file.data[size:]
        self._file.durable = self._file.durable[:size]
        if not size:
            self._file.given_up = False  # no page is left that could be taken for clean

    def close(self) -> None:
        if not self._closed and self._life == self._disk.life:
            self._disk.open_files -= 1
        self._closed = True

    def _check(self) -> None:
        if self._closed or self._life != self._disk.life:
            raise OSError(errno.EBADF, "used after it was closed, or by a process that is dead", self._path)


def _torn(data: bytes, durable: bytes, entropy: Entropy) -> bytes:
    """What the loss of power leaves of a file: all that was durable, and of the rest a prefix with holes of whole pages."""
    loose = len(data) - len(durable)
    if loose <= 0:
        return data
    kept = bytearray(data[: len(durable) + int(entropy.uniform() * (loose + 1))])
    if entropy.uniform() < 0.3:
        for page in range(len(durable) // PAGE, len(kept) // PAGE + 1):
            if entropy.uniform() < 0.3:
                start, stop = max(page * PAGE, len(durable)), min((page + 1) * PAGE, len(kept))
                kept[start:stop] = bytes(max(stop - start, 0))
    return bytes(kept)
