"""The lease of a home, in the home's own database: an epoch that only grows, and who holds it.

On one machine the death of a holder is verified: by boot id, pid and start time. A holder that was stopped (SIGSTOP)
while it held the database's write lock can be taken over in one way only: it is killed, after its identity was checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import apsw
import msgspec

from relevo.domain.errors import InfrastructureError
from relevo.leases.contract import Holder, Lease, LeaseHeld
from relevo.runtime.processes import ProcessIdentity, alive, kill

T = TypeVar("T")

_decode = msgspec.json.Decoder(Holder).decode


class LocalLeases:
    """See `contract.Leases`. `connect` opens the database that has the table `leases`, with a busy time-out."""

    def __init__(self, connect: Callable[[], apsw.Connection]) -> None:
        self._connect = connect

    async def acquire(self, name: str, holder: Holder, *, take_over: bool = False) -> Lease:
        return await asyncio.to_thread(self._with, lambda c: self._acquire(c, name, holder, take_over))

    async def holder(self, name: str) -> Holder | None:
        return await asyncio.to_thread(self._with, lambda c: _alive_holder(_row(c, name)[1]))

    async def valid(self, lease: Lease) -> bool:
        return await asyncio.to_thread(self._with, lambda c: _row(c, lease.name)[0] == lease.epoch)

    async def release(self, lease: Lease) -> None:
        def release(connection: apsw.Connection) -> None:
            connection.execute(
                "UPDATE leases SET holder = NULL WHERE name = ? AND epoch = ?",
                (lease.name, lease.epoch),
            )

        await asyncio.to_thread(self._with, release)

    def _with(self, function: Callable[[apsw.Connection], T]) -> T:
        connection = self._connect()
        try:
            return function(connection)
        finally:
            connection.close()

    def _acquire(self, connection: apsw.Connection, name: str, holder: Holder, take_over: bool) -> Lease:
        try:
            return _grant(connection, name, holder, take_over)
        except apsw.BusyError:
            found = _alive_holder(_row(connection, name)[1])
            if found is None or not take_over:
                if found is not None:
                    raise LeaseHeld(name, found) from None
                raise InfrastructureError("the database is locked by another program") from None
            # Stopped in the middle of a write: it holds the lock for ever, and only its end gives it back.
            kill(_identity(found))
            return _grant(connection, name, holder, take_over)


def _grant(connection: apsw.Connection, name: str, holder: Holder, take_over: bool) -> Lease:
    connection.execute("BEGIN IMMEDIATE")
    try:
        epoch, found = _row(connection, name)
        living = _alive_holder(found)
        if living is not None and living != holder and not take_over:
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
    return holder if holder is not None and alive(_identity(holder)) else None
