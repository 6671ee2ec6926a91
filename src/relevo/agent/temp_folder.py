"""RUNNER_TEMP, with what the agent itself keeps there: command files, the event, scripts. All begin with `_`.

Making these takes a dozen slow system calls. So a folder that its attempt left as it was given is emptied of what was
written into it and serves the next one; the files of scripts serve other scripts (relevo.agent.spares).

Files are removed and made anew, or renamed, never cut to nothing: ext4 writes out a file that was cut and written again when
it is closed (`auto_da_alloc`), which holds the agent for milliseconds.
"""

from __future__ import annotations

import os
import stat
from typing import Final

from relevo.agent.command_files import CommandFiles
from relevo.agent.spares import Spares

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class TempFolder:
    """One for each attempt at a time. Raises OSError where the disk does."""

    __slots__ = ("_event", "_event_changed_ns", "_scripts", "_spares", "command_files", "event_path", "path")

    def __init__(self, path: str, spares: Spares) -> None:
        """`path`: an empty folder."""
        self.path = path
        self.command_files = CommandFiles(path)
        self.event_path = f"{path}/_event.json"
        self._event: bytes | None = None  # what the event's file holds
        self._event_changed_ns = 0
        self._scripts: set[str] = set()  # names
        self._spares = spares
        self.command_files.make()

    def write_event(self, event: bytes) -> None:
        """Write GITHUB_EVENT_PATH."""
        if event != self._event:
            self._event = b""  # it is there, and what it holds is not known, until all of it was written
            self._event_changed_ns = _write(self.event_path, event, 0o644)
            self._event = event

    def write_script(self, name: str, text: str) -> str:
        """Write the script of a step; returns its path. Raises ValueError for a text that is no text."""
        path = f"{self.path}/{name}"
        data = text.encode("utf-8", "surrogateescape")
        self._scripts.add(name)
        if self._spares.put_file(path, data):
            return path
        try:
            _write(path, data, 0o700)
        except FileNotFoundError:
            # the step before removed the folder
            os.makedirs(self.path, 0o700, exist_ok=True)
            _write(path, data, 0o700)
        return path

    def renew(self) -> bool:
        """Make it ready for the next attempt; False when it is not as it was given, and must be removed.

        No process of the attempt may be left.
        """
        try:
            if not self._is_ours():
                return False
            while self._scripts:  # they may hold secrets
                self._spares.keep_file(f"{self.path}/{self._scripts.pop()}")
        except OSError:
            return False
        return True

    def remove(self) -> None:
        """Remove it as far as it holds what the agent put there: quickly, for somebody waits for an agent that leaves."""
        names = [*map(os.path.basename, self.command_files.variables.values()), *self._scripts]
        if self._event is not None:
            names.append(os.path.basename(self.event_path))
        try:
            for name in names:
                os.unlink(f"{self.path}/{name}")
            os.rmdir(self.path)
        except OSError:
            pass  # somebody has changed it: it is set aside and removed like all else

    def _is_ours(self) -> bool:
        folder = os.lstat(self.path)
        if not stat.S_ISDIR(folder.st_mode) or stat.S_IMODE(folder.st_mode) != 0o700:
            return False
        paths = [
            *self.command_files.variables.values(),
            *([self.event_path] if self._event is not None else []),
        ]
        if set(os.listdir(self.path)) != {*map(os.path.basename, paths), *self._scripts}:
            return False
        for path in self.command_files.variables.values():
            file = os.lstat(path)
            if file.st_size or not _plain(file):
                return False
        return self._event is None or os.lstat(self.event_path).st_ctime_ns == self._event_changed_ns


def _plain(file: os.stat_result) -> bool:
    # a second name somewhere else would let the next attempt be read or written
    return stat.S_ISREG(file.st_mode) and file.st_nlink == 1 and file.st_mode & 0o600 == 0o600


def _write(path: str, data: bytes, mode: int) -> int:
    # returns when the file was changed, as the file system has it
    try:
        descriptor = os.open(path, _NEW, mode)
    except FileExistsError:
        os.unlink(path)
        descriptor = os.open(path, _NEW, mode)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        return os.fstat(descriptor).st_ctime_ns
    finally:
        os.close(descriptor)
