"""Blobs that nobody names yet, and somebody is about to."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from typing import Final

#: So long a blob may wait to be named: who wrote it may have lost sight of the engine meanwhile.
KEEP_S: Final = 86_400.0


class Fresh:
    """Digests of blobs that are no garbage yet, though no run names them: for a day after they were put, or asked for."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """`now`: seconds, of a clock that is never set back."""
        self._now = now
        self._since: dict[str, float] = {}  # in the order of time

    def add(self, digest: str) -> None:
        """It was put just now, or somebody relies on it."""
        now = self._now()
        self._since.pop(digest, None)
        self._since[digest] = now
        for old in list(
            islice(self._since, 2)
        ):  # two may go for each that comes: what is old does not pile up
            if now - self._since[old] > KEEP_S:
                del self._since[old]

    def __contains__(self, digest: str) -> bool:
        since = self._since.get(digest)
        return since is not None and self._now() - since <= KEEP_S

    def clear(self) -> None:
        """Forget all."""
        self._since.clear()
