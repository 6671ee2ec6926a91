"""The run in as few lines as can be: what failed, and how it ended."""

from __future__ import annotations

from typing import Any

from relevo.cli.output import Output, note
from relevo.cli.palette import Palette
from relevo.cli.summary import failures, result
from relevo.orchestrator.progress import Progress


class QuietView:
    """See view.View."""

    wants_logs = False

    def __init__(self, output: Output, palette: Palette) -> None:
        self._out = output
        self._palette = palette

    async def room(self) -> None:
        await self._out.room()

    async def flushed(self) -> bool:
        return await self._out.flushed()

    def close(self) -> None:
        """Lines stay as they are."""

    explains = False

    def reasons(self, reasons: dict[str, str]) -> None:
        """Not shown."""

    def caught_up(self, progress: Progress) -> None:
        """Nothing is told before the end."""

    def event(self, event: dict[str, Any], progress: Progress) -> None:
        """Nothing is told before the end."""

    def log(self, job: str, step: int, data: bytes) -> None:
        """Nothing is told before the end."""

    def note(self, text: str) -> None:
        note(text)

    def summary(self, progress: Progress, tails: dict[str, list[str]]) -> None:
        for line in [*failures(progress, tails, self._palette), result(progress, self._palette)]:
            self._out.line(line)
