"""What one commit writes: many appends, each judged alone, all written together.

    judge ── versions, facts (this commit's own before the table's) ──► Stored or Conflict, FactExists
    write ── one executemany for each kind of row

Judging before writing does what a savepoint for each append would, without its cost: no statement of `write` fails for
a reason that lies in one append, and when one does all the same, the writer commits them one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import apsw
from msgspec import Struct

from relevo.domain.errors import RelevoError
from relevo.domain.stored import Stored
from relevo.store.contract import Append, Conflict, FactExists, RunRow
from relevo.store.sqlite.records import append_checksum, fact_checksum, pack_run, run_checksum

_INSERT_APPEND: Final = "INSERT INTO appends VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_STREAM: Final = "INSERT INTO streams VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_MOVE_STREAM: Final = "UPDATE streams SET version = ?, head = ? WHERE stream = ?"
#: The usual one: what the index over live runs holds stays as it is.
_MOVE_RUN: Final = "UPDATE streams SET version = ?, head = ?, run = ?, checksum = ? WHERE stream = ?"
_CHANGE_RUN: Final = (
    "UPDATE streams SET version = ?, head = ?, live = ?, priority = ?, created_ms = ?, run = ?, checksum = ?"
    " WHERE stream = ?"
)
_PUT_FACT: Final = (
    "INSERT INTO facts VALUES (?, ?, ?)"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value, checksum = excluded.checksum"
)
_DELETE_FACT: Final = "DELETE FROM facts WHERE key = ?"
_FIND_STREAM: Final = "SELECT version, head, live, priority, created_ms FROM streams WHERE stream = ?"
_FIND_FACT: Final = "SELECT value FROM facts WHERE key = ?"


class Head(Struct, frozen=True, gc=False):
    """Where a stream stands, and what the index over live runs holds of it. `live` is None when it is no run."""

    version: int
    sequence: int
    live: int | None
    priority: int | None
    created_ms: int | None


_NEW: Final = Head(0, 0, None, None, None)


class Commit:
    """The appends of one commit. `known` is what earlier commits left; it is read, and changed only by `keep`."""

    def __init__(self, cursor: apsw.Cursor, known: dict[str, Head], sequence: int, epoch: int) -> None:
        self.sequence = sequence  #: the last one that was given
        self._cursor = cursor
        self._known = known
        self._epoch = epoch
        self._before: dict[str, Head] = {}
        self._after: dict[str, Head] = {}
        self._rows: dict[str, RunRow] = {}
        self._facts: dict[str, bytes | None] = {}
        self._appends: list[tuple[int, int, str, int, int, int, int, bytes, int]] = []

    def judge(self, append: Append) -> Stored | RelevoError:
        """Take an append in, or say why not. What is taken in is stored only by `write`."""
        stream = append.stream
        head = self._after.get(stream) or self._head(stream)
        if head.version != append.expected_version:
            return Conflict(stream, append.expected_version, head.version)
        facts = append.facts
        for fact in facts:
            if fact.if_absent:
                found = self._fact(fact.key)
                if found is not None and found != fact.value:
                    return FactExists(fact.key, found)
        sequence = self.sequence + 1
        version = head.version + 1
        epoch, at_ms, count, events = self._epoch, append.at_ms, append.count, append.events
        checksum = append_checksum(sequence, head.sequence, stream, version, epoch, at_ms, count, events)
        self._appends.append(
            (sequence, head.sequence, stream, version, epoch, at_ms, count, events, checksum)
        )
        row = append.row
        if row is not None:
            self._rows[stream] = row
            self._after[stream] = Head(version, sequence, int(row.live), row.priority, row.created_ms)
        else:
            self._after[stream] = Head(version, sequence, head.live, head.priority, head.created_ms)
        for fact in facts:
            self._facts[fact.key] = fact.value
        self.sequence = sequence
        return Stored(sequence, stream, version, epoch, at_ms, events)

    def write(self) -> None:
        """Execute it all. Raises apsw.Error."""
        cursor = self._cursor
        if self._appends:
            cursor.executemany(_INSERT_APPEND, self._appends)
            self._write_streams(cursor)
        if self._facts:
            put_facts(cursor, self._facts)

    def keep(self) -> None:
        """The commit is durable: what it did is known from here on. Streams of ended runs are forgotten."""
        for stream, head in self._after.items():
            if head.live == 0:
                self._known.pop(stream, None)
            else:
                self._known[stream] = head

    def _write_streams(self, cursor: apsw.Cursor) -> None:
        new: list[tuple[object, ...]] = []
        moved: list[tuple[object, ...]] = []
        runs_moved: list[tuple[object, ...]] = []
        runs_changed: list[tuple[object, ...]] = []
        for stream, head in self._after.items():
            row = self._rows.get(stream)
            before = self._before[stream]
            version, sequence = head.version, head.sequence
            if row is None:
                if before is _NEW:
                    new.append((stream, version, sequence, None, None, None, None, None))
                else:
                    moved.append((version, sequence, stream))
                continue
            packed = pack_run(row)
            live, priority, created_ms = int(row.live), row.priority, row.created_ms
            checksum = run_checksum(stream, live, priority, created_ms, packed)
            if before is _NEW:
                new.append((stream, version, sequence, live, priority, created_ms, packed, checksum))
            elif (live, priority, created_ms) == (before.live, before.priority, before.created_ms):
                runs_moved.append((version, sequence, packed, checksum, stream))
            else:
                runs_changed.append((version, sequence, live, priority, created_ms, packed, checksum, stream))
        for statement, rows in (
            (_INSERT_STREAM, new),
            (_MOVE_STREAM, moved),
            (_MOVE_RUN, runs_moved),
            (_CHANGE_RUN, runs_changed),
        ):
            if rows:
                cursor.executemany(statement, rows)

    def _head(self, stream: str) -> Head:
        head = self._known.get(stream)
        if head is None:
            found = self._cursor.execute(_FIND_STREAM, (stream,)).get  # to its end: see `delete_run`
            head = Head(*found) if found else _NEW
        self._before[stream] = head
        return head

    def _fact(self, key: str) -> bytes | None:
        if key in self._facts:
            return self._facts[key]
        found: bytes | None = self._cursor.execute(_FIND_FACT, (key,)).get
        return found


def put_facts(cursor: apsw.Cursor, facts: Mapping[str, bytes | None]) -> None:
    """Write facts within the open transaction; None deletes one."""
    put = [(key, value, fact_checksum(key, value)) for key, value in facts.items() if value is not None]
    cursor.executemany(_PUT_FACT, put)
    cursor.executemany(_DELETE_FACT, [(key,) for key, value in facts.items() if value is None])
