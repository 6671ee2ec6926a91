"""The folders of an attempt: a fresh, empty workspace, and a temporary folder beside it. Both go with the attempt."""

from __future__ import annotations

import os

from msgspec import Struct

from relevo.domain.ids import AttemptKey


class Places(Struct, frozen=True):
    """Where an agent's attempts live on its host; absolute paths."""

    work: str  #: workspaces: `<work>/<run>/<job>-<number>`
    temp: str  #: RUNNER_TEMP of each attempt and its command files
    tool_cache: str  #: RUNNER_TOOL_CACHE, shared by all attempts
    keep: bool = False  #: leave workspaces behind for whoever wants to look
    runner_name: str = "relevo"  #: RUNNER_NAME


class Folders:
    """The two folders of one attempt. Nothing is on disk before `make`."""

    __slots__ = ("_keep", "made", "temp", "workspace")

    def __init__(self, places: Places, attempt: AttemptKey) -> None:
        self.workspace = f"{places.work}/{attempt.run}/{attempt.job}-{attempt.number}"
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
        """Remove what can be removed without a walk; whether nothing is left that `remove` has to do."""
        if not self.made:
            return True
        if self._keep:
            return False
        return _remove_empty(self.workspace) and _remove_empty(self.temp)

    def remove(self) -> None:
        """Remove both (only the temporary one with `keep`). Blocking: a workspace may hold a million files. Idempotent.

        Raises OSError when something could not be removed.
        """
        if not self.made:
            return
        remove_tree(self.temp)
        if not self._keep:
            remove_tree(self.workspace)
            try:
                os.rmdir(os.path.dirname(self.workspace))
            except OSError:
                pass  # other attempts of the run are there


def _make_empty(path: str) -> None:
    try:
        os.mkdir(path, 0o755)
    except FileNotFoundError:
        os.makedirs(path, 0o755, exist_ok=True)
    except FileExistsError:
        # an agent died here before; its attempt is never run again under this number
        remove_tree(path)
        os.makedirs(path, 0o755)


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
