"""Hosts of the simulation."""

from __future__ import annotations

import asyncio

from relevo.testing.sim_host import SimHost
from relevo.testing.virtual_loop import VirtualLoop, run_on


def test_timers_fire_though_the_loop_has_cleared_out_many_that_were_cancelled():
    loop = VirtualLoop()

    async def main() -> list[int]:
        host = SimHost(loop)
        for timer in [host.call_later(5, fired.append, number) for number in range(300)]:
            timer.cancel()
        await asyncio.sleep(1)  # the loop clears them out
        host.call_later(1, fired.append, -1)
        await asyncio.sleep(10)
        return fired

    fired: list[int] = []
    assert run_on(loop, main()) == [-1]
