"""The one thread that writes.

    loop: append ─► what this turn of the loop collected ─► queue ─► thread: BEGIN, fence, judge, write, COMMIT
    loop: done, done, done … ◄── one call_soon_threadsafe for each commit ◄──────────────────┘

While a commit runs, the queue collects the next one. The fence is read in the same transaction that writes: who holds
an older epoch than the lease writes nothing any more.
"""

from __future__ import annotations

import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from time import monotonic
from typing import Any, Final

import apsw
from msgspec import Struct

from relevo.core.measured import APPENDS, COMMIT_APPENDS, COMMIT_SECONDS, COMMITS
from relevo.domain.errors import DamagedError, RelevoError
from relevo.domain.ids import LEASE
from relevo.runtime.failpoints import reach
from relevo.store.contract import Append, Fact, Fenced, LiveRun, StoreUnavailable
from relevo.store.sqlite.commit import Commit, Head, put_facts
from relevo.store.sqlite.connection import is_full, running_error, transaction
from relevo.store.sqlite.deletion import delete_run

#: More appends would gain nothing and keep the first of them waiting.
MOST_APPENDS: Final = 1_024
#: Streams whose head is remembered. Beyond, all are forgotten and read again when needed.
MOST_HEADS: Final = 200_000


class Deletion(Struct, frozen=True):
    """An ended run is to be removed."""

    run: str
    facts: tuple[str, ...]  #: keys of those that nobody else names


class FactsAlone(Struct, frozen=True):
    """Facts that belong to no run."""

    facts: tuple[Fact, ...]


Work = tuple[Append | Deletion | FactsAlone, Callable[[Any], None]]


