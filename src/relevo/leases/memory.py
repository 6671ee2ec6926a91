"""Leases without a machine, for the simulation: the test says which holders are alive."""

from __future__ import annotations

from collections.abc import Callable

from relevo.leases.contract import Holder, Lease, LeaseHeld


class MemoryLeases:
    """See `contract.Leases`. One object for all that compete; `alive` verifies a holder.

    It fences nobody by itself: the store that is opened under the granted epoch does.
    """

    def __init__(self, alive: Callable[[Holder], bool] = lambda holder: True) -> None:
        self._alive = alive
        self._epochs: dict[str, int] = {}
        self._holders: dict[str, Holder] = {}

    async def acquire(self, name: str, holder: Holder, *, take_over: Holder | None = None) -> Lease:
        living = await self.holder(name)
        if living is not None and living not in (holder, take_over):
            raise LeaseHeld(name, living)
        epoch = self._epochs.get(name, 0) + 1
        self._epochs[name] = epoch
        self._holders[name] = holder
        return Lease(name, epoch, holder)

    async def holder(self, name: str) -> Holder | None:
        holder = self._holders.get(name)
        return holder if holder is not None and self._alive(holder) else None

    async def valid(self, lease: Lease) -> bool:
        return self._epochs.get(lease.name, 0) == lease.epoch

    async def release(self, lease: Lease) -> None:
        if await self.valid(lease):
            self._holders.pop(lease.name, None)
