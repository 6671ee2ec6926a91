"""See the package."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import apsw

from relevo.domain.errors import DamagedError, UserError
from relevo.domain.stored import Stored
from relevo.store.contract import Append, Conflict, Done, Fenced, RunRow, StoreUnavailable
from relevo.store.sqlite.rows import APPEND_COLUMNS, RUN_COLUMNS, run_row, stored
from relevo.store.sqlite.schema import damaged, migrate
from relevo.store.sqlite.writer import Writer

BUSY_MS: Final = 5_000
T = TypeVar("T")


def connect(path: str, *, readonly: bool = False) -> apsw.Connection:
    """A connection with the store's settings. Raises UserError, DamagedError."""
    flags = apsw.SQLITE_OPEN_READONLY if readonly else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    try:
        connection = apsw.Connection(path, flags=flags)
        connection.set_busy_timeout(BUSY_MS)
        if not readonly:
            connection.execute(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000"
            )
        connection.execute("PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16000")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except (apsw.CantOpenError, apsw.ReadOnlyError) as error:
        raise UserError(f"{path} cannot be opened: {error}", hint="is the folder yours to write?") from None
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise damaged(path, error) from None
    return connection


def open_database(path: str) -> apsw.Connection:
    """A connection to a home's database, made and brought up to date where needed."""
    connection = connect(path)
    migrate(connection)
    return connection


