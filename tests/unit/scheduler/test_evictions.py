"""Jobs that are ended for others: the actor, with somebody in the orchestrator's place."""

from __future__ import annotations

import random
from math import inf
from typing import Any, NamedTuple, cast

import pytest

from relevo.scheduler import actor
from relevo.scheduler.actor import LOOK, Scheduler
from relevo.scheduler.capacity import AgentCapacity
from relevo.scheduler.demand import Demand, Rules
from relevo.scheduler.evictions import CLAIMS, Eviction
from relevo.scheduler.match import Placement, Policy
from relevo.scheduler.policy import MOST_TIMES, Share
from relevo.scheduler.queue import Waiting

POLICY = Policy(preempt_grace_s=30.0)


class Asked(NamedTuple):
    priority: int
    demand: Demand
    tenant: str
    preemptible: bool


def cpus(count: float) -> Demand:
    return Demand(frozenset({"linux"}), count, None)


class Home:
    """A scheduler, and what its orchestrator and agents would do."""

    def __init__(self, policy: Policy = POLICY, cpu: float = 4, agents: int = 1) -> None:
        self.now_s = 0.0
        self.jobs: dict[Waiting, Asked] = {}
        self.times: dict[Waiting, int] = {}
        self.told: list[Waiting] = []  # to go, and has not
        self.evictions: list[tuple[Waiting, Eviction]] = []
        self.begun: list[Waiting] = []
        self.rung = False
        self.cpu = cpu
        self.scheduler = Scheduler(self._assign, lambda: self.now_s, policy, self)
        self.scheduler.ref = cast(Any, self)
        for number in range(agents):
            self.up(f"agent-{number}")

    def tell(self, message: str) -> None:
        self.rung = True

    def up(self, agent: str) -> None:
        self.scheduler.agent_up(AgentCapacity(agent, frozenset({"linux"}), 8, self.cpu, 1 << 40, 8))

    def about(self, waiting: Waiting) -> tuple[int, bool]:
        asked = self.jobs[waiting]
        return asked.priority, asked.preemptible and self.times.get(waiting, 0) < MOST_TIMES

    def evict(self, claim: Waiting, eviction: Eviction, victims: tuple[Waiting, ...]) -> None:
        assert not set(victims) & set(self.told), "told twice"
        assert all(self.about(victim)[1] for victim in victims)
        self.told += victims
        self.evictions.append((claim, eviction))

    def _assign(self, placements: list[Placement]) -> None:
        self.begun += [placement.waiting for placement in placements]

    def submit(
        self,
        run: str,
        cpu: float,
        priority: int = 0,
        tenant: str = "",
        preemptible: bool = True,
        job: int = 0,
    ) -> Waiting:
        waiting = Waiting(run, job)
        self.jobs[waiting] = Asked(priority, cpus(cpu), tenant, preemptible)
        self.scheduler.enqueue(run, job, priority, cpus(cpu), tenant)
        return waiting

    def turn(self, turns: float = inf) -> None:
        while self.rung and turns:
            self.rung = False
            self.scheduler.receive([LOOK])
            turns -= 1
        self.check()

    def gone(self, victim: Waiting) -> None:
        """It ended because it was told to, and waits again."""
        self.told.remove(victim)
        self.times[victim] = self.times.get(victim, 0) + 1
        asked = self.jobs[victim]
        self.scheduler.withdraw(*victim)
        self.scheduler.enqueue(*victim, asked.priority, asked.demand, asked.tenant)

    def end(self, waiting: Waiting) -> None:
        if waiting in self.told:
            self.told.remove(waiting)
        self.scheduler.withdraw(*waiting)
        del self.jobs[waiting]

    @property
    def running(self) -> list[Waiting]:
        return sorted(self.scheduler.reserved)

    def check(self) -> None:
        """Nothing has more than there is; what is kept is kept once."""
        scheduler = self.scheduler
        for agent in scheduler.capacity.agents.values():
            used = sum(
                held.demand.cpus or 0 for held in scheduler.reserved.values() if held.agent == agent.id
            )
            kept = sum(
                eviction.demand.cpus or 0
                for eviction in scheduler.making_room.values()
                if eviction.agent == agent.id
            )
            assert used <= agent.cpus
            assert agent.cpus_free == agent.cpus - used - kept
        for claim, eviction in scheduler.making_room.items():
            assert claim in scheduler.queue
            assert eviction.victims
            assert all(scheduler.reserved[victim].agent == eviction.agent for victim in eviction.victims)
        assert not set(scheduler.reserved) & {one for one in self.jobs if one in scheduler.queue}


