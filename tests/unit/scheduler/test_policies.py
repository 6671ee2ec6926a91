"""What policies promise: shares, bounds on waiting, quotas, places; through the scheduler as engines run it."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from heapq import heappop, heappush
from math import inf, nan

import pytest

from relevo.scheduler.actor import LOOK, Scheduler
from relevo.scheduler.capacity import AgentCapacity
from relevo.scheduler.demand import Demand, Rules
from relevo.scheduler.match import Placement, Policy, match
from relevo.scheduler.policy import Share, Weights
from relevo.scheduler.queue import Waiting
from relevo.workflow.label_expressions import parse

ONE = Demand(frozenset(), None, None)


def cpus(count: float, memory_bytes: int | None = None, **more: object) -> Demand:
    return Demand(frozenset(), count, memory_bytes, **more)


class World:
    """A scheduler, a clock, and jobs that end by themselves."""

    def __init__(self, policy: Policy, *agents: AgentCapacity) -> None:
        self.now_s = 0.0
        self.scheduler = Scheduler(self._assign, lambda: self.now_s, policy)
        self.scheduler.ref = self  # type: ignore[assignment]  # it is told to look: see `tell`
        self.looks = False
        self.placed: list[Placement] = []
        self.lasts: dict[Waiting, float] = {}
        self.tenants: dict[Waiting, str] = {}
        self.ends: list[tuple[float, Waiting]] = []
        self.began: dict[Waiting, float] = {}
        for agent in agents:
            self.scheduler.agent_up(agent)

    def tell(self, look: object) -> None:
        self.looks = True

    def _assign(self, placements: list[Placement]) -> None:
        for placement in placements:
            self.placed.append(placement)
            self.began[placement.waiting] = self.now_s
            heappush(self.ends, (self.now_s + self.lasts.get(placement.waiting, inf), placement.waiting))

    def submit(
        self, tenant: str, demand: Demand = ONE, *, run: str = "", lasts_s: float = inf, priority: int = 0
    ) -> Waiting:
        waiting = Waiting(run or tenant, len(self.tenants))
        self.tenants[waiting] = tenant
        self.lasts[waiting] = lasts_s
        self.scheduler.enqueue(*waiting, priority, demand, tenant)
        return waiting

    def look(self) -> None:
        while self.looks:
            self.looks = False
            self.scheduler.receive([LOOK])

    def step(self) -> bool:
        """On to the next end."""
        self.look()
        if not self.ends or self.ends[0][0] == inf:
            return False
        self.now_s, ended = heappop(self.ends)
        self.scheduler.withdraw(*ended)
        self.look()
        return True

    def held(self) -> Counter[str]:
        return Counter(held.tenant for held in self.scheduler.reserved.values())


def agent(places: int, cpu: float = 1e3, memory: int = 1 << 40, **more: object) -> AgentCapacity:
    name = str(more.pop("name", "x"))
    return AgentCapacity(name, frozenset(), places, cpu, memory, **more)  # type: ignore[arg-type]


# --- shares -------------------------------------------------------------------------------------------------------


def test_the_example_of_the_paper():
    """9 cpus and 18 GB; A's jobs want 1 cpu and 4 GB, B's 3 cpus and 1 GB: A gets three of them, B two."""
    world = World(Policy(fair=True), agent(100, 9, 18))
    for _ in range(20):
        world.submit("A", cpus(1, 4))
        world.submit("B", cpus(3, 1))
    world.look()
    assert world.held() == {"A": 3, "B": 2}


@pytest.mark.parametrize("seed", range(20))
def test_dominant_shares_are_those_of_exact_fairness(seed):
    """Beside the solution of the linear programme for divisible jobs: nobody is further from it than two jobs' share."""
    rng = random.Random(seed)
    total = {"cpu": 1_000.0, "memory": 1 << 40}
    tenants = {
        name: (rng.choice((0.5, 1, 2, 3)), rng.choice((1, 2, 4)) << 29, rng.choice((1.0, 2.0)))
        for name in "abcd"
    }
    shares = {name: Share(weight) for name, (_, _, weight) in tenants.items()}
    world = World(Policy(fair=True, shares=shares, round_limit=100_000), agent(100_000, 1_000, 1 << 40))
    for name, (cpu, memory, _) in tenants.items():
        for _ in range(2_500):
            world.submit(name, cpus(cpu, memory))
    world.look()
    parts = {
        name: max(cpu / total["cpu"], memory / total["memory"]) for name, (cpu, memory, _) in tenants.items()
    }
    level = min(
        1
        / sum(
            weight / parts[name] * amounts[index] / total[resource]
            for name, (*amounts, weight) in tenants.items()
        )
        for index, resource in enumerate(("cpu", "memory"))
    )
    for name, (_, _, weight) in tenants.items():
        assert (
            abs(world.held()[name] * parts[name] - level * weight) <= 2 * parts[name] + 0.01 * level * weight
        )


