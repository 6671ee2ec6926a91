"""What a follower of a run shows it on."""

from __future__ import annotations

from typing import Any, Protocol

from relevo.orchestrator.progress import Progress


class View(Protocol):
    """Calls come in order, from one loop, and never block."""

    @property
    def wants_logs(self) -> bool:
        """Whether the logs of attempts are to be followed now."""

    @property
    def explains(self) -> bool:
        """Whether it shows why jobs wait, and so wants to be told."""

    def reasons(self, reasons: dict[str, str]) -> None:
        """Why jobs wait, by job; those that are not named do not."""

    def caught_up(self, progress: Progress) -> None:
        """A run that began before is followed from here on: what it has come to."""

    def event(self, event: dict[str, Any], progress: Progress) -> None:
        """Something happened; `progress` knows of it already."""

    def log(self, job: str, step: int, data: bytes) -> None:
        """Bytes that a step of a job wrote."""

    def note(self, text: str) -> None:
        """Something to tell beside what happens: what a signal led to."""

    def summary(self, progress: Progress, tails: dict[str, list[str]]) -> None:
        """The run has ended or is held. `tails` holds the last lines of each failing step, by job."""

    def close(self) -> None:
        """Nothing more comes, with or without a summary: leave the terminal as others expect it. Idempotent."""

    async def room(self) -> None:
        """Returns when more may be shown."""

    async def flushed(self) -> bool:
        """Returns when all is shown; False when nobody looks any more."""
