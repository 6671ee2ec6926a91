"""Puts an attempt's events and log bytes, which come on two ways, into the order in which they happened.

Log bytes are seen as soon as they are written, events once they are committed: the start of a step may come after its first
bytes, and its end before its last ones. Hence bytes wait for their step's start (which surely comes), and
an end waits for bytes of a later step, for the attempt's end, or until the log has been quiet for a moment.
"""

from __future__ import annotations

from typing import Any, Final

Event = dict[str, Any]
#: Bytes of one step.
Bytes = tuple[int, bytes]
#: Bytes held at most while a step's start is on its way.
HELD_LIMIT: Final = 1 << 20


class Ordering:
    """Of one attempt. Each call returns what may be shown now, in order."""

    __slots__ = ("_held", "_held_size", "_started", "_waiting")

    def __init__(self, started: int = -1) -> None:
        self._started = started  #: the last step that was seen to start
        self._waiting: list[Event] = []
        self._held: list[Bytes] = []
        self._held_size = 0

    @property
    def waits(self) -> bool:
        """Whether `quiet` would show something."""
        return bool(self._waiting)

    def event(self, event: Event) -> list[Event | Bytes]:
        """A step.started, step.finished or annotation."""
        step: int = event["step"]
        if event["event"] == "step.started":
            self._started = max(self._started, step)
            if not self._waiting:
                return [event, *self._release()]
        self._waiting.append(event)
        # The log is past these already: their bytes came first.
        return self._before(self._held[0][0]) if self._held and self._held[0][0] > step else []

    def bytes(self, step: int, data: bytes) -> list[Event | Bytes]:
        """Log bytes."""
        shown = self._before(step)
        if self._held or step > self._started or self._start_waits(step):
            self._held.append((step, data))
            self._held_size += len(data)
            return shown + (self._release(everything=True) if self._held_size > HELD_LIMIT else [])
        return [*shown, (step, data)]

    def quiet(self) -> list[Event | Bytes]:
        """The log has brought nothing for a moment: what ended has no more bytes."""
        shown: list[Event | Bytes] = list(self._waiting)
        self._waiting = []
        return shown + self._release()

    def ended(self) -> list[Event | Bytes]:
        """Nothing more comes."""
        shown: list[Event | Bytes] = []
        for step, data in self._held:
            shown += self._before(step)
            shown.append((step, data))
        self._held = []
        self._held_size = 0
        shown += self._waiting
        self._waiting = []
        return shown

    def _before(self, step: int) -> list[Event | Bytes]:
        """The waiting events that come before bytes of `step`."""
        count = 0
        for event in self._waiting:
            if event["step"] > step or (event["step"] == step and event["event"] != "step.started"):
                break
            count += 1
        shown: list[Event | Bytes] = list(self._waiting[:count])
        del self._waiting[:count]
        return shown

    def _start_waits(self, step: int) -> bool:
        return any(event["event"] == "step.started" and event["step"] == step for event in self._waiting)

    def _release(self, *, everything: bool = False) -> list[Event | Bytes]:
        """Held bytes whose step has been shown to start."""
        shown: list[Event | Bytes] = []
        while self._held and (
            everything or (self._held[0][0] <= self._started and not self._start_waits(self._held[0][0]))
        ):
            step, data = self._held.pop(0)
            self._held_size -= len(data)
            shown += self._before(step)
            shown.append((step, data))
        return shown
