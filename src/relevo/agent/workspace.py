"""The folders of an attempt: a fresh, empty workspace, and a temporary folder. Both go with the attempt."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Final

from relevo.agent.spares import Spares
from relevo.agent.temp_folder import TempFolder
from relevo.domain.ids import AttemptKey

_TRIES: Final = 10
_SPARES: Final = 64


class Places:
    """Where an agent's attempts live on its host. One for each agent; nobody else may use its folders."""

    __slots__ = ("_next", "_temps", "caches", "kept", "runner_name", "spares", "temp", "tool_cache", "work")

    def __init__(self, work: str, temp: str, tool_cache: str, runner_name: str = "relevo") -> None:
        """Absolute paths."""
        self.work = work  #: workspaces: `<work>/<run>/<job>-<number>`
        self.kept = f"{os.path.dirname(work)}/kept"  #: those that stay for somebody to look at, likewise
        self.caches = f"{os.path.dirname(work)}/caches"  #: what jobs cache (relevo.agent.caches)
        self.temp = temp  #: temporary folders of attempts
        self.tool_cache = tool_cache  #: RUNNER_TOOL_CACHE, shared by all attempts
        self.runner_name = runner_name  #: RUNNER_NAME
        self.spares = Spares(f"{temp}/spare")
        self._temps: list[TempFolder] = []  # that no attempt has
        self._next = 0

    def take_temp(self) -> TempFolder:
        """A temporary folder for an attempt. Raises OSError."""
        if self._temps:
            return self._temps.pop()
        self._next += 1
        path = f"{self.temp}/{self._next}"
        _make_empty(path, 0o700)
        return TempFolder(path, self.spares)

    def give_back_temp(self, folder: TempFolder) -> bool:
        """Keep it for the next attempt; False when it has to be removed instead."""
        if len(self._temps) >= _SPARES or not folder.renew():
            return False
        self._temps.append(folder)
        return True

    def set_aside(self) -> None:
        """Move out of the way what attempts left, but for kept workspaces: when the agent starts, before its provider
        recovers. Takes no time, however much it is. Raises OSError."""
        self._temps.clear()
        self.spares.forget()
        for path in (self.work, self.temp):
            try:
                os.rename(path, _free_name(f"{path}.old"))
            except FileNotFoundError:
                pass  # nothing was left

    def remove_set_aside(self) -> None:
        """Remove what was moved, now or by an earlier agent. Blocking. Raises OSError."""
        for path in (self.work, self.temp):
            folder, name = os.path.split(path)
            try:
                entries = os.listdir(folder)
            except FileNotFoundError:
                continue
            for entry in entries:
                if entry.startswith(f"{name}.old"):
                    remove_tree(f"{folder}/{entry}")

    def clear(self) -> None:
        """Remove all but kept workspaces, once the agent has ended its attempts. Blocking. Raises OSError."""
        for folder in self._temps:
            folder.remove()
        self.spares.remove()
        for path in (self.work, self.temp):
            _remove_empty(path)
        self.set_aside()
        self.remove_set_aside()


class Folders:
    """The two folders of one attempt. Nothing is on disk before `make`."""

    __slots__ = ("_keep", "_places", "_temp", "made", "of_run", "temp", "workspace")

    def __init__(self, places: Places, attempt: AttemptKey, keep: bool) -> None:
        """`keep`: leave the workspace behind."""
        root = places.kept if keep else places.work
        self.of_run = f"{root}/{attempt.run}"  #: holds the workspaces of the run's attempts
        self.workspace = f"{self.of_run}/{attempt.job}-{attempt.number}"
        self.temp = places.temp  #: RUNNER_TEMP, once it is made
        self.made = False
        self._keep = keep
        self._places = places
        self._temp: TempFolder | None = None

    @property
    def caches(self) -> str:
        """Where what jobs cache lies, shared with all attempts of the host."""
        return self._places.caches

    @property
    def event_path(self) -> str:
        """GITHUB_EVENT_PATH."""
        return self._temp.event_path if self._temp is not None else ""

    @property
    def command_files(self) -> Mapping[str, str]:
        """Variable → path, {} before they are made."""
        return self._temp.command_files.variables if self._temp is not None else {}

    def make(self) -> TempFolder:
        """Make both, empty but for the command files. Raises OSError. Idempotent."""
        if self._temp is None:
            self.made = True
            if self._keep or not self._from_spares():
                _make_empty(self.workspace, 0o755)
            self._temp = self._places.take_temp()
            self.temp = self._temp.path
        return self._temp

    def remove_quickly(self) -> bool:
        """Remove what takes a few system calls; whether nothing is left for `remove`."""
        if not self.made:
            return True
        if self._temp is not None and self._places.give_back_temp(self._temp):
            self._temp = None
        keep = self._places.spares.keep_folder
        if not (self._keep or keep(self.workspace) or _remove_empty(self.workspace)):
            return False
        if self._keep or not keep(self.of_run):
            self._remove_folder_of_run()
        return self._temp is None

    def remove(self) -> None:
        """Remove both (only the temporary one with `keep`). Blocking: a workspace may hold a million files. Idempotent.

        Raises OSError when something could not be removed.
        """
        if self._temp is not None:
            remove_tree(self._temp.path)
            self._temp = None
        if self.made and not self._keep:
            remove_tree(self.workspace)
            self._remove_folder_of_run()

    def _from_spares(self) -> bool:
        put = self._places.spares.put_folder
        try:
            return put(self.workspace)
        except FileNotFoundError:
            pass  # it is the first of its run
        try:
            return put(self.of_run) and put(self.workspace)
        except FileNotFoundError:
            return False

    def _remove_folder_of_run(self) -> None:
        try:
            os.rmdir(self.of_run)
        except OSError:
            pass  # other attempts of the run are there


def _make_empty(path: str, mode: int) -> None:
    for _ in range(_TRIES):
        try:
            os.mkdir(path, mode)
            return
        except FileNotFoundError:
            # another attempt of the run may be removing the parent at this moment: then once more
            os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        except FileExistsError:
            # an agent died here before; its attempt is never run again under this number
            remove_tree(path)
    os.mkdir(path, mode)


def _free_name(stem: str) -> str:
    number = 0
    while os.path.lexists(f"{stem}{number}"):
        number += 1
    return f"{stem}{number}"


def _remove_empty(path: str) -> bool:
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def remove_tree(path: str) -> None:
    """Remove a folder and all in it, folders without write permission too; a link or file in its place, and nothing that a
    link leads to. Idempotent. Raises OSError."""
    import shutil

    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)
            return
        shutil.rmtree(path)
    except FileNotFoundError:
        if not os.path.lexists(path):
            return
    except OSError:
        pass  # a folder that may not be changed, or something still writes: the second, thorough try tells
    for folder, _, _ in os.walk(path):
        os.chmod(folder, 0o700)
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        if os.path.lexists(path):
            raise
