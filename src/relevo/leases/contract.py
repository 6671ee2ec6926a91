"""What every lease adapter promises. `relevo.testing.contracts.leases` holds the tests of it."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from relevo.domain.errors import RelevoError


class Holder(Struct, frozen=True):
    """Who holds a lease: enough to find the process and to be sure that it is the same one."""

    pid: int
    start_ticks: int  #: field 22 of /proc/PID/stat: a pid used again has another
    boot_id: str
    host: str
    since_ms: int  #: wall clock, Unix milliseconds
    address: str  #: where it answers: the engine's socket


class LeaseHeld(RelevoError):
    """Somebody else holds it and may well be alive."""

    def __init__(self, name: str, holder: Holder) -> None:
        super().__init__(f"{name} is held by process {holder.pid} on {holder.host}")
        self.name = name
        self.holder = holder


class Lease(Struct, frozen=True):
    """A lease that was granted. Its epoch is higher than any granted before under this name."""

    name: str
    epoch: int
    holder: Holder


class Leases(Protocol):
    """Exclusive ownership by name, fenced by an epoch that only grows."""

    async def acquire(self, name: str, holder: Holder, *, take_over: Holder | None = None) -> Lease:
        """Grant the lease under the next epoch.

        Free, expired, or its holder is verified to be dead: granted. Else LeaseHeld, unless the holder is still the one named
        by `take_over`, who was asked in vain: then the next epoch is granted all the same, and writes of the earlier holder
        are refused from here on. Of several who ask in vain at once, only the first takes over so.
        """

    async def holder(self, name: str) -> Holder | None:
        """Who holds it now, None when it is free or the holder is verified to be dead."""

    async def valid(self, lease: Lease) -> bool:
        """Whether no higher epoch was granted since."""

    async def release(self, lease: Lease) -> None:
        """Give it back. Idempotent; without effect when a higher epoch was granted."""