def jain(values: list[float]) -> float:
    return sum(values) ** 2 / (len(values) * sum(value * value for value in values))


@pytest.mark.parametrize("places", [1, 4])
def test_equal_tenants_get_the_same_beside_one_that_submits_a_hundred_times_as_much(places):
    rng = random.Random(places)
    world = World(Policy(fair=True), agent(places))
    for number in range(4_000):
        world.submit("noisy", run=f"noisy-{number}", lasts_s=rng.choice((1, 2, 5)))
    quiet = [f"quiet-{number}" for number in range(4)]
    for tenant in quiet:
        for _ in range(40):
            world.submit(tenant, lasts_s=rng.choice((1, 2, 5)))
    served: dict[str, float] = defaultdict(float)
    while all(world.scheduler.queue.tenants.get(tenant) for tenant in quiet) and world.step():
        pass
    for placement in world.placed:
        served[world.tenants[placement.waiting]] += world.lasts[placement.waiting]
    assert jain([served[tenant] for tenant in quiet]) >= 0.95
    assert jain([served[tenant] for tenant in (*quiet, "noisy")]) >= 0.95


def test_a_burst_is_not_served_before_others_only_because_it_came_first():
    world = World(Policy(fair=True), agent(1))
    for number in range(50):
        world.submit("burst", run=f"r{number}", lasts_s=1)
    world.step()
    for number in range(5):
        world.submit("late", run=f"l{number}", lasts_s=1)
    for _ in range(10):
        world.step()
    begun = [world.tenants[placement.waiting] for placement in world.placed[1:11]]
    assert 4 <= begun.count("late") <= 5


def test_nobody_saves_up_while_it_wants_nothing():
    world = World(Policy(fair=True), agent(1))
    for number in range(300):
        world.submit("steady", run=f"r{number}", lasts_s=1)
    for _ in range(100):
        world.step()
    for number in range(100):
        world.submit("back", run=f"b{number}", lasts_s=1)
    for _ in range(20):
        world.step()
    begun = [world.tenants[placement.waiting] for placement in world.placed[-20:]]
    assert 8 <= begun.count("back") <= 12


# --- bounds on waiting ---------------------------------------------------------------------------------------------


def test_low_priority_gets_its_turn_by_ageing():
    """A job waits at most (difference + 1) × ageing before it goes before whatever comes."""
    world = World(Policy(ageing_s=10.0), agent(1))
    low = world.submit("low", lasts_s=1)
    world.submit("high", run="first", lasts_s=1, priority=3)
    for number in range(100):
        world.submit("high", run=f"r{number}", lasts_s=1, priority=3)
        world.step()
        if low in world.began:
            break
    assert world.began[low] <= 41.0


def test_a_large_job_is_not_starved_by_small_ones():
    world = World(Policy(reserve_after_s=5.0), agent(8, 4.0))
    for number in range(4):
        world.submit("small", cpus(1), run=f"s{number}", lasts_s=3 + number)
    world.look()
    large = world.submit("large", cpus(4), lasts_s=1)
    for number in range(200):
        world.submit("small", cpus(1), run=f"r{number}", lasts_s=3)
        if not world.step() or large in world.began:
            break
    # kept from the first look after 5 s on: what ran then ends 3 s later at most
    assert world.began[large] <= 12.0


def test_what_takes_nothing_that_is_missing_goes_on_beside_a_job_that_room_is_kept_for():
    world = World(Policy(reserve_after_s=0.0), agent(8, 8.0))
    world.submit("a", cpus(4))
    world.look()
    large = world.submit("large", cpus(6))
    beside, not_beside = world.submit("a", ONE._replace(memory_bytes=1)), world.submit("b", cpus(1))
    world.look()
    assert beside in world.began
    assert not_beside not in world.began
    assert world.scheduler.last.reservations[0].waiting == large


def test_a_rule_that_contradicts_itself_holds_up_nobody_else():
    world = World(Policy(reserve_after_s=0.0), agent(2))
    never = world.submit("a", ONE._replace(rules=Rules(where=parse("gpu && !gpu"))))
    other = world.submit("a")
    world.look()
    assert other in world.began
    assert never not in world.began
    assert not world.scheduler.last.reservations


def test_jobs_that_want_to_be_near_each_other_do_not_wait_for_each_other():
    world = World(Policy(), agent(1, name="x"), agent(1, name="y"))
    first = world.submit("a", ONE._replace(rules=Rules(near="b", apart="a")))
    second = world.submit("a", ONE._replace(rules=Rules(near="a", apart="b")))
    world.look()
    assert {first, second} <= world.began.keys()


# --- quotas ----------------------------------------------------------------------------------------------------------


def test_over_quota_waits_and_never_fails():
    world = World(Policy(shares={"a": Share(quota={"jobs": 2})}), agent(10))
    for number in range(5):
        world.submit("a", run=f"r{number}", lasts_s=1)
    world.look()
    assert world.held() == {"a": 2}
    assert world.scheduler.over_quota("a", ONE)
    assert not world.scheduler.over_quota("b", ONE)
    while world.step():
        assert world.held()["a"] <= 2
    assert len(world.placed) == 5


