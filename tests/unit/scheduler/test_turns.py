"""Rounds that are made in turns: whatever happens between two of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import cast

import pytest
from tests.unit.scheduler.oracle import NOW_S, Instance, Oracle, instance

from relevo.actors import ActorRef
from relevo.scheduler import actor, nodes, rounds
from relevo.scheduler.actor import LOOK, Look, Scheduler
from relevo.scheduler.capacity import AgentCapacity
from relevo.scheduler.fit import fits
from relevo.scheduler.match import Placement, decide
from relevo.scheduler.queue import Waiting


class World:
    """A scheduler that is given an instance, and its mailbox."""

    def __init__(self, given: Instance) -> None:
        self.told = False
        self.later: list[Callable[[], None]] = []
        self.placed: list[Placement] = []
        self.scheduler = Scheduler(self.placed.extend, lambda: NOW_S, given.policy, later=self.later.append)
        self.scheduler.ref = cast("ActorRef[Look]", self)
        self.scheduler.queue, self.scheduler.capacity = given.made()
        self.scheduler._look()

    def tell(self, look: Look) -> None:
        self.told = True

    def turn(self) -> bool:
        """One turn; whether it asks for another."""
        self.told = False
        self.scheduler.receive([LOOK])
        assert not (self.told and self.later), "told once"
        if self.scheduler._round is not None:
            assert not self.told, "others come before the round goes on"
        while self.later:
            self.later.pop()()
        return self.told


@pytest.fixture(autouse=True)
def as_many_turns_as_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns of one step each, and every step is told of."""
    monkeypatch.setattr(actor, "STEPS", 1)
    monkeypatch.setattr(nodes, "AT_ONCE", 1)
    monkeypatch.setattr(rounds, "AT_ONCE", 1)
    monkeypatch.setattr(rounds, "SURVEYED_AT_ONCE", 1)
    monkeypatch.setattr(rounds, "SURVEYED_AFTER", 1_000)


def test_a_round_comes_to_the_same_in_whatever_turns():
    turns = 0
    for seed in range(10_000, 10_600):
        given = instance(seed)
        expected = Oracle(given)
        expected.run()
        world = World(given)
        while world.told:
            turns += 1
            world.turn()
            if world.scheduler._round is None:
                break  # the first round is over
        found = [(one.waiting, one.agent) for one in world.placed]
        assert found == expected.placements, seed
    assert turns > 5_000


def over(agent: AgentCapacity) -> bool:
    return (
        agent.free < 0
        or agent.cpus_free < 0
        or agent.memory_free < 0
        or min(agent.extras_free.values(), default=0) < 0
    )


def test_whatever_happens_between_turns_nothing_is_promised_twice_and_nobody_is_forgotten():
    restarted = placed = 0
    for seed in range(400):
        rng = random.Random(seed)
        given = instance(20_000 + seed)
        world = World(given)
        scheduler = world.scheduler
        before = {agent.id for agent in scheduler.capacity.agents.values() if over(agent)}  # as it was made
        away: list[AgentCapacity] = []
        for number in range(80):
            under_way = scheduler._round
            what = rng.choice(("come", "go", "end", "down", "up", "drain", "adopt", "come", *("turn",) * 16))
            if what == "turn" or not scheduler.capacity.agents:
                if world.told:
                    world.turn()
            elif what == "come" and given.jobs:
                like = rng.choice(given.jobs)
                scheduler.enqueue(rng.choice("abcd"), 100 + number, like.priority, like.demand, like.tenant)
            elif what == "go" and len(scheduler.queue):
                scheduler.withdraw(*rng.choice(list(scheduler.queue._places)))
            elif what == "end" and scheduler.reserved:
                scheduler.withdraw(*rng.choice(list(scheduler.reserved)))
            elif what == "down":
                agent = rng.choice(list(scheduler.capacity.agents.values()))
                scheduler.agent_down(agent.id)
                away.append(agent)
            elif what == "up" and away:
                gone = away.pop()
                fresh = AgentCapacity(
                    gone.id, gone.labels, gone.slots, gone.cpus, gone.memory_bytes, extras=gone.extras, taints=gone.taints, pool=gone.pool, zone=gone.zone
                )  # fmt: skip
                scheduler.agent_up(fresh)
                before.discard(gone.id)
            elif what == "drain":
                scheduler.drain(rng.choice(list(scheduler.capacity.agents)), rng.random() < 0.3)
            elif what == "adopt" and given.jobs:
                agent, demand = (
                    rng.choice(list(scheduler.capacity.agents.values())),
                    rng.choice(given.jobs).demand,
                )
                if fits(demand, agent, scheduler.capacity):
                    scheduler.reserve("adopted", number, agent.id, demand)
            restarted += under_way is not None and scheduler._round is None and what != "turn"
            assert not any(
                over(agent) for agent in scheduler.capacity.agents.values() if agent.id not in before
            ), seed
        for _ in range(1_000):
            if not world.told:
                break
            world.turn()
        assert not world.told, f"{seed}: it looks again and again"
        assert not any(
            over(agent) for agent in scheduler.capacity.agents.values() if agent.id not in before
        ), seed
        left = decide(scheduler.queue, scheduler.capacity, given.policy, NOW_S).placements
        assert not left, f"{seed}: waits though there is room: {left}"
        assert len({one.waiting for one in world.placed}) == len(world.placed), seed
        placed += len(world.placed)
    assert restarted > 100
    assert placed > 500


def test_a_job_that_comes_while_a_round_is_under_way_is_placed_by_the_next():
    for seed in range(200):
        given = instance(seed)
        if len(given.jobs) > 5 and any(
            node.places and not node.drained and not node.taints for node in given.nodes
        ):
            break
    world = World(given)
    while world.scheduler._round is None:
        world.turn()
    world.scheduler.agent_up(AgentCapacity("roomy", frozenset({"late"}), 4, 4.0, 1000))
    demand = given.jobs[0].demand._replace(
        labels=frozenset({"late"}), cpus=None, memory_bytes=None, extras=(), rules=None
    )
    world.scheduler.enqueue("late", 0, 0, demand)
    while world.told:
        world.turn()
    assert Waiting("late", 0) in {one.waiting for one in world.placed}
