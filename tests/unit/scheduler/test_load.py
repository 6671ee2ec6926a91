"""Where load counts, jobs go where agents say that they have little to do; what is old or cannot be counts for nothing."""

from __future__ import annotations

import math

import pytest
from tests.unit.scheduler.test_policies import ONE, World, agent

from relevo.scheduler.actor import LOAD_HOLDS_S
from relevo.scheduler.capacity import AgentCapacity
from relevo.scheduler.custom import CustomPolicy, Guard
from relevo.scheduler.policy import Policy, Weights

LOADED = Policy(placement=Weights(load=1))


def test_jobs_go_where_least_is_to_do_by_reports_and_by_promises():
    world = World(LOADED, agent(4, name="a"), agent(4, name="b"), agent(4, name="c"))
    world.scheduler.report("a", 0.9)
    world.scheduler.report("b", 0.6)
    for _ in range(6):
        world.submit("r", ONE)
    world.look()
    places = [placement.agent for placement in world.placed]
    # c until it is as full as b says that it is, then both, and a last
    assert places[:2] == ["c", "c"]
    assert "a" not in places


def test_an_agent_that_says_that_it_idles_is_as_busy_as_its_jobs():
    world = World(LOADED, agent(2, name="liar"), agent(2, name="honest"))
    for _ in range(4):
        world.scheduler.report("liar", 0.0)
        world.submit("r", ONE)
        world.look()
    assert sorted(placement.agent for placement in world.placed) == ["honest", "honest", "liar", "liar"]


@pytest.mark.parametrize("said", [math.nan, -1.0, -math.inf, math.inf])
def test_what_cannot_be_counts_for_nothing(said):
    one = AgentCapacity("a", frozenset(), 1, 1.0, 1)
    one.report(0.5)
    one.report(said)
    assert one.load == 0.0


def test_more_than_all_of_it_is_all_of_it():
    one = AgentCapacity("a", frozenset(), 1, 1.0, 1)
    one.report(1e300)
    assert one.load == 1.0


def test_a_report_that_no_other_follows_counts_less_and_less():
    world = World(LOADED, agent(8, name="a"), agent(8, name="b"))
    room = world.scheduler.capacity.agents["a"]
    world.scheduler.report("a", 0.8)
    found = []
    for _ in range(7):
        world.submit("r", ONE)
        world.look()
        found.append(room.load)
        world.now_s += LOAD_HOLDS_S
    assert found[:3] == [0.8, 0.4, 0.2]
    assert found[-1] == 0.0
    assert world.placed[0].agent == "b"
    # one that goes on telling is believed
    for _ in range(5):
        world.now_s += LOAD_HOLDS_S / 2
        world.scheduler.report("a", 0.8)
        world.submit("r", ONE)
        world.look()
        assert room.load == 0.8


def test_agents_that_are_not_there_and_policies_that_do_not_ask():
    world = World(LOADED, agent(1, name="a"))
    world.scheduler.report("nobody", 0.5)
    world.scheduler.agent_down("a")
    world.scheduler.report("a", 0.5)
    idle = World(Policy(), agent(1, name="a"))
    idle.scheduler.report("a", 0.5)
    assert idle.scheduler.capacity.agents["a"].load == 0.0


class ByLoad(CustomPolicy):
    def score(self, job, node):
        return -node.load


def test_custom_policies_see_it():
    world = World(Policy(custom=Guard(ByLoad())), agent(4, name="a"), agent(1, name="b"))
    world.scheduler.report("a", 0.4)
    world.submit("r", ONE)
    world.look()
    assert [placement.agent for placement in world.placed] == ["b"]