def test_a_quota_lowered_under_what_runs_ends_nothing_and_gives_nothing_more():
    world = World(Policy(shares={"a": Share(quota={"cpu": 4})}), agent(10, 10.0))
    for number in range(6):
        world.submit("a", cpus(1), run=f"r{number}", lasts_s=1 + number)
    world.look()
    assert world.held() == {"a": 4}
    world.scheduler.change(Policy(shares={"a": Share(quota={"cpu": 1})}))
    for expected in (3, 2, 1, 1, 1):
        world.step()
        assert world.held() == {"a": expected}


def test_what_is_guaranteed_comes_before_what_is_borrowed():
    shares = {"owner": Share(guaranteed={"jobs": 2})}
    world = World(Policy(shares=shares), agent(4))
    for number in range(10):
        world.submit("guest", run=f"r{number}", lasts_s=1)
    world.look()
    assert world.held() == {"guest": 4}  # nobody else wants it
    for number in range(10):
        world.submit("owner", run=f"o{number}", lasts_s=5)
    world.step()
    world.step()
    assert world.held()["owner"] == 2  # as soon as something is free
    world.step()
    world.step()
    assert world.held()["guest"] >= 1


def test_tenants_that_are_renamed_or_removed_keep_their_queued_jobs():
    world = World(Policy(fair=True, shares={"old": Share(quota={"jobs": 0})}), agent(1))
    waiting = world.submit("old", lasts_s=1)
    world.look()
    assert waiting not in world.began
    world.scheduler.change(Policy(fair=True, shares={"new": Share(2.0)}))
    world.look()
    assert waiting in world.began


# --- places ----------------------------------------------------------------------------------------------------------


def spread_of(weights: Weights, *agents: AgentCapacity, jobs: int = 4) -> Counter[str]:
    world = World(Policy(placement=weights), *agents)
    for _ in range(jobs):
        world.submit("a", cpus(1))
    world.look()
    return Counter(placement.agent for placement in world.placed)


def test_jobs_are_packed_or_spread():
    def two() -> tuple[AgentCapacity, AgentCapacity]:
        return agent(4, 4.0, name="x"), agent(4, 4.0, name="y")

    assert spread_of(Weights(pack=1), *two()) == {"x": 4}
    assert spread_of(Weights(spread=1), *two()) == {"x": 2, "y": 2}


@pytest.mark.parametrize(("load", "goes"), [(3.0, "y"), (0.0, "x"), (nan, "x"), (-5.0, "x"), (inf, "x")])
def test_what_a_node_says_of_its_load_counts_unless_it_cannot_be(load, goes):
    told, other = agent(4, 4.0, name="x"), agent(4, 4.0, name="y")
    told.report(load)
    assert spread_of(Weights(load=1), told, other, jobs=1) == {goes: 1}


def test_a_node_that_says_it_is_idle_gets_no_more_than_it_has():
    liar = agent(2, 2.0, name="x")
    world = World(Policy(placement=Weights(load=1)), liar, agent(8, 8.0, name="y"))
    for _ in range(8):
        world.submit("a", cpus(1))
        liar.report(0.0)
        world.look()
    assert Counter(placement.agent for placement in world.placed)["x"] <= 2


def test_an_agent_that_comes_back_smaller_gets_nothing_until_it_has_room():
    world = World(Policy(), agent(4, 4.0))
    for _ in range(6):
        world.submit("a", cpus(1), lasts_s=1)
    world.look()
    world.scheduler.agent_down("x")
    world.scheduler.agent_up(agent(2, 2.0))
    world.look()
    assert len(world.placed) == 4
    for _ in range(3):
        world.step()
    assert len(world.placed) == 5


def test_a_drained_node_takes_nothing_new():
    drained, other = agent(4, name="x"), agent(1, name="y")
    drained.drain()
    world = World(Policy(), drained, other)
    for _ in range(3):
        world.submit("a")
    world.look()
    assert [placement.agent for placement in world.placed] == ["y"]
    world.scheduler.drain("x", on=False)
    world.look()
    assert len(world.placed) == 3


def test_nothing_asked_for_is_too_absurd():
    absurd = [
        cpus(inf),
        cpus(1e308),
        cpus(nan),
        Demand(frozenset(), None, 1 << 200),
        cpus(1, 0, extras=(("gpu", inf),)),
    ]
    world = World(Policy(), agent(10, 4.0, 1 << 30))
    zero = world.submit("a", cpus(0.0, 0))
    for demand in absurd:
        world.submit("a", demand)
    world.look()
    assert zero in world.began
    capacity = world.scheduler.capacity.agents["x"]
    assert capacity.free >= 0
    assert match(world.scheduler.queue, world.scheduler.capacity, Policy()) == []
