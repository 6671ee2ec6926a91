"""The folders of an attempt: a fresh, empty workspace, and a temporary folder beside it. Both go with the attempt."""

from __future__ import annotations

import os
from typing import Final

from msgspec import Struct

from relevo.domain.ids import AttemptKey

#: Temporary files of a job that left none of its own behind: command files, event, and a script for each step.
_FEW: Final = 64
_TRIES: Final = 10


class Places(Struct, frozen=True):
    """Where an agent's attempts live on its host; absolute paths."""

    work: str  #: workspaces: `<work>/<run>/<job>-<number>`
    temp: str  #: RUNNER_TEMP of each attempt and its command files
    tool_cache: str  #: RUNNER_TOOL_CACHE, shared by all attempts
    keep: bool = False  #: leave workspaces behind for whoever wants to look
    runner_name: str = "relevo"  #: RUNNER_NAME


class Folders:
    """The two folders of one attempt. Nothing is on disk before `make`."""

    __slots__ = ("_keep", "made", "of_run", "temp", "workspace")

    def __init__(self, places: Places, attempt: AttemptKey) -> None:
        self.of_run = f"{places.work}/{attempt.run}"  #: holds the workspaces of the run's attempts
        self.workspace = f"{self.of_run}/{attempt.job}-{attempt.number}"
        self.temp = f"{places.temp}/{attempt.run}-{attempt.job}-{attempt.number}"
        self.made = False
        self._keep = places.keep

    def make(self) -> None:
        """Make both, empty. Raises OSError."""
        if not self.made:
            self.made = True
            _make_empty(self.workspace)
            _make_empty(self.temp)

    def remove_quickly(self) -> bool:
        """Remove what takes a few system calls; whether nothing is left for `remove`."""
        if not self.made:
            return True
        if not self._keep and not _remove_empty(self.workspace):
            return False
        try:
            names = os.listdir(self.temp)
            if len(names) > _FEW:
                return False
            for name in names:
                os.unlink(f"{self.temp}/{name}")
            os.rmdir(self.temp)
        except FileNotFoundError:
            pass
        except OSError:
            return False
        self._remove_folder_of_run()
        return True

    def remove(self) -> None:
        """Remove both (only the temporary one with `keep`). Blocking: a workspace may hold a million files. Idempotent.

        Raises OSError when something could not be removed.
        """
        if not self.made:
            return
        remove_tree(self.temp)
        if not self._keep:
            remove_tree(self.workspace)
            self._remove_folder_of_run()

    def _remove_folder_of_run(self) -> None:
        try:
            os.rmdir(self.of_run)
        except OSError:
            pass  # other attempts of the run are there


def _make_empty(path: str) -> None:
    for _ in range(_TRIES):
        try:
            os.mkdir(path, 0o755)
            return
        except FileNotFoundError:
            # another attempt of the run may be removing the parent at this moment: then once more
            os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        except FileExistsError:
            # an agent died here before; its attempt is never run again under this number
            remove_tree(path)
    os.mkdir(path, 0o755)


def _remove_empty(path: str) -> bool:
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def remove_tree(path: str) -> None:
    """Remove a folder and all in it, folders without write permission too. Idempotent. Raises OSError."""
    import shutil

    try:
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