class Writer:
    """Commits what the loop hands over. `committed` is called on the loop with the last sequence of each commit."""

    def __init__(
        self,
        connection: apsw.Connection,
        path: str,
        loop: AbstractEventLoop,
        *,
        epoch: int,
        committed: Callable[[int], None],
    ) -> None:
        self._connection = connection
        self._path = path
        self._loop = loop
        self._epoch = epoch
        self._committed = committed
        self._turn: list[Work] = []
        self._queue: SimpleQueue[list[Work] | None] = SimpleQueue()
        self._heads: dict[str, Head] = {}
        self._sequence = last_sequence(connection)
        self._stale = False  # what is remembered may not be what is stored: read it again
        self._fenced_by = 0
        self._ended: Callable[[], None] = lambda: None
        # A daemon: whoever leaves without closing has no acknowledgement to wait for.
        self._thread = threading.Thread(target=self._run, name="relevo-store-writer", daemon=True)
        self._thread.start()

    # --- on the loop ------------------------------------------------------------------------------------------------

    def put(self, work: Append | Deletion | FactsAlone, done: Callable[[Any], None]) -> None:
        """Queue an append, a deletion, or facts."""
        turn = self._turn
        if not turn:
            self._loop.call_soon(self._flush)
        turn.append((work, done))

    def delete(self, run: str, facts: tuple[str, ...], done: Callable[[RelevoError | None], None]) -> None:
        """Queue the removal of a run."""
        self.put(Deletion(run, facts), done)

    def put_facts(self, facts: tuple[Fact, ...], done: Callable[[RelevoError | None], None]) -> None:
        """Queue facts that belong to no run."""
        self.put(FactsAlone(facts), done)

    def end(self, ended: Callable[[], None]) -> None:
        """Commit what is queued, then close the connection and call `ended` on the loop."""
        self._flush()
        self._ended = ended
        self._queue.put(None)

    def _flush(self) -> None:
        if self._turn:
            turn, self._turn = self._turn, []
            self._queue.put(turn)

    def _deliver(self, works: Sequence[Work], outcomes: Sequence[Any], sequence: int) -> None:
        self._committed(sequence)
        for (_, done), outcome in zip(works, outcomes, strict=True):
            try:
                done(outcome)
            except Exception as error:
                # One caller's bug is not to keep the others from their answers.
                self._loop.call_exception_handler({"message": "a store callback failed", "exception": error})

    # --- in the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        waiting: list[Work] = []
        open_ = True
        while open_ or waiting:
            while open_ and (not waiting or not self._queue.empty()):
                more = self._queue.get()
                if more is None:
                    open_ = False
                    break
                waiting += more
                del more  # while it waits for others, these are not to be kept
            if waiting:
                count = _appends_ahead(waiting) or 1
                works, waiting = waiting[:count], waiting[count:]
                outcomes = self._commit_all(works)
                self._tell(self._deliver, works, outcomes, self._sequence)
                del works, outcomes
        self._connection.close()
        self._tell(self._ended)

    def _tell(self, call: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            pass  # the loop is closed: nobody waits for an answer any more

    def _commit_all(self, works: list[Work]) -> list[Any]:
        try:
            return self._commit(works)
        except Fenced as error:
            self._fenced_by = error.current
            return [error] * len(works)
        except Exception as error:
            self._stale = True
            if (
                len(works) == 1
                or is_full(error)
                or isinstance(error, apsw.IOError | apsw.BusyError | OSError)
            ):
                return [self._refusal(error)] * len(works)
            # It may lie in one of them: a damaged page, a value that SQLite does not take.
            return [self._commit_all([work])[0] for work in works]

    def _commit(self, works: list[Work]) -> list[Any]:
        if self._fenced_by:
            raise Fenced(self._epoch, self._fenced_by)
        if self._stale:
            self._heads.clear()
            self._sequence = last_sequence(self._connection)
            self._stale = False
        if len(self._heads) > MOST_HEADS:
            self._heads.clear()
        begun = monotonic()
        with transaction(self._connection) as cursor:
            check_fence(cursor, self._epoch)
            first = works[0][0]
            if isinstance(first, Deletion):
                return self._delete(cursor, first)
            if isinstance(first, FactsAlone):
                put_facts(cursor, {fact.key: fact.value for fact in first.facts})
                return [None]
            commit = Commit(cursor, self._heads, self._sequence, self._epoch)
            outcomes = [commit.judge(append) for append, _ in works if isinstance(append, Append)]
            commit.write()
            reach("store.before-commit")
        reach("store.after-commit")
        COMMIT_SECONDS.record(monotonic() - begun)
        COMMITS.inc()
        APPENDS.inc(len(works))
        COMMIT_APPENDS.record(len(works))
        commit.keep()
        self._sequence = commit.sequence
        return outcomes

    def _delete(self, cursor: apsw.Cursor, deletion: Deletion) -> list[Any]:
        self._heads.pop(deletion.run, None)
        try:
            delete_run(cursor, deletion.run, self._sequence, deletion.facts)
        except LiveRun as error:
            return [error]
        return [None]

    def _refusal(self, error: Exception) -> RelevoError:
        found = running_error(error, self._path)
        return StoreUnavailable(str(found)) if isinstance(found, DamagedError) else found


def _appends_ahead(waiting: list[Work]) -> int:
    """How many of the next works are appends and go into one commit."""
    for index, (work, _) in enumerate(waiting[:MOST_APPENDS]):
        if not isinstance(work, Append):
            return index
    return min(len(waiting), MOST_APPENDS)


def last_sequence(connection: apsw.Connection) -> int:
    """The highest sequence that was ever given."""
    found: int = connection.execute(
        "SELECT max(coalesce((SELECT max(sequence) FROM appends), 0),"
        " coalesce((SELECT value FROM meta WHERE name = 'last_deleted'), 0))"
    ).get
    return found


def check_fence(cursor: apsw.Cursor, epoch: int) -> None:
    """Raises Fenced when the home's lease was granted under a higher epoch."""
    current = cursor.execute("SELECT epoch FROM leases WHERE name = ?", (LEASE,)).get
    if current is not None and current > epoch:
        raise Fenced(epoch, current)
