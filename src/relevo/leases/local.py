"""The lease of a home, in the home's own database: an epoch that only grows, and who holds it.

The epoch stands where every commit of the store reads it, so that a grant fences the earlier holder in that moment.
On one machine the death of a holder is verified: by boot id, pid and start time. A holder on another host (a home on a
shared disk) counts as alive, because nothing here can tell.

A holder that was stopped (SIGSTOP) while it held the database's write lock can be taken over in one way only: it is
killed, after its identity was checked. Nothing else gives the lock back, and it was declared superseded anyway.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

import apsw
import msgspec

from relevo.domain.errors import InfrastructureError
from relevo.leases.contract import Holder, Lease, LeaseHeld
from relevo.runtime.processes import ProcessIdentity, alive, end

T = TypeVar("T")

#: How long a take-over waits for the write lock of a holder that answers nobody, before it kills it. A commit takes
#: milliseconds; a disk may stall for some hundreds.
LOCK_MS: Final = 1_500
#: So long it waits for the end of whom it killed: a machine with much to do, and a disk that stalls, put that off.
END_S: Final = 30.0

_decode = msgspec.json.Decoder(Holder).decode


class LocalLeases:
    """See `contract.Leases`. `connect` opens the database, which has the table `leases` (name, epoch, holder)."""

    def __init__(self, connect: Callable[[], apsw.Connection]) -> None:
        self._connect = connect

    async def acquire(self, name: str, holder: Holder, *, take_over: Holder | None = None) -> Lease:
        return await asyncio.to_thread(self._with, lambda c: self._acquire(c, name, holder, take_over))

    async def holder(self, name: str) -> Holder | None:
        return await asyncio.to_thread(self._with, lambda c: _alive_holder(_row(c, name)[1]))

    async def valid(self, lease: Lease) -> bool:
        return await asyncio.to_thread(self._with, lambda c: _row(c, lease.name)[0] == lease.epoch)

    async def release(self, lease: Lease) -> None:
        def release(connection: apsw.Connection) -> None:
            # Nobody waits for the disk here: a holder that has died is known to be dead without it. Not OFF: when this
            # commit moves earlier ones into the database, these must be there before their WAL is written over.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(
                "UPDATE leases SET holder = NULL WHERE name = ? AND epoch = ?",
                (lease.name, lease.epoch),
            )

        await asyncio.to_thread(self._with, release)

    def _with(self, function: Callable[[apsw.Connection], T]) -> T:
        """Raises InfrastructureError for what the disk cannot do."""
        connection = self._connect()
        try:
            return function(connection)
        except apsw.FullError as error:
            raise InfrastructureError(
                f"no room for {connection.db_filename('main')}: make some, and try again"
            ) from error
        except apsw.Error as error:
            raise InfrastructureError(f"{connection.db_filename('main')}: {error}") from error
        finally:
            connection.close()

    def _acquire(
        self, connection: apsw.Connection, name: str, holder: Holder, take_over: Holder | None
    ) -> Lease:
        found = _alive_holder(_row(connection, name)[1])
        if found is not None and found not in (holder, take_over):
            raise LeaseHeld(name, found)  # known without the write lock, which it may be holding
        try:
            if take_over is not None:
                connection.set_busy_timeout(LOCK_MS)
            return _grant(connection, name, holder, take_over)
        except apsw.BusyError:
            found = _alive_holder(_row(connection, name)[1])
            if found is not None and found not in (holder, take_over):
                raise LeaseHeld(name, found) from None  # somebody was quicker
            if found is None or found == holder or found.pid == os.getpid():
                raise InfrastructureError("the database is locked by another program") from None
            if not end(_identity(found), END_S):
                raise InfrastructureError(f"process {found.pid} was killed, and does not end") from None
            return _grant(connection, name, holder, take_over)


def _grant(connection: apsw.Connection, name: str, holder: Holder, take_over: Holder | None) -> Lease:
    connection.execute("BEGIN IMMEDIATE")
    try:
        epoch, found = _row(connection, name)
        living = _alive_holder(found)
        if living is not None and living not in (holder, take_over):
            raise LeaseHeld(name, living)
        epoch += 1
        packed = msgspec.json.encode(holder).decode()
        connection.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?)", (name, epoch, packed))
        connection.execute("COMMIT")
    except BaseException:
        if not connection.getautocommit():
            connection.execute("ROLLBACK")
        raise
    return Lease(name, epoch, holder)


def _row(connection: apsw.Connection, name: str) -> tuple[int, Holder | None]:
    rows: list[Any] = connection.execute(
        "SELECT epoch, holder FROM leases WHERE name = ?", (name,)
    ).fetchall()
    if not rows:
        return 0, None
    epoch, packed = rows[0]
    return epoch, _decode(packed) if packed else None


def _identity(holder: Holder) -> ProcessIdentity:
    return ProcessIdentity(holder.pid, holder.start_ticks, holder.boot_id)


def _alive_holder(holder: Holder | None) -> Holder | None:
    """The holder, None when there is none or when it is verified to be dead."""
    if holder is None or (holder.host == os.uname().nodename and not alive(_identity(holder))):
        return None
    return holder
