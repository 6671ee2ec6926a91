"""Figures that are read when somebody asks: of actors, of collections, of the process."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest

from relevo.actors import Actor, ActorSystem
from relevo.core import measured
from relevo.telemetry.vitals import GcWatch, read_actors, read_process
from relevo.testing.virtual_loop import run_virtual


class Taker(Actor[int]):
    def receive(self, messages: list[int]) -> None:
        if messages == [13]:
            raise RuntimeError("unlucky")


def test_what_actors_tell() -> None:
    async def main() -> None:
        system = ActorSystem(asyncio.get_running_loop())
        ref = system.spawn(Taker, "a")
        ref.tell_many([1, 2, 3])
        await asyncio.sleep(0.1)
        read_actors(system)
        mailbox = measured.ACTOR_MAILBOX.labels("Taker")
        assert mailbox.value == 3
        assert measured.ACTOR_MESSAGES.value == 3
        assert measured.ACTORS.value == 2
        ref.tell(13)
        await asyncio.sleep(0.1)
        read_actors(system)
        assert mailbox.value == 0, "each reading begins anew"
        assert measured.ACTOR_RESTARTS.value == 1
        assert measured.DEAD_LETTERS.labels("poison").value == 1
        assert measured.ACTOR_TURNS.value == system.dispatcher.turns
        await system.shutdown()

    run_virtual(main())


def test_collections_are_counted_until_the_watch_is_closed(request: pytest.FixtureRequest) -> None:
    pauses, freed = measured.GC_PAUSE_SECONDS.labels("2"), measured.GC_COLLECTED.labels("2")
    gc.disable()  # none but those that are asked for
    request.addfinalizer(gc.enable)
    gc.collect()
    watch = GcWatch()
    before, had = pauses.count, freed.value
    knot: list[object] = []
    knot.append(knot)
    del knot
    gc.collect()
    assert pauses.count == before + 1
    assert freed.value > had
    watch.close()
    watch.close()
    gc.collect()
    assert pauses.count == before + 1


def test_what_the_process_tells() -> None:
    read_process()
    assert measured.PROCESS_MEMORY_BYTES.value > 1_000_000
    assert measured.PROCESS_OPEN_FDS.value >= 3
    assert measured.PROCESS_CPU_SECONDS.value > 0
    started_s = measured.PROCESS_START_SECONDS.value
    assert time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) - 2 < started_s < time.time() + 2
