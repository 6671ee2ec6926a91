"""What can befall a world. Each kind begins, and what lasts ends after a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from relevo.providers.contract import Exit
from relevo.workers.manager import BACKSTOP_S
from tests.simulation.plans import FaultPlan
from tests.simulation.truth import kill_all

if TYPE_CHECKING:
    from tests.simulation.world import World

#: Returns False when it cannot happen just now.
Begin = Callable[["World", FaultPlan], bool]


class Fault:
    """A fault of a schedule. It happens once, as soon after its moment as it can."""

    def __init__(self, world: World, plan: FaultPlan) -> None:
        self._world = world
        self._plan = plan
        self.over = False

    def arm(self) -> None:
        """Wait for its moment."""
        self._world.loop.call_later(self._plan.at_s, self._try)

    def _try(self) -> None:
        if KINDS[self._plan.kind](self._world, self._plan):
            self._world.note("fault", self._plan.kind, self._plan.agent, self._plan.for_s, self._plan.nth)
            self._world.saw(f"fault: {self._plan.kind}")
            self.over = True
        elif self._world.client.finished:
            self.over = True  # there is nothing that it could befall any more
        else:
            self._world.loop.call_later(0.2, self._try)


def _engine_lives(world: World) -> bool:
    process = world.engine
    return not process.host.dead and not process.host.stopped and not process.fenced


def _engine_works(world: World) -> bool:
    return _engine_lives(world) and world.engine.opened


def _agent_works(world: World, plan: FaultPlan) -> bool:
    process = world.agents[plan.agent]
    return process.up and not process.host.stopped


def _for_a_while(world: World, plan: FaultPlan, end: Callable[[], None]) -> None:
    world.trouble()

    def over() -> None:
        end()
        world.calm()

    world.loop.call_later(plan.for_s, over)


# --- the engine -----------------------------------------------------------------------------------------------------


def _engine_dies(world: World, plan: FaultPlan) -> bool:
    if not _engine_lives(world):
        return False
    world.crash_engine(world.engine)
    return True


def _engine_dies_while_it_starts(world: World, plan: FaultPlan) -> bool:
    if not _engine_lives(world):
        return False
    world.engines_to_die_starting += 1 + plan.nth % 2
    world.crash_engine(world.engine)
    return True


def _engine_dies_before_commit(world: World, plan: FaultPlan) -> bool:
    world.doom_commit(plan.nth, "before")
    return True


def _engine_dies_after_commit(world: World, plan: FaultPlan) -> bool:
    world.doom_commit(plan.nth, "after")
    return True


def _engine_leaves(world: World, plan: FaultPlan) -> bool:
    if not _engine_works(world):
        return False
    world.leave_engine()
    return True


def _engine_stops(world: World, plan: FaultPlan) -> bool:
    if not _engine_works(world):
        return False
    process = world.engine
    world.stop_engine(process)
    _for_a_while(world, plan, lambda: world.resume_engine(process))
    return True


def _engine_is_taken_over(world: World, plan: FaultPlan) -> bool:
    if not _engine_works(world):
        return False
    process = world.engine
    world.stop_engine(process)
    world.trouble()

    def take_over() -> None:
        world.start_engine()
        world.calm()

    world.loop.call_later(0.1 + plan.for_s / 4, take_over)
    _for_a_while(world, plan, lambda: world.resume_engine(process))
    return True


# --- agents and machines --------------------------------------------------------------------------------------------


def _agent_dies(world: World, plan: FaultPlan) -> bool:
    if not world.agents[plan.agent].up:
        return False
    world.crash_agent(world.agents[plan.agent])
    return True


def _agent_dies_writing(world: World, plan: FaultPlan) -> bool:
    if not _agent_works(world, plan):
        return False
    world.agents[plan.agent].disk.kill_at_write(1 + plan.nth // 4, world.entropy)
    return True


def _agent_stops(world: World, plan: FaultPlan) -> bool:
    if not _agent_works(world, plan):
        return False
    process = world.agents[plan.agent]
    host = process.host
    world.note("agent stops", process.name)
    host.stop()

    def go_on() -> None:
        if plan.for_s > 10.0 and host is process.host:
            world.crash_agent(process)  # it did not dial: whoever keeps it has killed it
        host.resume()

    _for_a_while(world, plan, go_on)
    return True


def _agent_stops_for_minutes(world: World, plan: FaultPlan) -> bool:
    """On a machine of its own, where nobody kills it: the engine's back-stop comes before it goes on."""
    if not _agent_works(world, plan):
        return False
    process = world.agents[plan.agent]
    host = process.host
    world.note("agent stops for minutes", process.name)
    host.stop()
    _for_a_while(world, FaultPlan(plan.kind, 0.0, plan.agent, BACKSTOP_S + 10 + plan.nth, 0), host.resume)
    return True


