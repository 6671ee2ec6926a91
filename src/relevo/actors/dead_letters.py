"""Messages that nobody handled: counted, the latest kept, logged within bounds."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from relevo.actors.messages import DeadLetter
from relevo.core.gcra import Gcra

KEPT: Final = 100
_log = logging.getLogger("relevo.actors")


class DeadLetters:
    """The dead letters of one system."""

    def __init__(self, time: Callable[[], float]) -> None:
        self.counts: Counter[str] = Counter()  #: by reason
        self._recent: deque[DeadLetter] = deque(maxlen=KEPT)
        self._time = time
        self._limit = Gcra(rate=1.0, burst=10)
        self._silent = 0

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts.values())

    def recent(self) -> list[DeadLetter]:
        """The latest, oldest first."""
        return list(self._recent)

    def add(self, letter: DeadLetter) -> None:
        """Take one in."""
        self.counts[letter.reason] += 1
        self._recent.append(letter)
        if not self._limit.allow(self._time()):
            self._silent += 1
            return
        silent, self._silent = self._silent, 0
        more = f" ({silent} more were not logged)" if silent else ""
        kind = type(letter.message).__name__
        about = {"actor": letter.path, "cause": kind}
        _log.warning("dead letter for %s: %s, %s%s", letter.path, kind, letter.reason, more, extra=about)
