"""What `relevo db check` asks of the database; what events mean is the caller's. Blocking: call it in a thread.

Reading works beside a living engine. `write_rows` is for whoever holds the lease.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import apsw

from relevo.domain.errors import DamagedError
from relevo.store.contract import RunRow
from relevo.store.sqlite import reading
from relevo.store.sqlite.connection import connect_reader, connect_writer, transaction
from relevo.store.sqlite.records import fact_checksum, pack_run, run_checksum
from relevo.store.sqlite.schema import verify_applied

#: SQLite tells at most this many faults of its own structures.
MOST_FAULTS: Final = 20


def integrity(path: str) -> list[str]:
    """Everything that is wrong and can be known without knowing events; [] when all is well.

    SQLite's own structures, the migrations, every checksum, and that every append belongs to the unbroken chain of its
    stream. Costs a pass over the whole database.
    """
    try:
        connection = connect_reader(path)
    except apsw.Error as error:
        return [f"{path}: {error}"]
    try:
        found = [f"{path}: {fault}" for fault in _structure(connection)]
        for pass_ in (_migrations, _appends, _rows, _facts):
            try:
                found += pass_(connection, path)
            except apsw.Error as error:
                found.append(f"{path}: {error}")
        return found
    finally:
        connection.close()


def all_streams(path: str) -> list[str]:
    """All streams that have an append, runs and groups, in order."""
    connection = connect_reader(path)
    try:
        found: Any = connection.execute("SELECT stream FROM streams ORDER BY stream").fetchall()
        return [stream for (stream,) in found]
    finally:
        connection.close()


def write_rows(path: str, rows: Iterable[RunRow]) -> None:
    """Replace the read model of the runs named, all or none. A run that has no append is left out."""
    connection = connect_writer(path)
    try:
        with transaction(connection) as cursor:
            cursor.executemany(
                "UPDATE streams SET live = ?, priority = ?, created_ms = ?, run = ?, checksum = ? WHERE stream = ?",
                (_columns(row) for row in rows),
            )
    finally:
        connection.close()


def _columns(row: RunRow) -> tuple[int, int, int, bytes, int, str]:
    packed = pack_run(row)
    live = int(row.live)
    checksum = run_checksum(row.run, live, row.priority, row.created_ms, packed)
    return live, row.priority, row.created_ms, packed, checksum, row.run


def _structure(connection: apsw.Connection) -> Iterator[str]:
    try:
        for (told,) in connection.execute(f"PRAGMA integrity_check({MOST_FAULTS})"):
            if told != "ok":
                yield str(told)
    except apsw.Error as error:
        yield str(error)


def _migrations(connection: apsw.Connection, path: str) -> Iterator[str]:
    try:
        verify_applied(connection, path)
    except DamagedError as error:
        yield str(error)


def _appends(connection: apsw.Connection, path: str) -> Iterator[str]:
    """Each stream from its head, then what no head leads to."""
    reached: set[int] = set()
    places: Any = connection.execute("SELECT stream, version, head FROM streams ORDER BY stream").fetchall()
    broken: set[str] = set()
    for place in places:
        try:
            reached.update(stored.sequence for stored in reading.appends_of(connection, path, place))
        except DamagedError as error:
            broken.add(place[0])
            yield f"{path}: {error}"
    for sequence, stream in connection.execute("SELECT sequence, stream FROM appends ORDER BY sequence"):
        if sequence not in reached and stream not in broken:
            yield f"{path}: append {sequence} of {stream} is not in the chain of its stream"


def _rows(connection: apsw.Connection, path: str) -> Iterator[str]:
    for row in connection.execute(f"{reading.RUN} WHERE live IS NOT NULL ORDER BY stream"):
        try:
            reading.run_of(path, row)
        except DamagedError as error:
            yield f"{path}: {error}; --rebuild writes it anew"


def _facts(connection: apsw.Connection, path: str) -> Iterator[str]:
    for key, value, checksum in connection.execute("SELECT key, value, checksum FROM facts ORDER BY key"):
        if not isinstance(value, bytes) or fact_checksum(str(key), value) != checksum:
            yield f"{path}: fact {key} is damaged"
