"""Who may write the logs of a home: the engine that claimed them last.

An engine that was stopped and taken over goes on one day with descriptors that are open and bytes that wait in its sockets.
What it wrote then would stand between the frames of its successor. So it looks before it writes. What is left is a stop
between look and write, some microseconds long.
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
