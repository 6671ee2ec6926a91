"""Whose the logs of a home are: the engine's that claimed them last.

An engine that was stopped and taken over goes on one day, with open descriptors and bytes that wait in its sockets. What it
appends then stands behind its successor's frames, or before the next one of them. So who writes looks whether the file is as long
as it left it. If it is not, the owner cuts off what the other wrote, and the other sees that it is the owner no more.
"""

from __future__ import annotations

from relevo.runtime.disk import Disk


class Claim:
    """The claim of one engine."""

    def __init__(self, disk: Disk, root: str, epoch: int) -> None:
        """Claim the folder `root`, whose parent exists. Raises OSError."""
        self._disk = disk
        self._path = f"{root}.owner"
        self._own = str(epoch).encode()
        disk.replace(self._path, self._own)

    def holds(self) -> bool:
        """Whether nobody has claimed it since. Raises OSError."""
        try:
            return self._disk.read(self._path) == self._own
        except FileNotFoundError:
            return False
