"""What an attempt sees of the rest of the agent: where it reports, and where it gets what it needs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from relevo.domain.errors import InfrastructureError


class BlobUnavailable(InfrastructureError):
    """A blob could not be fetched or kept."""


class Reporter(Protocol):
    """One for each attempt. What is reported is spooled at once and reaches the engine in order, exactly once counted.

    The reporter numbers log bytes, hashes them, and ends the log in `finished`. All calls but the async ones return at once.
    """

    def started(self) -> None:
        """The worker is there, the first step is about to start."""

    def step_started(self, step: int, name: str) -> None: ...

    def step_finished(
        self,
        step: int,
        name: str,
        *,
        outcome: str,
        conclusion: str,
        exit_code: int | None = None,
        message: str = "",
        summary: str = "",
    ) -> None: ...

    def annotation(
        self,
        step: int,
        level: str,
        message: str,
        *,
        title: str = "",
        file: str = "",
        line: int = 0,
        column: int = 0,
    ) -> None: ...

    def log(self, step: int, data: bytes) -> bool:
        """Masked bytes of a step. False: the spool is full for now, pause the process and await `room`."""

    async def room(self) -> None:
        """Returns when logs may be written again."""

    async def intend(self, step: int) -> None:
        """Returns when it is durable (fsync) that a step marked `idempotent: false` may have begun."""

    def artifact(self, name: str, digest: str, size_bytes: int, files: int) -> None:
        """An artifact whose bytes were put before."""

    def finished(
        self,
        result: str,
        *,
        outputs: dict[str, str] | None = None,
        message: str = "",
        exit_code: int | None = None,
    ) -> None:
        """The end record: succeeded, failed, cancelled, timed-out or lost. Called exactly once, last."""

    def get_blob(self, what: str) -> AsyncIterator[bytes]:
        """Bytes from the engine (see protocol GetBlob). Waits for an engine that is away. Raises BlobUnavailable when refused."""

    async def put_blob(self, chunks: AsyncIterator[bytes]) -> str:
        """Spool bytes for the engine; returns their digest once they are durable here. An absent engine stops nothing."""
