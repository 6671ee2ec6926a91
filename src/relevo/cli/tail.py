"""The last lines of each step of a log, in bounded memory: what is shown when a step has failed."""

from __future__ import annotations

from typing import Final


class Tail:
    """Feed it a log in order; `lines` gives the end of one step's part."""

    #: Bytes kept at least (and at most twice as many), of the steps seen last.
    BYTES: Final = 32_768

    __slots__ = ("_parts", "_size")

    def __init__(self) -> None:
        self._parts: list[tuple[int, bytes]] = []
        self._size = 0

    def feed(self, step: int, data: bytes) -> None:
        """Take bytes of a step."""
        if self._parts and self._parts[-1][0] == step and len(self._parts[-1][1]) < 4096:
            self._parts[-1] = (step, self._parts[-1][1] + data)
        else:
            self._parts.append((step, data))
        self._size += len(data)
        if self._size > 2 * self.BYTES:
            self._cut()

    def _cut(self) -> None:
        kept: list[tuple[int, bytes]] = []
        room = self.BYTES
        for step, data in reversed(self._parts):
            if room <= 0:
                break
            kept.append((step, data[-room:]))
            room -= len(data)
        self._parts = kept[::-1]
        self._size = sum(len(data) for _, data in self._parts)

    def lines(self, step: int | None, count: int) -> list[str]:
        """The last lines of a step (None: of any), at most `count`, not yet made safe for a terminal."""
        data = b"".join(part for owner, part in self._parts if step is None or owner == step)
        return data.decode("utf-8", "replace").splitlines()[-count:]
