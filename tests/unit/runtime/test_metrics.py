"""The figures of loop and pools are there when they are read."""

from __future__ import annotations

import asyncio

from relevo.core.metrics import Registry
from relevo.core.openmetrics import render
from relevo.runtime.loop import LagMeter
from relevo.runtime.metrics import publish_lag, publish_pools
from relevo.runtime.pools import Pool


async def test_what_is_told() -> None:
    registry = Registry()
    pool = Pool("files", threads=1)
    meter = LagMeter(asyncio.get_running_loop())
    publish_pools([pool], registry)
    publish_lag(meter, registry)
    await asyncio.gather(pool.run(int), pool.run(int))
    meter.worst_s = 0.25
    text = render(registry)
    assert 'relevo_pool_threads{pool="files"} 1\n' in text
    assert 'relevo_pool_calls_total{pool="files"} 2\n' in text
    assert 'relevo_pool_waiting{pool="files"} 0\n' in text
    assert "relevo_loop_lag_seconds 0.25\n" in text
    assert "relevo_loop_lag_seconds 0.0\n" in render(registry)
    await pool.close()
    assert 'relevo_pool_threads{pool="files"} 0\n' in render(registry)
