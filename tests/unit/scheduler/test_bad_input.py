"""What nobody should ask for, and clocks that jump: nothing is lost, nothing crashes."""

from __future__ import annotations

import math

import pytest
from tests.unit.scheduler.test_policies import ONE, World, agent, cpus

from relevo.scheduler.capacity import Capacity
from relevo.scheduler.demand import Demand, Rules
from relevo.scheduler.fit import misfit
from relevo.scheduler.policy import Policy, Share
from relevo.scheduler.unmet import refusal

ANY = frozenset[str]()


def rules(near: str = "", apart: str = "") -> Demand:
    return Demand(ANY, None, None, rules=Rules(near=near, apart=apart))


@pytest.mark.parametrize(
    "asked",
    [
        Demand(ANY, 0.0, 0),
        Demand(ANY, -5.0, -1),
        Demand(ANY, math.nan, None),
        Demand(ANY, None, None, (("gpu", 0.0), ("disk", -1.0))),
    ],
)
def test_who_asks_for_nothing_or_less_gets_a_place_and_takes_nothing_from_others(asked):
    world = World(Policy(fair=True), agent(2, name="a", cpu=1.0))
    world.submit("t", asked)
    world.submit("t", cpus(1))
    world.look()
    assert len(world.placed) == 2


@pytest.mark.parametrize(
    "asked",
    [
        Demand(ANY, 1e308, None),
        Demand(ANY, math.inf, None),
        Demand(ANY, None, 1 << 200),
        Demand(ANY, None, None, (("gpu", 1e300),)),
    ],
)
def test_who_asks_for_more_than_there_can_be_waits_holds_up_nobody_and_is_told(asked):
    world = World(Policy(fair=True, reserve_after_s=0.0), agent(2, name="a", cpu=1.0))
    waits = world.submit("t", asked)
    other = world.submit("t", cpus(1))
    world.look()
    assert [placement.waiting for placement in world.placed] == [other]
    assert waits in world.scheduler.queue
    found = misfit(asked, world.scheduler.capacity.agents["a"], Capacity())
    assert found is not None
    assert found.never
    assert "no agent here has" in refusal(asked, [world.scheduler.capacity.agents["a"]])


def test_keys_that_point_at_each_other_in_a_circle_hold_up_nobody():
    world = World(Policy(), *(agent(4, name=name) for name in "abc"))
    circle = [rules("x", "y"), rules("y", "z"), rules("z", "x"), rules("x", "x")]
    for _ in range(3):
        for demand in circle:
            world.submit("t", demand, lasts_s=10.0)
    while world.step():
        pass
    assert len(world.placed) == 12
    assert not len(world.scheduler.queue)


@pytest.mark.parametrize(
    "policy",
    [
        Policy(ageing_s=60.0),
        Policy(fair=True, shares={"t": Share(quota={"jobs": 1})}),
        Policy(reserve_after_s=60.0),
        Policy(order="deadline"),
    ],
)
@pytest.mark.parametrize("jump_s", [-1e9, 1e12])
def test_a_clock_that_jumps_loses_nothing(policy, jump_s):
    world = World(policy, agent(1, name="a"))
    world.now_s = 1e9
    for tenant in ("t", "u"):
        for _ in range(3):
            world.submit(tenant, ONE, lasts_s=5.0)
    world.look()
    world.now_s += jump_s
    world.submit("t", ONE, lasts_s=5.0)
    while world.scheduler.reserved or len(world.scheduler.queue):
        world.look()
        [(waiting, held)] = world.scheduler.reserved.items()
        assert held.agent == "a"
        world.scheduler.withdraw(*waiting)
    assert len(world.placed) == 7
    ledger = world.scheduler.capacity.ledger
    if ledger is not None:
        assert all(math.isfinite(used) and used >= 0 for used in ledger.finish.values())
        assert all(math.isfinite(one.so_far) for one in world.scheduler.used_so_far().values())