def _both_die(world: World, plan: FaultPlan) -> bool:
    if not _engine_lives(world) or not world.agents[plan.agent].up:
        return False
    world.crash_engine(world.engine)
    world.crash_agent(world.agents[plan.agent])
    return True


def _power_goes(world: World, plan: FaultPlan) -> bool:
    """The machine of engine and first agent."""
    process = world.agents[0]
    if not _engine_lives(world) or not process.up:
        return False
    world.note("power goes")
    world.crash_engine(world.engine)
    world.crash_agent(process)
    kill_all(process.machine)
    world.log_disk.crash(world.entropy)
    process.disk.crash(world.entropy)
    return True


def _power_goes_with_the_disk_full(world: World, plan: FaultPlan) -> bool:
    """What the agent finds lost cannot be written down at once when it is back."""
    if not _power_goes(world, plan):
        return False
    disk = world.agents[0].disk
    disk.fill()
    _for_a_while(world, plan, disk.free)
    return True


def _worker_goes(world: World, plan: FaultPlan) -> bool:
    process = world.agents[plan.agent]
    for key in world.truth.running:
        worker = process.machine.workers.get(key)
        if worker is not None and worker._process is not None and not worker._process.exited:
            worker.lost = True
            worker._process._end(Exit(None, lost=True))
            return True
    return False


def _workers_cannot_be_made(world: World, plan: FaultPlan) -> bool:
    world.agents[plan.agent].provider.creations_to_fail = 1 + plan.nth % 3
    return True


def _clock_jumps(world: World, plan: FaultPlan) -> bool:
    world.clocks[plan.agent].jump(-86_400_000 if plan.nth % 2 else 86_400_000)
    return True


# --- disks ----------------------------------------------------------------------------------------------------------


def _store_is_full(world: World, plan: FaultPlan) -> bool:
    world.store_disk.full = True

    def room() -> None:
        world.store_disk.full = False

    _for_a_while(world, plan, room)
    return True


def _logs_are_full(world: World, plan: FaultPlan) -> bool:
    world.log_disk.fill(plan.nth * 20)
    _for_a_while(world, plan, world.log_disk.free)
    return True


def _spool_is_full(world: World, plan: FaultPlan) -> bool:
    disk = world.agents[plan.agent].disk
    disk.fill(plan.nth * 20)
    _for_a_while(world, plan, disk.free)
    return True


def _sync_fails(world: World, plan: FaultPlan) -> bool:
    world.log_disk.fail_sync("/home/logs/")
    return True


# --- the network ----------------------------------------------------------------------------------------------------


def _connection_breaks(world: World, plan: FaultPlan) -> bool:
    world.network.cut(world.agents[plan.agent].id)
    return True


def _network_is_silent(world: World, plan: FaultPlan) -> bool:
    id = world.agents[plan.agent].id
    world.network.silence(id)
    _for_a_while(world, plan, lambda: world.network.heal(id))
    return True


def _network_is_slow(world: World, plan: FaultPlan) -> bool:
    world.network.slowness = 200.0

    def fast() -> None:
        world.network.slowness = 1.0

    _for_a_while(world, plan, fast)
    return True


def _frame_is_lost(world: World, plan: FaultPlan) -> bool:
    end = world.network.of(world.agents[plan.agent].id, dialler=plan.nth % 2 == 0)
    if end is None:
        return False
    end.frames_to_lose = 1
    return True


def _frame_is_repeated(world: World, plan: FaultPlan) -> bool:
    end = world.network.of(world.agents[plan.agent].id, dialler=plan.nth % 2 == 0)
    if end is None:
        return False
    end.frames_to_repeat = 1 + plan.nth % 3
    return True


KINDS: Final[dict[str, Begin]] = {
    "engine dies": _engine_dies,
    "engine dies while it starts": _engine_dies_while_it_starts,
    "engine dies before a commit": _engine_dies_before_commit,
    "engine dies after a commit": _engine_dies_after_commit,
    "engine leaves": _engine_leaves,
    "engine stops": _engine_stops,
    "engine is taken over": _engine_is_taken_over,
    "agent dies": _agent_dies,
    "agent dies writing": _agent_dies_writing,
    "agent stops": _agent_stops,
    "agent stops for minutes": _agent_stops_for_minutes,
    "both die": _both_die,
    "power goes": _power_goes,
    "power goes, disk full": _power_goes_with_the_disk_full,
    "worker goes": _worker_goes,
    "workers cannot be made": _workers_cannot_be_made,
    "clock jumps": _clock_jumps,
    "store is full": _store_is_full,
    "logs are full": _logs_are_full,
    "spool is full": _spool_is_full,
    "sync fails": _sync_fails,
    "connection breaks": _connection_breaks,
    "network is silent": _network_is_silent,
    "network is slow": _network_is_slow,
    "frame is lost": _frame_is_lost,
    "frame is repeated": _frame_is_repeated,
}
