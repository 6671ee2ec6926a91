"""What every log store promises. `relevo.testing.contracts.logs` holds the tests of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Protocol

from msgspec import Struct

from relevo.domain.errors import InfrastructureError, RelevoError
from relevo.domain.ids import AttemptKey


class LogGap(RelevoError):
    """Bytes are missing before these: the sender must send again from `expected`."""

    def __init__(self, attempt: AttemptKey, expected: int, got: int) -> None:
        super().__init__(f"log of {attempt}: expected offset {expected}, got {got}")
        self.attempt = attempt
        self.expected = expected
        self.got = got


class LogMismatch(RelevoError):
    """The end record does not agree with the bytes: the log must not be trusted, the attempt not be ended."""


class LogUnavailable(InfrastructureError):
    """The log cannot be written now (disk full, I/O error). Nothing was acknowledged; trying later may help."""

    def __init__(self, message: str, *, full: bool = False) -> None:
        super().__init__(message)
        self.full = full


class LogEnd(Struct, frozen=True, array_like=True):
    """The end record of an attempt's log."""

    size_bytes: int
    digest: bytes  #: BLAKE3 of all its bytes, 32 bytes; b"" when size_bytes is 0


class LogFrame(Struct, frozen=True, array_like=True):
    """A piece of log as it was written: one read of the pipe, or part of one."""

    offset: int  #: of its first byte within the attempt
    step: int  #: index of the step that wrote it
    at_ms: int  #: when the agent read it; wall clock, Unix milliseconds
    data: bytes | memoryview


class LogStore(Protocol):
    """Durable logs of attempts with live tails. Called from the loop; `sync` works elsewhere."""

    def write(self, attempt: AttemptKey, frame: LogFrame) -> int:
        """Take a frame (not yet durable); returns the offset after the last byte held.

        Bytes below that offset are dropped as duplicates (a frame may overlap in part).
        Raises LogGap, LogUnavailable. Followers see the bytes at once.
        """

    def sync(self, done: Callable[[LogUnavailable | None], None]) -> None:
        """Make all that was written before this call durable, then call `done` on the loop. Calls share one fsync."""

    def end(self, attempt: AttemptKey, end: LogEnd) -> None:
        """Take the end record (durable with the next sync); followers get the end. Idempotent.

        Raises LogMismatch when size or digest disagree with what is held.
        """

    def no_more(self, attempt: AttemptKey) -> None:
        """The attempt is over, and no end record will come: it was lost, or wrote nothing. Followers end with what is held."""

    def size(self, attempt: AttemptKey) -> int:
        """Bytes held, 0 when there are none."""

    def ended(self, attempt: AttemptKey) -> LogEnd | None:
        """The end record, None while it is open or when it is missing."""

    def attempts(self, run: str) -> list[AttemptKey]:
        """The attempts of a run that have a log."""

    def frames(self, attempt: AttemptKey, start: int = 0, stop: int | None = None) -> Iterator[LogFrame]:
        """Frames with the bytes [start, stop) of an attempt, cut to fit. Blocking reads: call it in a pool for large logs.

        Raises DamagedError naming file and position when a checksum is off or a segment is cut before the end record.
        """

    def line_offset(self, attempt: AttemptKey, line: int) -> int:
        """Offset of the first byte of a line (0-based), by the line index; the log's size when there are fewer."""

    def lines(self, attempt: AttemptKey) -> int:
        """Newlines held, 0 when there are none."""

    def follow(self, attempt: AttemptKey, start: int = 0) -> AsyncIterator[LogFrame]:
        """Frames from an offset on, waiting for more until the end record, or `no_more`. A slow follower holds up nobody.

        It costs no copy for each follower beyond its own reads, and no memory grows with a follower that does not read.
        """

    async def verify(self, run: str) -> list[str]:
        """What is wrong with the logs of a run, each naming file and position; [] when all is well."""

    async def delete(self, run: str) -> None:
        """Remove the logs of a run. Idempotent."""

    def usage(self) -> dict[str, int]:
        """Bytes on disk by run."""

    async def close(self) -> None:
        """Sync and close. Idempotent."""
