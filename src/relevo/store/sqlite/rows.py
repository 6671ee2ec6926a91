"""Rows of the SQLite store, and how they are checked."""

from __future__ import annotations

from typing import Any, Final
from zlib import crc32

from relevo.domain.errors import DamagedError
from relevo.domain.stored import Stored
from relevo.store.contract import RunRow

APPEND_COLUMNS: Final = "a.sequence, a.stream, a.version, a.epoch, a.at_ms, a.crc, a.body"
RUN_COLUMNS: Final = ", ".join(RunRow.__struct_fields__)


def checksum(stream: str, version: int, epoch: int, at_ms: int, body: bytes) -> int:
    """CRC-32 over the row's key and its body, so that neither can change unseen."""
    return crc32(body, crc32(f"{stream}\0{version}\0{epoch}\0{at_ms}".encode()))


def stored(row: tuple[Any, ...]) -> Stored:
    """A row as read. Raises DamagedError naming it."""
    sequence, stream, version, epoch, at_ms, crc, body = row
    if checksum(stream, version, epoch, at_ms, body) != crc:
        raise DamagedError(
            "checksum disagrees", where=f"append {version} of run {stream}, sequence {sequence}"
        )
    return Stored(sequence, stream, version, epoch, at_ms, body)


def run_row(row: tuple[Any, ...]) -> RunRow:
    """A row of the table of runs."""
    values = list(row)
    values[6] = bool(values[6])
    values[13] = bool(values[13])
    return RunRow(*values)


def run_values(row: RunRow) -> tuple[Any, ...]:
    """A run row as SQL parameters."""
    return (
        row.run,
        row.status,
        row.workflow,
        row.title,
        row.event,
        row.priority,
        row.live,
        row.created_ms,
        row.ended_ms,
        row.jobs,
        row.jobs_ended,
        row.retried_from,
        row.run_attempt,
        row.delivered,
    )