class SqliteStore:
    """An EventStore. Make it by `open`, or `open_reader` for reading alone."""

    def __init__(self, path: str, epoch: int, loop: asyncio.AbstractEventLoop, writer: Writer | None) -> None:
        self._path = path
        self._epoch = epoch
        self._loop = loop
        self._writer = writer
        self._readers = ThreadPoolExecutor(1, "relevo-read")
        self._reader: apsw.Connection | None = None
        self._damage: dict[str, str] = {}

    @classmethod
    async def open(cls, path: str, epoch: int, loop: asyncio.AbstractEventLoop) -> SqliteStore:
        """Open for writing under `epoch`, which the lease has granted in this very database."""
        connection = open_database(path)
        _claim(connection, epoch)
        return cls(path, epoch, loop, Writer(connection, epoch, loop))

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def sequence(self) -> int:
        return self._writer.sequence if self._writer is not None else 0

    def append(self, append: Append, done: Done) -> None:
        if self._writer is None:
            self._loop.call_soon(done, StoreUnavailable("the store was opened for reading"))
        else:
            self._writer.append(append, done)

    # --- reading ----------------------------------------------------------------------------------------------------

    async def _read(self, function: Callable[[apsw.Connection], T]) -> T:
        return await self._loop.run_in_executor(self._readers, self._reading, function)

    def _reading(self, function: Callable[[apsw.Connection], T]) -> T:
        if self._reader is None:
            self._reader = connect(self._path, readonly=True)
        try:
            return function(self._reader)
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise damaged(self._path, error) from None
        except (apsw.IOError, apsw.BusyError) as error:
            raise StoreUnavailable(f"the store cannot be read: {error}") from None

    def _checked(self, row: tuple[Any, ...]) -> Stored:
        try:
            return stored(row)
        except DamagedError as error:
            self._damage[row[1]] = str(error)
            raise

    async def read(self, stream: str, after_version: int = 0) -> Sequence[Stored]:
        sql = f"SELECT {APPEND_COLUMNS} FROM appends a WHERE stream = ? AND version > ? ORDER BY version"

        def query(connection: apsw.Connection) -> list[Stored]:
            found = [self._checked(row) for row in connection.execute(sql, (stream, after_version))]
            for position, one in enumerate(found):
                if one.version != after_version + 1 + position:
                    message = f"append {after_version + 1 + position} is missing"
                    self._damage[stream] = message
                    raise DamagedError(message, where=f"run {stream}")
            return found

        return await self._read(query)

    async def scan(self, after_sequence: int = 0, *, limit: int = 1_000) -> AsyncIterator[Sequence[Stored]]:
        sql = f"SELECT {APPEND_COLUMNS} FROM appends a WHERE sequence > ? AND sequence <= ? ORDER BY sequence LIMIT ?"
        last: Any = await self._read(
            lambda c: c.execute("SELECT max(sequence) FROM appends").fetchall()[0][0] or 0
        )
        reached = after_sequence
        while reached < last:
            at = reached

            def query(connection: apsw.Connection, at: int = at) -> list[Stored]:
                return [self._checked(row) for row in connection.execute(sql, (at, last, limit))]

            found = await self._read(query)
            if not found:
                return
            reached = found[-1].sequence
            yield found

    async def scan_live(self, *, limit: int = 1_000) -> AsyncIterator[Sequence[Stored]]:
        sql = (
            f"SELECT {APPEND_COLUMNS} FROM runs r JOIN appends a ON a.stream = r.run WHERE r.live AND "
            "(r.priority < ?1 OR (r.priority = ?1 AND r.run > ?2)) ORDER BY r.priority DESC, r.run, a.version"
        )
        live = "SELECT priority, run FROM runs WHERE live AND (priority < ?1 OR (priority = ?1 AND run > ?2)) ORDER BY priority DESC, run LIMIT ?3"
        at: tuple[int, str] = (1 << 62, "")
        while True:
            start = at

            def query(
                connection: apsw.Connection, start: tuple[int, str] = start
            ) -> tuple[list[Stored], tuple[int, str] | None]:
                runs: list[Any] = connection.execute(live, (*start, limit)).fetchall()
                if not runs:
                    return [], None
                wanted = {run for _, run in runs}
                found: list[Stored] = []
                for row in connection.execute(sql, start):
                    if row[1] not in wanted:
                        break
                    self._take(row, found)
                return found, (runs[-1][0], runs[-1][1])

            batch, reached = await self._read(query)
            if reached is None:
                return
            at = reached
            if batch:
                yield batch

    def _take(self, row: tuple[Any, ...], found: list[Stored]) -> None:
        """Add a row, unless its run is damaged: then all of that run is left out."""
        stream = row[1]
        if stream in self._damage:
            return
        try:
            found.append(self._checked(row))
            before = found[-2] if len(found) > 1 and found[-2].stream == stream else None
            expected = before.version + 1 if before is not None else 1
            if found[-1].version != expected:
                self._damage[stream] = f"append {expected} is missing"
        except DamagedError:
            pass  # noted by `_checked`
        if stream in self._damage:
            found[:] = [one for one in found if one.stream != stream]

    def damaged(self) -> Sequence[tuple[str, str]]:
        return list(self._damage.items())

    async def fact(self, key: str) -> bytes | None:
        found: list[Any] = await self._read(
            lambda c: c.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchall()
        )
        return found[0][0] if found else None

    async def facts(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        sql = "SELECT key, value FROM facts WHERE key >= ?1 AND substr(key, 1, length(?1)) = ?1 AND key < ?1 || x'f48fbfbf' ORDER BY key"
        found: list[Any] = await self._read(lambda c: c.execute(sql, (prefix,)).fetchall())
        return found

    async def runs(
        self, *, live: bool | None = None, before: str | None = None, limit: int = 50
    ) -> Sequence[RunRow]:
        conditions = []
        if live is not None:
            conditions.append("live" if live else "NOT live")
        parameters: list[Any] = []
        if before is not None:
            conditions.append("run < ?")
            parameters.append(before)
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        sql = f"SELECT {RUN_COLUMNS} FROM runs {where} ORDER BY run DESC LIMIT ?"
        return await self._read(lambda c: [run_row(row) for row in c.execute(sql, (*parameters, limit))])

    async def run(self, run: str) -> RunRow | None:
        sql = f"SELECT {RUN_COLUMNS} FROM runs WHERE run = ?"
        found = await self._read(lambda c: [run_row(row) for row in c.execute(sql, (run,))])
        return found[0] if found else None

    async def delete_run(self, run: str) -> None:
        row = await self.run(run)
        if row is not None and row.live:
            raise Conflict(run, 0, 0)
        writer = self._writer
        if writer is None:
            raise StoreUnavailable("the store was opened for reading")
        await writer.call(lambda: writer.delete_run(run))

    async def close(self) -> None:
        if self._writer is not None:
            await self._writer.close()
        self._readers.shutdown(wait=True)
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _claim(connection: apsw.Connection, epoch: int) -> None:
    """From here on writes of lower epochs are refused. Raises Fenced when a higher one was here before."""
    connection.execute("BEGIN IMMEDIATE")
    found: list[Any] = connection.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchall()
    current = found[0][0] if found else 0
    if current > epoch:
        connection.execute("ROLLBACK")
        raise Fenced(epoch, current)
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('epoch', ?)", (epoch,))
    connection.execute("COMMIT")


def open_reader(path: str, loop: asyncio.AbstractEventLoop) -> SqliteStore:
    """A store for reading alone, beside an engine or without one. Raises UserError, NewerHome."""
    connection = connect(path, readonly=True)
    try:
        found: Any = connection.execute("PRAGMA user_version").fetchall()[0][0]
    finally:
        connection.close()
    from relevo.store.contract import NewerHome
    from relevo.store.sqlite.schema import migrations

    newest = migrations()[-1][0]
    if found > newest:
        raise NewerHome(found, newest)
    return SqliteStore(path, 0, loop, None)