def test_the_victim_goes_the_claim_has_its_place_and_the_victim_waits_again():
    home = Home()
    low = home.submit("low", 4)
    home.turn()
    high = home.submit("high", 4, 5)
    home.turn()
    assert home.told == [low]
    assert home.running == [low], "it keeps its place until it has ended"
    home.gone(low)
    home.turn()
    assert home.running == [high]
    assert low in home.scheduler.queue
    home.end(high)
    home.turn()
    assert home.running == [low]


def test_nobody_is_ended_unless_the_policy_says_so_and_the_job_lets_itself():
    for policy, preemptible in ((Policy(), True), (POLICY, False)):
        home = Home(policy)
        home.submit("low", 4, preemptible=preemptible)
        home.turn()
        home.submit("high", 4, 5)
        home.turn()
        assert home.told == []


def test_what_becomes_free_meanwhile_goes_to_no_other():
    home = Home()
    first, second = home.submit("low", 2), home.submit("low", 2, job=1)
    home.turn()
    high = home.submit("high", 4, 5)
    small = home.submit("small", 1)
    home.turn()
    assert home.told == [first, second]
    home.gone(first)
    home.turn()
    assert home.running == [second]
    home.gone(second)
    home.turn()
    assert home.running == [high]
    assert small in home.scheduler.queue


def test_several_claims_of_one_class_are_made_room_for_at_once():
    home = Home(cpu=12)  # its eight places are what there is too little of
    low = [home.submit("low", 1, job=number) for number in range(8)]
    home.turn()
    high = [home.submit("high", 1, 5, job=number) for number in range(CLAIMS)]
    home.rung = False
    home.scheduler.receive([LOOK])
    assert sorted(home.told) == low
    assert set(home.scheduler.making_room) == set(high)


def test_a_claim_that_goes_gives_back_what_was_kept():
    home = Home()
    home.submit("low", 4)
    home.turn()
    high = home.submit("high", 4, 5)
    home.turn()
    home.scheduler.withdraw(*high)
    home.turn()
    assert not home.scheduler.making_room


def test_a_claim_takes_what_becomes_free_elsewhere():
    home = Home(agents=2)
    first, second = home.submit("a", 4), home.submit("b", 4, 1)
    home.turn()
    high = home.submit("high", 4, 5)
    home.turn()
    assert home.told == [first]
    home.end(second)
    home.turn()
    assert high in home.running
    assert not home.scheduler.making_room
    home.gone(first)
    home.turn()
    assert first in home.running, "there is room for it again"


def test_one_that_stays_is_no_room_and_another_is_looked_for():
    home = Home(agents=2)
    first, second = home.submit("a", 4), home.submit("b", 4, 1)
    home.turn()
    high = home.submit("high", 4, 5)
    home.turn()
    assert home.told == [first]
    home.scheduler.stays(*first)
    home.turn()
    assert home.told == [first, second]
    home.gone(second)
    home.turn()
    assert high in home.running


def test_room_that_takes_too_long_lapses_but_not_that_which_came_after_it():
    home = Home(agents=2)
    first, second = home.submit("a", 4), home.submit("b", 4, 1)
    home.turn()
    high = home.submit("high", 4, 5)
    home.turn()
    ((claim, eviction),) = home.evictions
    home.scheduler.lapse(claim, eviction)
    home.turn()
    assert home.told == [first, second]
    home.scheduler.lapse(claim, eviction)
    assert home.scheduler.making_room[high].victims == {second}


def test_room_is_made_also_by_an_agent_that_is_away_for_a_moment():
    home = Home(agents=2)
    low = home.submit("a", 4)
    home.turn()
    home.submit("b", 4, 1, preemptible=False)
    home.turn()
    high = home.submit("high", 4, 5)
    home.turn()
    agent = home.scheduler.reserved[low].agent
    home.scheduler.agent_down(agent)
    home.up(agent)
    home.turn()
    assert home.told == [low], "it is told once"
    home.gone(low)
    home.turn()
    assert home.scheduler.reserved[high].agent == agent


def test_an_agent_that_stays_away_makes_no_room():
    home = Home()
    low = home.submit("a", 4)
    home.turn()
    high = home.submit("high", 4, 5)
    home.turn()
    home.scheduler.agent_down("agent-0")
    home.gone(low)
    home.turn()
    assert not home.scheduler.making_room
    assert high in home.scheduler.queue
    home.up("agent-0")
    home.turn()
    assert home.running == [high]


