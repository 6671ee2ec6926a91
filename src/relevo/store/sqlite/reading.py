"""What is read, as functions of a connection. They block: `store.py` calls them in its reader threads.

A stream is followed backwards from its head; each append is checked on the way: its checksum, that it belongs to the
stream, and that its version is the next one down. Damage makes its own stream unreadable, and no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import apsw

from relevo.domain.errors import DamagedError
from relevo.domain.stored import Stored
from relevo.store.contract import RunRow
from relevo.store.sqlite.records import append_checksum, fact_checksum, run_checksum, unpack_run

_SELECT: Final = (
    "SELECT sequence, previous, stream, version, epoch, at_ms, count, events, checksum FROM appends"
)
_APPEND: Final = f"{_SELECT} WHERE sequence = ?"
_APPENDS: Final = f"{_SELECT} WHERE sequence > ? AND sequence <= ? ORDER BY sequence LIMIT ?"
_LIVE: Final = (
    "SELECT stream, version, head FROM streams INDEXED BY streams_live WHERE live = 1"
    " ORDER BY priority DESC, created_ms, stream"
)
RUN: Final = "SELECT stream, live, priority, created_ms, run, checksum FROM streams"

AppendRow = tuple[int, int, str, int, int, int, int, bytes, int]
Place = tuple[str, int, int]  #: stream, version, sequence of its head
Damage = tuple[str, str]  #: stream, what is wrong


def places_of_live(connection: apsw.Connection) -> list[Place]:
    """Where all live runs stand, by priority then age."""
    found: Any = connection.execute(_LIVE).fetchall()
    return list(found)


def place_of(connection: apsw.Connection, stream: str) -> Place | None:
    """Where a stream stands."""
    found: Place | None = connection.execute(
        "SELECT stream, version, head FROM streams WHERE stream = ?", (stream,)
    ).fetchone()
    return found


def appends_of(
    connection: apsw.Connection,
    path: str,
    place: Place,
    after_version: int = 0,
    *,
    head: AppendRow | None = None,
) -> list[Stored]:
    """The appends of a stream up to a place, in order; `head`: the row there, where it was read. Raises DamagedError."""
    stream, version, sequence = place
    execute = connection.execute
    found: list[Stored] = []
    while version > after_version:
        try:
            row: AppendRow | None = head or execute(_APPEND, (sequence,)).fetchone()
        except apsw.CorruptError as error:
            raise _damaged(path, stream, version, sequence, f"a page of it is damaged: {error}") from error
        head = None
        if row is None:
            raise _damaged(path, stream, version, sequence, "it is missing")
        _, previous, owner, number, epoch, at_ms, _, events, _ = row
        wrong = wrong_with(row)
        if wrong is None and (owner != stream or number != version):
            wrong = f"in its place is append {number} of {owner}"
        if wrong is not None:
            raise _damaged(path, stream, version, sequence, wrong)
        found.append(Stored(sequence, stream, version, epoch, at_ms, events))
        version -= 1
        sequence = previous
    found.reverse()
    return found


def _heads(connection: apsw.Connection, places: Sequence[Place]) -> dict[int, AppendRow]:
    """The rows at these places by sequence, read together: a third of what a read for each costs. Where a page is damaged,
    each is read alone."""
    try:
        rows: Any = connection.executemany(_APPEND, [(sequence,) for _, _, sequence in places]).fetchall()
    except apsw.CorruptError:
        return {}
    return {row[0]: row for row in rows}


def wrong_with(row: AppendRow) -> str | None:
    """What is wrong with an append by itself."""
    *columns, checksum = row
    try:
        return None if append_checksum(*columns) == checksum else "its checksum is off"  # type: ignore[arg-type]
    except Exception as error:  # SQLite types are per value: damage may turn a number into a text
        return f"its columns are no append: {error}"


def read_stream(connection: apsw.Connection, path: str, stream: str, after_version: int) -> list[Stored]:
    """All appends of a stream after a version, [] when there is no such stream. Raises DamagedError."""
    place = place_of(connection, stream)
    return appends_of(connection, path, place, after_version) if place else []


def read_places(
    connection: apsw.Connection, path: str, places: Sequence[Place], start: int, limit: int
) -> tuple[int, list[Stored], list[Damage]]:
    """Appends of the streams from `places[start]` on, until there are `limit`; where to go on, appends, damage met."""
    batch: list[Stored] = []
    damage: list[Damage] = []
    heads = _heads(connection, places[start : start + limit])
    index = start
    while index < len(places) and len(batch) < limit:
        place = places[index]
        index += 1
        head = heads.get(place[2])
        try:
            batch += appends_of(connection, path, place, head=head)
        except DamagedError as error:
            if place_of(connection, place[0]) is not None:  # else it was removed since `places` was read
                damage.append((place[0], str(error)))
    return index, batch, damage


def read_sequences(
    connection: apsw.Connection, path: str, after: int, last: int, limit: int
) -> tuple[int, list[Stored], list[Damage]]:
    """Appends after a sequence up to `last`, at most `limit`; the sequence reached, appends, damage met."""
    rows: Any = connection.execute(_APPENDS, (after, last, limit)).fetchall()
    batch: list[Stored] = []
    damage: list[Damage] = []
    for row in rows:
        sequence, _, stream, version, epoch, at_ms, _, events, _ = row
        wrong = wrong_with(row)
        if wrong is None:
            batch.append(Stored(sequence, stream, version, epoch, at_ms, events))
        else:
            damage.append((str(stream), str(_damaged(path, stream, version, sequence, wrong))))
    return (rows[-1][0] if len(rows) == limit else last), batch, damage


def read_fact(connection: apsw.Connection, path: str, key: str) -> bytes | None:
    """The value of a fact. Raises DamagedError."""
    found = connection.execute("SELECT value, checksum FROM facts WHERE key = ?", (key,)).fetchone()
    return None if found is None else _fact(path, key, *found)


def read_facts_named(connection: apsw.Connection, path: str, keys: Sequence[str]) -> dict[str, bytes]:
    """The values of these facts, without those that there are not. Raises DamagedError."""
    found = ((key, read_fact(connection, path, key)) for key in keys)
    return {key: value for key, value in found if value is not None}


def read_facts(connection: apsw.Connection, path: str, prefix: str) -> list[tuple[str, bytes]]:
    """All facts whose key begins with `prefix`, in order of key. Raises DamagedError."""
    # U+10FFFF sorts behind every character that a key has.
    found = connection.execute(
        "SELECT key, value, checksum FROM facts WHERE key >= ?1 AND key < ?1 || char(1114111) ORDER BY key",
        (prefix,),
    ).fetchall()
    return [(str(key), _fact(path, str(key), value, checksum)) for key, value, checksum in found]


def read_streams(connection: apsw.Connection, prefix: str) -> list[str]:
    """The names of all streams that begin with `prefix`, in order."""
    found: Any = connection.execute(
        "SELECT stream FROM streams WHERE stream >= ?1 AND stream < ?1 || char(1114111) ORDER BY stream",
        (prefix,),
    ).fetchall()
    return [stream for (stream,) in found]


def read_run(connection: apsw.Connection, path: str, run: str) -> RunRow | None:
    """The row of a run. Raises DamagedError."""
    found = connection.execute(
        f"{RUN} WHERE stream = ? AND live IS NOT NULL",
        (run,),
    ).fetchone()
    return None if found is None else run_of(path, found)


def read_runs(
    connection: apsw.Connection, path: str, live: bool | None, before: str | None, limit: int
) -> tuple[list[RunRow], list[Damage]]:
    """Rows of runs, newest first, and the damage met: a damaged row is left out."""
    which = {None: "NOT INDEXED WHERE live IS NOT NULL", True: "INDEXED BY streams_live WHERE live = 1"}.get(
        live, "NOT INDEXED WHERE live = 0"
    )
    found: list[RunRow] = []
    damage: list[Damage] = []
    for row in connection.execute(
        f"{RUN} {which} AND (?1 IS NULL OR stream < ?1) ORDER BY stream DESC LIMIT ?2",
        (before, limit),
    ):
        try:
            found.append(run_of(path, row))
        except DamagedError as error:
            damage.append((row[0], str(error)))
    return found, damage


def run_of(path: str, row: tuple[str, int, int, int, bytes, int]) -> RunRow:
    """A run's row from its columns. Raises DamagedError."""
    stream, live, priority, created_ms, packed, checksum = row
    try:
        if run_checksum(stream, live, priority, created_ms, packed) == checksum:
            return unpack_run(packed)
    except Exception:  # noqa: S110  # damage may turn a column into anything; what follows says so
        pass
    raise DamagedError(f"the row of run {stream} is damaged", where=f"{path}, table streams, {stream}")


def _fact(path: str, key: str, value: object, checksum: object) -> bytes:
    if not isinstance(value, bytes) or fact_checksum(key, value) != checksum:
        raise DamagedError(f"fact {key} is damaged", where=f"{path}, table facts, {key}")
    return value


def _damaged(path: str, stream: str, version: int, sequence: int, wrong: str) -> DamagedError:
    return DamagedError(
        f"append {version} of {stream} is damaged: {wrong}",
        where=f"{path}, table appends, sequence {sequence}",
    )
