"""The load that a home has recorded, for `relevo simulate --from-home`."""

from __future__ import annotations

import asyncio

from relevo.assembly.home import Home
from relevo.domain.errors import UserError
from relevo.scheduler.simulation.workload import Workload


async def record(home: str, since_ms: int) -> tuple[Workload, int]:
    """Jobs that ran since then (Unix milliseconds), and how many runs could not be read. Beside a living engine or without one.

    Raises UserError.
    """
    from relevo.orchestrator.recorded import recorded
    from relevo.store.sqlite import open_reader

    place = Home(home)
    if not place.exists:
        raise UserError(f"there is no run yet in {place.path}", hint="relevo run starts one")
    store = open_reader(place.database, asyncio.get_running_loop())
    try:
        return await recorded(store, since_ms)
    finally:
        await store.close()
