"""The run for programs: each event a line of JSON, then one line with the result."""

from __future__ import annotations

from typing import Any

import msgspec

from relevo.cli.output import Output, note
from relevo.orchestrator.progress import Progress, final


class JsonView:
    """See view.View. A run that is taken up again is told from its beginning."""

    wants_logs = False

    def __init__(self, output: Output) -> None:
        self._out = output
        self._encode = msgspec.json.Encoder().encode

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
        """The events were told one by one."""

    def event(self, event: dict[str, Any], progress: Progress) -> None:
        self._out.line(self._encode(event).decode())

    def log(self, job: str, step: int, data: bytes) -> None:
        """Logs are no events: `relevo logs` has them."""

    def note(self, text: str) -> None:
        note(text)

    def summary(self, progress: Progress, tails: dict[str, list[str]]) -> None:
        self._out.line(self._encode(final(progress)).decode())
