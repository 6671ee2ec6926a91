"""What tenants have used carries over to the next engine: a fact of the home, written rarely, and when an engine leaves.

An engine that dies loses what was used in its last `EVERY_S`: tenants are then taken to have used that much less.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Final

import msgspec

from relevo.domain.errors import DamagedError, InfrastructureError
from relevo.runtime.notices import NOTICES
from relevo.scheduler.actor import REMEMBERED, Scheduler, Used
from relevo.store.contract import EventStore, Fact, Fenced

KEY: Final = "shares/used"
EVERY_S: Final = 60.0

_decoder = msgspec.msgpack.Decoder(dict[str, Used])


class SharesKept:
    """Keeps the virtual finish times of tenants. Does nothing where the policy does not count what tenants use."""

    def __init__(self, store: EventStore, scheduler: Scheduler) -> None:
        self._store = store
        self._scheduler = scheduler
        self._written: Mapping[str, Used] = {}

    async def load(self) -> None:
        """Before runs are taken up. Raises StoreUnavailable."""
        if self._scheduler.capacity.ledger is None:
            return
        try:
            packed = await self._store.fact(KEY)
            found = {} if packed is None else _decoder.decode(packed)
        except (DamagedError, msgspec.MsgspecError) as error:
            NOTICES.warning("what tenants have used is not known any more, and shares begin anew: %s", error)
            return
        self._written = {
            name: one for name, one in found.items() if math.isfinite(one.so_far) and one.so_far >= 0
        }
        self._scheduler.carry_over(self._written)

    async def keep(self) -> None:
        """Write it again and again, for as long as the engine lives."""
        while self._scheduler.capacity.ledger is not None:
            await asyncio.sleep(EVERY_S)
            await self.write()

    async def write(self) -> None:
        """Write it, if it is not what was written before. What cannot be stored is lost: it is no reason to do anything else."""
        used = self._scheduler.used_so_far()
        if len(used) > REMEMBERED:
            used = dict(
                sorted(used.items(), key=lambda item: (not item[1].there, -item[1].so_far))[:REMEMBERED]
            )
        if not used or used == self._written:
            return
        try:
            await self._store.put_facts([Fact(KEY, msgspec.msgpack.encode(used))])
        except (Fenced, InfrastructureError):
            return
        self._written = used
