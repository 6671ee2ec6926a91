"""The writer: one thread, one connection, one commit for all that waits.

    loop: append ─► waiting ─┐                    ┌─ done(…) for each, in order ◄─ one wake-up of the loop
                             └► thread: take all ─► check each, write the rest, commit ─┘

While a commit runs, the next group collects: no timer. A conflict is found before anything of its append is written, so that
it costs its neighbours nothing. When the commit itself fails, nothing of the group is stored, and each is told.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Final

import apsw

from relevo.domain.errors import RelevoError
from relevo.domain.stored import Stored
from relevo.runtime.failpoints import reach
from relevo.store.contract import Append, Conflict, Done, FactExists, Fenced, StoreUnavailable
from relevo.store.sqlite.rows import checksum, run_values

#: Streams whose version is remembered at most.
VERSIONS: Final = 200_000

_INSERT: Final = "INSERT INTO appends VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_PUT_RUN: Final = f"INSERT OR REPLACE INTO runs VALUES ({', '.join('?' * 14)})"
_PUT_FACT: Final = "INSERT OR REPLACE INTO facts VALUES (?, ?)"

Outcome = Stored | RelevoError
Job = Callable[[Any], None]


class Writer:
    """Writes for one epoch."""

    def __init__(self, connection: apsw.Connection, epoch: int, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._epoch = epoch
        self._loop = loop
        self._waiting: list[tuple[Append, Done]] = []
        self._calls: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._wake = threading.Condition(threading.Lock())
        self._closing = False
        self._versions: dict[str, int] = {}
        self.sequence = self._last_sequence()
        self._thread = threading.Thread(target=self._work, name="relevo-store", daemon=True)
        self._thread.start()

    def append(self, append: Append, done: Done) -> None:
        """Queue; `done` is called on the loop."""
        with self._wake:
            if self._closing:
                self._loop.call_soon(done, StoreUnavailable("the store is closed"))
                return
            self._waiting.append((append, done))
            if len(self._waiting) == 1:
                self._wake.notify()

    async def call(self, function: Callable[[], Any]) -> Any:
        """Run something between two commits, on the writer's connection."""
        future: asyncio.Future[Any] = self._loop.create_future()
        with self._wake:
            if self._closing:
                raise StoreUnavailable("the store is closed")
            self._calls.append((function, future))
            self._wake.notify()
        return await future

    async def close(self) -> None:
        """Commit what waits, then end the thread. Idempotent."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await self._loop.run_in_executor(None, self._thread.join)

    def _last_sequence(self) -> int:
        rows: list[Any] = self._connection.execute("SELECT max(sequence) FROM appends").fetchall()
        highest: list[Any] = self._connection.execute(
            "SELECT value FROM meta WHERE key = 'sequence'"
        ).fetchall()
        return max(rows[0][0] or 0, highest[0][0] if highest else 0)

    def _work(self) -> None:
        while True:
            with self._wake:
                while not (self._waiting or self._calls or self._closing):
                    self._wake.wait()
                group, self._waiting = self._waiting, []
                calls, self._calls = self._calls, []
                if not group and not calls:
                    return
            outcomes = self._commit([append for append, _ in group]) if group else []
            results = [(future, self._run(function)) for function, future in calls]
            try:
                self._loop.call_soon_threadsafe(self._tell, group, outcomes, results)
            except RuntimeError:
                return  # the loop is closed: nobody is left to be told

    def _run(self, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except Exception as error:
            return error

    def _tell(
        self,
        group: list[tuple[Append, Done]],
        outcomes: list[Outcome],
        results: list[tuple[asyncio.Future[Any], Any]],
    ) -> None:
        for (_, done), outcome in zip(group, outcomes, strict=True):
            if type(outcome) is Stored:
                self.sequence = outcome.sequence
            done(outcome)
        for future, result in results:
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

    def _commit(self, group: list[Append]) -> list[Outcome]:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                outcomes = self._write(group)
                reach("store.before-commit")
                connection.execute("COMMIT")
                reach("store.after-commit")
            except BaseException:
                self._versions.clear()
                if not connection.getautocommit():
                    connection.execute("ROLLBACK")
                raise
        except (apsw.FullError, apsw.IOError, apsw.BusyError, apsw.CantOpenError, OSError) as error:
            full = isinstance(error, apsw.FullError) or "full" in str(error).lower()
            what = "no room is left on its disk" if full else str(error)
            return [StoreUnavailable(f"the store cannot commit: {what}", full=full) for _ in group]
        except (apsw.CorruptError, apsw.NotADBError, apsw.ReadOnlyError, apsw.Error) as error:
            return [StoreUnavailable(f"the store cannot commit: {error}") for _ in group]
        return outcomes

    def _write(self, group: list[Append]) -> list[Outcome]:
        current: Any = self._connection.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchall()[0][0]
        if current != self._epoch:
            return [Fenced(self._epoch, current) for _ in group]
        versions = self._versions
        outcomes: list[Outcome] = []
        appends = []
        rows: dict[str, tuple[Any, ...]] = {}
        facts: dict[str, bytes | None] = {}
        sequence = self._last
        for append in group:
            stream = append.stream
            version = versions.get(stream)
            if version is None:
                version = self._version(stream)
            refused = (
                Conflict(stream, append.expected_version, version)
                if version != append.expected_version
                else self._exists(append, facts)
            )
            if refused is not None:
                outcomes.append(refused)
                continue
            version += 1
            sequence += 1
            versions[stream] = version
            body = append.events
            crc = checksum(stream, version, self._epoch, append.at_ms, body)
            appends.append((sequence, stream, version, self._epoch, append.at_ms, append.count, crc, body))
            outcomes.append(Stored(sequence, stream, version, self._epoch, append.at_ms, body))
            if append.row is not None:
                rows[stream] = run_values(append.row)
                if not append.row.live:
                    del versions[stream]
            for fact in append.facts:
                facts[fact.key] = fact.value
        cursor = self._connection.cursor()
        cursor.executemany(_INSERT, appends)
        if rows:
            cursor.executemany(_PUT_RUN, rows.values())
        puts = [(key, value) for key, value in facts.items() if value is not None]
        if puts:
            cursor.executemany(_PUT_FACT, puts)
        drops = [(key,) for key, value in facts.items() if value is None]
        if drops:
            cursor.executemany("DELETE FROM facts WHERE key = ?", drops)
        if len(versions) > VERSIONS:
            versions.clear()
        return outcomes

    @property
    def _last(self) -> int:
        """The last sequence in the database. Read in the transaction: an earlier holder may have written since."""
        found: Any = self._connection.execute("SELECT max(sequence) FROM appends").fetchall()[0][0] or 0
        return max(int(found), self.sequence)

    def delete_run(self, run: str) -> None:
        """Remove a run, in a transaction of its own; the last sequence is remembered, so that none is used twice."""
        connection = self._connection
        with connection:
            last = ("sequence", self._last)
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", last)
            connection.execute("DELETE FROM appends WHERE stream = ?", (run,))
            connection.execute("DELETE FROM runs WHERE run = ?", (run,))
            for prefix in ("summary", "outputs"):
                connection.execute(
                    "DELETE FROM facts WHERE key >= ? AND key < ?", (f"{prefix}/{run}/", f"{prefix}/{run}0")
                )
            connection.execute("DELETE FROM facts WHERE key IN (?, ?)", (f"secrets/{run}", f"carried/{run}"))
        self._versions.pop(run, None)

    def _version(self, stream: str) -> int:
        found: list[Any] = self._connection.execute(
            "SELECT max(version) FROM appends WHERE stream = ?", (stream,)
        ).fetchall()
        return found[0][0] or 0

    def _exists(self, append: Append, pending: dict[str, bytes | None]) -> FactExists | None:
        for fact in append.facts:
            if not fact.if_absent:
                continue
            if fact.key in pending:
                held = pending[fact.key]
            else:
                found: list[Any] = self._connection.execute(
                    "SELECT value FROM facts WHERE key = ?", (fact.key,)
                ).fetchall()
                held = found[0][0] if found else None
            if held is not None and held != fact.value:
                return FactExists(fact.key, held)
        return None
