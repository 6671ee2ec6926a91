"""What attempts left as they were given, kept for those that follow: empty folders, and files that scripts were in.

To make and remove a file or a folder is what costs most of an attempt's folders, and more than its own time: a folder's block
goes back to the disk, some file systems search past all that was removed in the last minutes, and the agent is held
meanwhile. To rename one costs a tenth.
"""

from __future__ import annotations

import os
import stat
from typing import Final

#: So many of each are kept.
MOST: Final = 512
#: What was in a larger file is given back to the disk at once.
LARGEST_BYTES: Final = 64 << 10
_FILE_MODE: Final = 0o700


class Spares:
    """Of one agent, all on one thread. What is taken is renamed to where it is wanted; no process of an attempt may be left when it is kept."""

    __slots__ = ("_files", "_folder_mode", "_folders", "_next", "_owner", "_path")

    def __init__(self, path: str) -> None:
        """`path`: a folder on the file system of those that use them; made when it is needed."""
        self._path = path
        self._files: list[str] = []  # paths
        self._folders: list[str] = []
        self._folder_mode = -1  # of a new folder; -1 before `path` is there
        self._owner = (-1, -1)  # user and group of what is new here
        self._next = 0

    def forget(self) -> None:
        """Somebody else sees to what is there."""
        self._files.clear()
        self._folders.clear()
        self._folder_mode = -1

    def remove(self) -> None:
        """Remove all, as far as that is quick."""
        try:
            for path in self._files:
                os.unlink(path)
            for path in self._folders:
                os.rmdir(path)
            os.rmdir(self._path)
        except OSError:
            pass  # what is left is removed with the folder around it
        self.forget()

    def put_folder(self, path: str) -> bool:
        """Have an empty folder there; False when there is no spare, or something stands there. Raises FileNotFoundError when
        the folder around it is missing."""
        if not self._folders:
            return False
        spare = self._folders[-1]
        try:
            os.rename(spare, path)
        except FileNotFoundError:
            if os.path.lexists(spare):
                raise
            self.forget()  # a step removed them all
            return False
        except OSError:
            return False
        self._folders.pop()
        return True

    def keep_folder(self, path: str) -> bool:
        """Take a folder away and keep it; False when it is not as new, or not there: it stays as it is."""
        if len(self._folders) >= MOST:
            return False
        try:
            spare = self._name()
            status = os.lstat(path)
            if (
                not stat.S_ISDIR(status.st_mode)
                or stat.S_IMODE(status.st_mode) != self._folder_mode
                or (status.st_uid, status.st_gid) != self._owner
                or os.listdir(path)
                or any(not name.startswith("security.") for name in os.listxattr(path))  # an ACL is inherited
            ):
                return False
            os.rename(path, spare)
        except OSError:
            return False
        self._folders.append(spare)
        return True

    def put_file(self, path: str, data: bytes) -> bool:
        """Have a file there that holds `data` and that its owner may run, in the place of whatever file stands there; False
        when there is no spare, or that did not work."""
        if not self._files or not data:
            return False
        spare = self._files.pop()
        try:
            descriptor = os.open(spare, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
            finally:
                os.close(descriptor)
            os.rename(spare, path)
        except OSError:
            _unlink(spare)
            return False
        return True

    def keep_file(self, path: str) -> None:
        """Take a script away and keep its file, without what was in it; remove it when it is not as it was given. Raises OSError."""
        status = os.lstat(path)
        spare = self._name()
        if (
            len(self._files) >= MOST
            or not stat.S_ISREG(status.st_mode)
            or status.st_nlink != 1  # by another name the next script could be read or written
            or stat.S_IMODE(status.st_mode) != _FILE_MODE
            or (status.st_uid, status.st_gid) != self._owner
            or status.st_size > LARGEST_BYTES
        ):
            os.unlink(path)
            return
        # Not to nothing: ext4 writes out at once what is written into a file that was cut to nothing (`auto_da_alloc`). And before
        # it is among the spares: what was in it may be secret.
        os.truncate(path, 1)
        os.rename(path, spare)
        self._files.append(spare)

    def _name(self) -> str:
        if self._folder_mode < 0:
            os.makedirs(self._path, 0o755, exist_ok=True)
            status = os.lstat(self._path)
            self._folder_mode = stat.S_IMODE(status.st_mode)
            self._owner = status.st_uid, status.st_gid
        self._next += 1
        return f"{self._path}/{self._next}"


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # it is removed with the folder around it
