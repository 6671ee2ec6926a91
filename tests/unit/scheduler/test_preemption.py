"""Who would have to go: examples, and any instance against what must hold of the answer."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from relevo.scheduler.capacity import AgentCapacity, Capacity
from relevo.scheduler.demand import Demand, Rules, amounts
from relevo.scheduler.match import Policy, decide
from relevo.scheduler.policy import Share
from relevo.scheduler.preemption import Preemption, Running, by_agent, preemptions
from relevo.scheduler.queue import Queue, Waiting
from relevo.scheduler.tenants import Ledger

NOW_S = 100.0
USUAL = Policy()


def cpus(count: float) -> Demand:
    return Demand(frozenset(), count, None)


def world(agents: dict[str, float], running: list[Running], policy: Policy = USUAL) -> Capacity:
    capacity = Capacity()
    ledger = capacity.ledger = Ledger(policy.shares)
    for name, cpu in agents.items():
        capacity.agents[name] = AgentCapacity(name, frozenset(), 100, cpu, 1 << 40)
    for job in running:
        capacity.agents[job.agent].take(job.demand)
        ledger.took(job.tenant, job.demand)
    return capacity


def ask(
    capacity: Capacity, running: list[Running], *jobs: tuple[str, int, Demand], policy: Policy = USUAL
) -> list[Preemption]:
    """Each job: tenant, priority, demand."""
    queue = Queue()
    for number, (tenant, priority, demand) in enumerate(jobs):
        queue.add(Waiting("new", number), priority, demand, 0.0, tenant)
    found = decide(queue, capacity, policy, NOW_S)
    assert not found.placements
    return preemptions(found, by_agent(running), capacity, policy, NOW_S)


def job(number: int, agent: str, cpu: float, priority: int = 0, **more: object) -> Running:
    return Running(Waiting("old", number), agent, cpus(cpu), priority, **more)  # type: ignore[arg-type]


def victims(found: list[Preemption]) -> list[tuple[str, list[int]]]:
    return [(one.agent, sorted(waiting.job for waiting in one.victims)) for one in found]


def test_lowest_priority_goes_then_fewest_then_least_work():
    running = [
        job(0, "x", 4, 1),
        job(1, "y", 2),
        job(2, "y", 2),
        job(3, "z", 4, since_s=10),
        job(4, "w", 4, since_s=90),
    ]
    capacity = world({"x": 4, "y": 4, "z": 4, "w": 4}, running)
    assert victims(ask(capacity, running, ("t", 5, cpus(4)))) == [("w", [4])]


def test_only_as_many_as_needed_and_the_longest_running_stay():
    running = [job(0, "x", 1, since_s=0), job(1, "x", 1, since_s=50), job(2, "x", 2, 3)]
    assert victims(ask(world({"x": 4}, running), running, ("t", 5, cpus(1)))) == [("x", [1])]


def test_nobody_goes_for_equal_priority_or_where_it_does_not_help():
    running = [job(0, "x", 4, 5), job(1, "y", 2)]
    capacity = world({"x": 4, "y": 2}, running)
    assert ask(capacity, running, ("t", 5, cpus(3))) == []
    assert ask(capacity, running, ("t", 9, cpus(5))) == []


def test_what_must_not_be_ended_stays():
    running = [job(0, "x", 4, preemptible=False)]
    assert ask(world({"x": 4}, running), running, ("t", 5, cpus(1))) == []


def test_two_jobs_do_not_count_on_the_same_victim():
    running = [job(0, "x", 2), job(1, "y", 2)]
    found = ask(
        world({"x": 2, "y": 2}, running), running, ("a", 5, cpus(2)), ("b", 5, cpus(1.5)), ("c", 5, cpus(1.9))
    )
    assert sorted(victims(found)) == [("x", [0]), ("y", [1])]


def test_what_was_borrowed_is_taken_back_but_no_more():
    policy = Policy(shares={"owner": Share(guaranteed={"cpu": 2}), "lender": Share(guaranteed={"cpu": 3})})
    running = [job(0, "x", 3, tenant="lender"), job(1, "x", 1, tenant="guest")]
    capacity = world({"x": 4}, running, policy)
    assert victims(ask(capacity, running, ("owner", 0, cpus(1)), policy=policy)) == [("x", [1])]
    assert ask(capacity, running, ("owner", 0, cpus(2)), policy=policy) == []
    assert ask(capacity, running, ("other", 0, cpus(1)), policy=policy) == []


def test_keys_that_are_kept_apart_count():
    apart = cpus(1)._replace(rules=Rules(apart="db"))
    running = [Running(Waiting("old", 0), "x", apart, 0), job(1, "x", 1)]
    assert victims(ask(world({"x": 9}, running), running, ("t", 5, apart))) == [("x", [0])]


def check(seed: int) -> bool:
    rng = random.Random(seed)
    agents = {name: rng.choice((2.0, 4.0)) for name in "xyz"[: rng.randint(1, 3)]}
    running = []
    for name, cpu in agents.items():
        left = cpu
        while left > 0 and rng.random() < 0.9:
            asked = min(left, rng.choice((0.5, 1, 2)))
            left -= asked
            running.append(
                job(
                    len(running),
                    name,
                    asked,
                    rng.randint(0, 3),
                    since_s=float(rng.randint(0, 99)),
                    preemptible=rng.random() < 0.8,
                )
            )
    capacity = world(agents, running)
    asked = cpus(rng.choice((1, 2, 3, 4)))
    queue = Queue()
    queue.add(Waiting("new", 0), 2, asked)
    found = decide(queue, capacity, Policy(), NOW_S)
    got = preemptions(found, by_agent(running), capacity, Policy(), NOW_S)
    if found.placements:
        assert not got
        return False
    # whoever can be ended, in whatever sets
    costs = []
    for name, agent in capacity.agents.items():
        may = [one for one in running if one.agent == name and one.preemptible and one.priority < 2]
        for count in range(len(may) + 1):
            costs += [
                max(one.priority for one in gone)
                for gone in combinations(may, count)
                if agent.cpus_free + sum(one.demand.cpus or 0 for one in gone) >= (asked.cpus or 0)
            ]
    assert bool(got) == bool(costs), seed
    if got:
        (one,) = got
        gone = [running_one for running_one in running if running_one.waiting in one.victims]
        assert all(
            victim.agent == one.agent and victim.preemptible and victim.priority < 2 for victim in gone
        )
        free = capacity.agents[one.agent].cpus_free
        assert free + sum(victim.demand.cpus or 0 for victim in gone) >= (asked.cpus or 0)
        assert max(victim.priority for victim in gone) == min(costs), (
            seed
        )  # nobody more important than needed
        for spared in gone:  # nobody for nothing
            rest = sum(victim.demand.cpus or 0 for victim in gone if victim is not spared)
            assert free + rest < (asked.cpus or 0), seed
    return bool(got)


def test_any_answer_helps_spares_whom_it_can_and_ends_the_least_important():
    assert sum(map(check, range(1_000))) > 200


@pytest.mark.soak
def test_very_many_answers():
    for seed in range(100_000):
        check(seed)


def test_amounts_are_whole_thousandths():
    assert amounts(cpus(0.1)) == (("places", 1000), ("cpu", 100))
