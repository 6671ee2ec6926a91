"""A home's database as an EventStore: one thread writes, a few read, the loop never waits for the disk.

append, delete_run ─► writer.py (a thread) ─► SQLite ◄─ reading.py (reader threads) ◄─ read, scan, facts, runs
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import apsw

from relevo.domain.errors import DamagedError, RelevoError, UserError
from relevo.domain.ids import LEASE
from relevo.domain.stored import Stored
from relevo.store.contract import Append, Done, Fact, RunRow, StoreUnavailable
from relevo.store.sqlite import reading
from relevo.store.sqlite.connection import connect_reader, connect_writer, opening_error, transaction
from relevo.store.sqlite.readers import Readers
from relevo.store.sqlite.schema import migrate, migrations, version_of
from relevo.store.sqlite.writer import Writer, check_fence, last_sequence


def open_database(path: str) -> apsw.Connection:
    """A connection to a home's database, made if there is none. Blocking, a few milliseconds.

    It is for whoever takes the lease: an older home stays as it is, because only the holder may migrate it, which
    `SqliteStore.open` does. Raises NewerHome, UserError, DamagedError, StoreUnavailable.
    """
    try:
        connection = connect_writer(path)
        try:
            migrate(connection, path, only_new=True)
            # Moving the WAL into the database is for the store, which closes later.
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        except BaseException:
            connection.close()
            raise
    except (apsw.Error, OSError) as error:
        raise opening_error(error, path) from error
    return connection


def open_reader(path: str, loop: asyncio.AbstractEventLoop) -> SqliteReader:
    """Open a home for reading, beside an engine or without one. Blocking, about a millisecond.

    Raises UserError when there is none or when it must be migrated first, NewerHome, DamagedError.
    """
    try:
        connection = connect_reader(path)
        try:
            known = len(migrations())
            if version_of(connection, path, known) != known:
                raise UserError(
                    f"{path} was left by an older relevo",
                    hint="`relevo run` or `relevo up` brings it up to date",
                )
        except BaseException:
            connection.close()
            raise
    except apsw.CantOpenError as error:
        raise UserError(f"there is no relevo home at {path}", hint="`relevo run` makes one") from error
    except apsw.Error as error:
        raise opening_error(error, path) from error
    return SqliteReader(connection, path, loop)


class SqliteReader:
    """An EventStore that only reads: every append gets StoreUnavailable."""

    def __init__(self, connection: apsw.Connection, path: str, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._path = path
        self._loop = loop
        self._readers = Readers(path, loop)
        self._damaged: dict[str, str] = {}
        self._closed = False

    @property
    def epoch(self) -> int:
        """The epoch of whoever writes."""
        return self._connection.execute("SELECT epoch FROM leases WHERE name = ?", (LEASE,)).get or 0

    @property
    def sequence(self) -> int:
        """The last committed sequence, as of now."""
        return last_sequence(self._connection)

    def append(self, append: Append, done: Done) -> None:
        self._loop.call_soon(done, StoreUnavailable(f"{self._path} is open for reading only"))

    async def read(self, stream: str, after_version: int = 0) -> Sequence[Stored]:
        try:
            return await self._readers.run(reading.read_stream, self._path, stream, after_version)
        except DamagedError as error:
            self._damaged[stream] = str(error)
            raise

    def scan(self, after_sequence: int = 0, *, limit: int = 1_000) -> AsyncGenerator[Sequence[Stored], None]:
        return self._scan(after_sequence, self.sequence, limit)

    async def _scan(self, after: int, last: int, limit: int) -> AsyncGenerator[Sequence[Stored], None]:
        while after < last:
            after, batch, damage = await self._readers.run(
                reading.read_sequences, self._path, after, last, limit
            )
            self._damaged.update(damage)
            if batch:
                yield batch

    async def scan_live(self, *, limit: int = 1_000) -> AsyncGenerator[Sequence[Stored], None]:
        places = await self._readers.run(reading.places_of_live)
        index = 0
        while index < len(places):
            index, batch, damage = await self._readers.run(
                reading.read_places, self._path, places, index, limit
            )
            self._damaged.update(damage)
            if batch:
                yield batch

    def damaged(self) -> Sequence[tuple[str, str]]:
        return list(self._damaged.items())

    async def streams(self, prefix: str) -> Sequence[str]:
        return await self._readers.run(reading.read_streams, prefix)

    async def fact(self, key: str) -> bytes | None:
        return await self._readers.run(reading.read_fact, self._path, key)

    async def facts_named(self, keys: Sequence[str]) -> dict[str, bytes]:
        return await self._readers.run(reading.read_facts_named, self._path, keys) if keys else {}

    async def facts(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        return await self._readers.run(reading.read_facts, self._path, prefix)

    async def runs(
        self, *, live: bool | None = None, before: str | None = None, limit: int = 50
    ) -> Sequence[RunRow]:
        rows, damage = await self._readers.run(reading.read_runs, self._path, live, before, limit)
        self._damaged.update(damage)
        return rows

    async def run(self, run: str) -> RunRow | None:
        return await self._readers.run(reading.read_run, self._path, run)

    async def delete_run(self, run: str, *, facts: Sequence[str] = ()) -> None:
        raise StoreUnavailable(f"{self._path} is open for reading only")

    async def put_facts(self, facts: Sequence[Fact]) -> None:
        raise StoreUnavailable(f"{self._path} is open for reading only")

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._readers.close()
            self._connection.close()


class SqliteStore(SqliteReader):
    """The home of the engine that holds its lease."""

    def __init__(
        self, connection: apsw.Connection, path: str, loop: asyncio.AbstractEventLoop, epoch: int
    ) -> None:
        super().__init__(connection, path, loop)
        self._epoch = epoch
        self._sequence = last_sequence(connection)
        self._writer = Writer(connection, path, loop, epoch=epoch, committed=self._committed)
        self._ended: asyncio.Future[None] | None = None

    @classmethod
    async def open(cls, path: str, epoch: int, loop: asyncio.AbstractEventLoop) -> SqliteStore:
        """Open a home for writing under an epoch; makes and migrates it. Holds the loop for a few milliseconds.

        Raises Fenced when the home's lease was granted under a higher epoch, NewerHome, UserError, DamagedError,
        StoreUnavailable.
        """
        try:
            connection = connect_writer(path)
            try:
                migrate(connection, path, only_new=True)
                _enter(connection, epoch)
                migrate(connection, path)
                return cls(connection, path, loop, epoch)
            except BaseException:
                connection.close()
                raise
        except (apsw.Error, OSError) as error:
            raise opening_error(error, path) from error

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def sequence(self) -> int:
        return self._sequence

    def append(self, append: Append, done: Done) -> None:
        if self._closed:
            self._loop.call_soon(done, StoreUnavailable(f"{self._path} is closed"))
        else:
            self._writer.put(append, done)

    async def delete_run(self, run: str, *, facts: Sequence[str] = ()) -> None:
        if self._closed:
            raise StoreUnavailable(f"{self._path} is closed")
        deleted: asyncio.Future[None] = self._loop.create_future()

        def done(error: RelevoError | None) -> None:
            if deleted.done():
                return
            if error is None:
                self._damaged.pop(run, None)
                deleted.set_result(None)
            else:
                deleted.set_exception(error)

        self._writer.delete(run, tuple(facts), done)
        await deleted

    async def put_facts(self, facts: Sequence[Fact]) -> None:
        if self._closed:
            raise StoreUnavailable(f"{self._path} is closed")
        stored: asyncio.Future[None] = self._loop.create_future()

        def done(error: RelevoError | None) -> None:
            if stored.done():
                return
            if error is None:
                stored.set_result(None)
            else:
                stored.set_exception(error)

        self._writer.put_facts(tuple(facts), done)
        await stored

    async def close(self) -> None:
        if self._ended is None:
            self._closed = True
            self._ended = ended = self._loop.create_future()
            await self._readers.close()
            self._writer.end(lambda: ended.set_result(None))
        await asyncio.shield(self._ended)

    def _committed(self, sequence: int) -> None:
        self._sequence = sequence


def _enter(connection: apsw.Connection, epoch: int) -> None:
    """From here on writes of lower epochs are refused. Raises Fenced when it is us who are lower."""
    with transaction(connection) as cursor:
        check_fence(cursor, epoch)
        cursor.execute(
            "INSERT INTO leases (name, epoch) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch"
            " WHERE excluded.epoch > epoch",
            (LEASE, epoch),
        )