def test_a_drained_agent_makes_no_room():
    home = Home(agents=2)
    first, second = home.submit("a", 4), home.submit("b", 4, 1)
    home.turn()
    home.submit("high", 4, 5)
    home.turn()
    home.scheduler.drain(home.scheduler.reserved[first].agent)
    home.turn()
    assert home.told == [first, second]


def test_a_run_that_is_read_again_is_no_sign_that_its_jobs_have_ended():
    home = Home()
    low = home.submit("low", 4)
    home.turn()
    high = home.submit("high", 4, 5)
    home.turn()
    home.scheduler.forget("low")
    assert not home.scheduler.making_room
    assert home.begun == [low]
    home.scheduler.reserve(*low, "agent-0", cpus(4))
    assert high in home.scheduler.queue


def test_a_job_goes_so_often_at_most():
    home = Home()
    low = home.submit("low", 4)
    home.turn()
    for number in range(MOST_TIMES):
        high = home.submit(f"high {number}", 4, 5)
        home.turn()
        home.gone(low)
        home.turn()
        home.end(high)
        home.turn()
        assert home.running == [low]
    home.submit("last", 4, 9)
    home.turn()
    assert home.told == []


def test_a_quota_counts_the_room_that_is_kept():
    policy = POLICY._replace(shares={"web": Share(quota={"jobs": 1})})
    home = Home(policy)
    home.submit("low", 2)
    home.submit("low", 2, job=1)
    home.turn()
    home.submit("one", 2, 5, "web")
    home.submit("two", 1.5, 5, "web")
    home.turn()
    assert len(home.told) == 1


def test_a_key_that_is_kept_apart_counts_where_room_is_kept_for_it():
    home = Home(agents=1)
    lows = [home.submit("low", 2, job=number) for number in range(2)]
    home.turn()
    apart = Demand(frozenset({"linux"}), 2, None, rules=Rules(apart="db"))
    for number in range(2):
        home.jobs[Waiting("high", number)] = Asked(5, apart, "", True)
        home.scheduler.enqueue("high", number, 5, apart)
        home.turn()
    assert len(home.told) == 1
    home.gone(home.told[0])
    home.turn()
    assert len(home.running) == 2
    assert lows[0] in home.running or lows[1] in home.running


def live(seed: int) -> int:
    """Anything that may happen; in the end everything has run."""
    chance = random.Random(seed)
    shares = {"web": Share(guaranteed={"cpu": 2})} if chance.random() < 0.5 else {}
    home = Home(POLICY._replace(shares=shares), agents=chance.randint(1, 3))
    down: list[str] = []
    submitted = 0
    for number in range(60):
        home.now_s += chance.random() * 10
        dice = chance.random()
        agents = sorted(home.scheduler.capacity.agents)
        if dice < 0.4:
            tenant = chance.choice(("", "web"))
            cpu = chance.choice((0.5, 1, 2, 4))
            home.submit(f"r{number}", cpu, chance.randint(0, 3), tenant, chance.random() < 0.8)
            submitted += 1
        elif dice < 0.6 and home.told:
            home.gone(chance.choice(home.told))
        elif dice < 0.8 and home.running:
            home.end(chance.choice(home.running))
        elif dice < 0.85 and home.jobs:
            home.end(chance.choice(sorted(home.jobs)))
        elif dice < 0.9 and home.evictions:
            home.scheduler.lapse(*chance.choice(home.evictions))
        elif dice < 0.94 and home.told:
            home.scheduler.stays(*chance.choice(home.told))
        elif dice < 0.97 and agents:
            down.append(chance.choice(agents))
            home.scheduler.agent_down(down[-1])
        elif down:
            home.up(down.pop())
        home.turn(chance.choice((1, 2, inf)))  # a round takes turns, and more may happen between them
    while down:
        home.up(down.pop())
    while home.jobs:
        home.turn()
        assert home.running, "somebody waits, and nobody runs"
        if home.told:
            home.gone(chance.choice(home.told))
        else:
            home.end(chance.choice(home.running))
    assert all(times <= MOST_TIMES for times in home.times.values())
    assert not home.scheduler.making_room
    return len(home.times)


def test_whatever_happens_nothing_is_kept_twice_and_everything_runs_in_the_end(monkeypatch):
    monkeypatch.setattr(actor, "STEPS", 1)
    assert sum(map(live, range(200))) > 200


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_very_many_histories(monkeypatch):
    monkeypatch.setattr(actor, "STEPS", 1)
    for seed in range(20_000):
        live(seed)
