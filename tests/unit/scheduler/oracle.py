"""Matching said as plainly as it can be: everything is looked at again for each placement. For small instances only."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any, NamedTuple

from relevo.scheduler.capacity import AgentCapacity, Capacity
from relevo.scheduler.demand import Demand, Rules
from relevo.scheduler.policy import Policy, Share, Weights
from relevo.scheduler.queue import Queue, Waiting
from relevo.scheduler.tenants import Ledger
from relevo.workflow.label_expressions import parse

NOW_S = 1_000.0


class Job(NamedTuple):
    """A job of an instance."""

    waiting: Waiting
    priority: int
    demand: Demand
    since_s: float
    tenant: str
    deadline_s: float


class Node(NamedTuple):
    """An agent of an instance, and what runs there already."""

    id: str
    labels: frozenset[str]
    places: int
    cpus: float
    memory: int
    gpu: float
    taints: frozenset[str]
    pool: str
    zone: str
    drained: bool
    load: float
    running: list[tuple[str, Demand]]  #: by tenant


class Instance(NamedTuple):
    """All that a round looks at."""

    jobs: list[Job]
    nodes: list[Node]
    policy: Policy
    finish: dict[str, float]

    def made(self) -> tuple[Queue, Capacity]:
        """The same as the scheduler has it."""
        queue, capacity = Queue(self.policy.order), Capacity()
        for job in self.jobs:
            queue.add(*job)
        ledger = Ledger(self.policy.shares)
        for node in self.nodes:
            capacity.agents[node.id] = agent = AgentCapacity(
                node.id,
                node.labels,
                node.places,
                node.cpus,
                node.memory,
                extras={"gpu": node.gpu} if node.gpu else {},
                taints=node.taints,
                pool=node.pool,
                zone=node.zone,
            )
            agent.drain(node.drained)
            agent.report(node.load)
            for tenant, demand in node.running:
                agent.take(demand)
                ledger.took(tenant, demand)
        ledger.finish.update(self.finish)
        if self.policy.fair or self.policy.shares:
            capacity.ledger = ledger
        return queue, capacity


EXPRESSIONS = ["gpu", "!gpu", "zone:a || zone:b", "pool:p && !node:n1", "gpu && !gpu", "big"]


def instance(seed: int) -> Instance:
    """An instance, any instance."""
    rng = random.Random(seed)
    rules = [
        *[None] * 8,
        Rules(where=parse(rng.choice(EXPRESSIONS))),
        Rules(prefers=parse(rng.choice(EXPRESSIONS)), near=rng.choice(("", "k"))),
        Rules(tolerates=frozenset({"old"})),
        Rules(apart="db", apart_over=rng.choice(("node", "pool", "zone"))),
        Rules(near="k", apart=rng.choice(("db", "web")), tolerates=frozenset({"old", "own"})),
    ]
    demands = [
        Demand(
            frozenset(rng.sample(("linux", "gpu"), rng.choice((0, 0, 0, 0, 1, 2)))),
            rng.choice((None, None, 0.1, 0.5, 1.0, 3.0, 1e9 if rng.random() < 0.1 else 0.3)),
            rng.choice((None, None, 1, 20, 60)),
            rng.choice(
                (
                    (),
                    (),
                    (),
                    (("gpu", 1.0),),
                    (("gpu", 0.5),),
                    (("licence", 1.0),) if rng.random() < 0.1 else (),
                )
            ),
            rng.choice(rules),
        )
        for _ in range(rng.randint(1, 4))
    ]
    tenants = ["red", "blue", "green"][: rng.randint(1, 3)]
    nodes = [
        Node(
            f"n{number}",
            frozenset(rng.sample(("linux", "gpu", "big"), rng.choice((0, 1, 2, 3, 3, 3)))),
            rng.choice((1, 2, 4, 9)) if rng.random() < 0.9 else 0,
            rng.choice((1.0, 4.0)),
            rng.choice((50, 100, 200)),
            rng.choice((0, 1, 2, 3)),
            frozenset(("old", "own")[: rng.choice((0, 0, 0, 0, 0, 0, 0, 1, 2))]),
            rng.choice(("", "p", "q")),
            rng.choice(("", "a", "b")),
            rng.random() < 0.05,
            rng.choice((0.0, 0.0, 0.5, 3.0, float("nan"), -1.0)),
            [(rng.choice(tenants), rng.choice(demands)) for _ in range(rng.choice((0, 0, 0, 1, 2)))],
        )
        for number in range(rng.choice((0, 1, 2, 3, 3, 4, 4)))
    ]
    count = rng.choice((1, 3, 6, 10, 15))
    since_s = sorted(NOW_S - rng.choice((0, 10, 100)) for _ in range(count))
    jobs = [
        Job(
            Waiting(rng.choice("abcd"), number),
            rng.choice((0, 0, 1, 5)),
            rng.choice(demands),
            since_s[number],
            rng.choice(tenants),
            rng.choice((float("inf"), 10.0, 20.0)),
        )
        for number in range(count)
    ]
    shares = {
        tenant: Share(
            rng.choice((1.0, 2.0, 0.5)),
            rng.choice(({}, {}, {"jobs": 2}, {"cpu": 1.5, "gpu": 1}, {"jobs": 0})),
            rng.choice(({}, {"jobs": 1}, {"cpu": 2})),
        )
        for tenant in tenants
        if rng.random() < 0.3
    }
    weights = rng.choice(
        (None, None, Weights(spread=1), Weights(pack=2, near=1), Weights(load=1, prefers=3, near=1))
    )
    policy = Policy(
        rng.choice((3, 4_096, 4_096)),
        rng.choice(("turns", "arrival", "deadline")),
        rng.random() < 0.5,
        rng.choice((0.0, 0.0, 40.0)),
        weights,
        rng.choice((None, 0.0, 50.0)),
        rng.choice((1, 8)),
        shares,
    )
    return Instance(jobs, nodes, policy, {tenant: rng.choice((0.0, 0.5, 2.0)) for tenant in tenants})


def uses(demand: Demand) -> dict[str, Fraction]:
    found = {"jobs": Fraction(1)}
    if demand.cpus:
        found["cpu"] = Fraction(str(demand.cpus))
    if demand.memory_bytes:
        found["memory"] = Fraction(demand.memory_bytes)
    return found | {name: Fraction(str(amount)) for name, amount in demand.extras}


class Place:
    """A node as the oracle has it."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.total = {
            "jobs": Fraction(node.places),
            "cpu": Fraction(node.cpus),
            "memory": Fraction(node.memory),
        }
        if node.gpu:
            self.total["gpu"] = Fraction(node.gpu)
        self.free = dict(self.total)
        self.apart: list[str] = []
        self.near: set[str] = set()
        self.names = node.labels | {f"node:{node.id}"}
        self.names |= {f"pool:{node.pool}"} if node.pool else set()
        self.names |= {f"zone:{node.zone}"} if node.zone else set()
        for _, demand in node.running:
            self.take(demand)
            if demand.rules and demand.rules.near:
                self.near.add(demand.rules.near)

    def take(self, demand: Demand) -> None:
        for name, amount in uses(demand).items():
            self.free[name] = self.free.get(name, Fraction(0)) - amount
        if demand.rules and demand.rules.apart:
            self.apart.append(demand.rules.apart)

    def may(self, demand: Demand, places: list[Place]) -> bool:
        """Whether it could go there, was there room."""
        rules = demand.rules or Rules()
        if not demand.labels <= self.node.labels or self.node.drained or self.node.taints - rules.tolerates:
            return False
        if rules.where is not None and not _holds(rules.where, self.names):
            return False
        for other in places:
            same = other is self
            if rules.apart_over != "node":
                mine, its = getattr(self.node, rules.apart_over), getattr(other.node, rules.apart_over)
                same = same or (bool(mine) and mine == its)
            if rules.apart and same and rules.apart in other.apart:
                return False
        return True

    def fits(self, demand: Demand, places: list[Place]) -> bool:
        enough = all(self.free.get(name, 0) >= amount for name, amount in uses(demand).items())
        return enough and self.may(demand, places)

    def grade(self, demand: Demand, weights: Weights | None) -> int:
        rules = demand.rules or Rules()
        preferred = rules.prefers is not None and _holds(rules.prefers, self.names)
        near = bool(rules.near) and rules.near in self.near
        if weights is None:
            return int(self.free["jobs"]) + (preferred << 40) + (near << 39)
        used = max(
            int((total - self.free[name]) * 100 // total) for name, total in self.total.items() if total
        )
        used = max(0, min(100, used))
        load = self.node.load if self.node.load > 0 else 0.0
        busy = max(used, min(100, int(load * 100)))
        return (
            weights.pack * used
            + weights.spread * (100 - used)
            + weights.load * (100 - busy)
            + 100 * weights.near * near
            + 100 * weights.prefers * preferred
        )


def _holds(expression: Any, names: frozenset[str]) -> bool:
    if isinstance(expression, str):
        return expression in names
    kind, *parts = expression
    found = [_holds(part, names) for part in parts]
    return not found[0] if kind == "not" else all(found) if kind == "all" else any(found)


class Oracle:
    """One round."""

    def __init__(self, given: Instance) -> None:
        self.policy = given.policy
        self.places = [Place(node) for node in given.nodes]
        self.total: dict[str, Fraction] = {}
        for place in self.places:
            for name, amount in place.total.items():
                self.total[name] = self.total.get(name, Fraction(0)) + amount
        self.used: dict[str, dict[str, Fraction]] = {}
        self.turns: dict[str, int] = {}
        self.finish = given.finish
        self.served = 0
        for node in given.nodes:
            for tenant, demand in node.running:
                self.serve(tenant, demand)
        # lanes: (priority, tenant, class) → [(key, jobs of one run, or one job)]
        self.lanes: dict[tuple[int, str, Demand], list[tuple[tuple[float, int], list[Job]]]] = {}
        self.turn = 0
        for job in given.jobs:
            self.turn += 1
            lane = self.lanes.setdefault((job.priority, job.tenant, job.demand), [])
            same = [jobs for _, jobs in lane if jobs[0].waiting.run == job.waiting.run]
            if self.policy.order == "turns" and same:
                same[0].append(job)
            else:
                due_s = job.deadline_s if self.policy.order == "deadline" else 0.0
                lane.append(((due_s, self.turn), [job]))
        self.placements: list[tuple[Waiting, str]] = []
        self.reservations: list[tuple[Waiting, str]] = []

    def serve(self, tenant: str, demand: Demand) -> None:
        used = self.used.setdefault(tenant, {})
        for name, amount in uses(demand).items():
            used[name] = used.get(name, Fraction(0)) + amount
        self.served += 1
        self.turns[tenant] = self.served

    def share(self, tenant: str) -> float:
        used = self.used.get(tenant, {})
        level = max(
            (amount / self.total[name] for name, amount in used.items() if self.total.get(name)), default=0
        )
        return float(level / Fraction(str(self.policy.share(tenant).weight)))

    def over(self, tenant: str, demand: Demand, limits: Any) -> bool:
        used = self.used.get(tenant, {})
        return any(
            used.get(name, 0) + amount > Fraction(str(limits[name]))
            for name, amount in uses(demand).items()
            if name in limits
        )

    def key(self, priority: int, tenant: str, demand: Demand) -> tuple[Any, ...]:
        lane_key, jobs = min(self.lanes[priority, tenant, demand], key=lambda entry: entry[0])
        rank = priority
        if self.policy.ageing_s:
            rank += int((NOW_S - jobs[0].since_s) / self.policy.ageing_s)
        guaranteed = self.policy.share(tenant).guaranteed
        borrows = bool(self.policy.shares) and (not guaranteed or self.over(tenant, demand, guaranteed))
        if self.policy.fair:
            # shares that differ by rounding only are the same
            share = round(self.share(tenant), 9)
            return (-rank, borrows, share, self.finish[tenant], self.turns.get(tenant, 0), lane_key)
        return (-rank, borrows, 0, 0, 0, lane_key)

    def run(self) -> None:
        shared = self.policy.fair or bool(self.policy.shares)
        while self.lanes:
            groups: dict[Any, list[tuple[int, str, Demand]]] = {}
            for lane in self.lanes:
                groups.setdefault((lane[0], lane[1] if shared else ""), []).append(lane)
            heads = [min(lanes, key=lambda lane: min(self.lanes[lane])[0]) for lanes in groups.values()]
            lane = min(heads, key=lambda lane: self.key(*lane))
            if len(self.placements) >= self.policy.round_limit:
                return
            self.place(lane)

    def place(self, lane: tuple[int, str, Demand]) -> None:
        _, tenant, demand = lane
        entries = self.lanes[lane]
        entry = min(entries, key=lambda entry: entry[0])
        job = entry[1][0]
        if self.over(tenant, demand, self.policy.share(tenant).quota):
            del self.lanes[lane]
            return
        fitting = [place for place in self.places if place.fits(demand, self.places)]
        if not fitting:
            del self.lanes[lane]
            self.reserve(job)
            return
        chosen = max(fitting, key=lambda place: place.grade(demand, self.policy.placement))
        chosen.take(demand)
        self.serve(tenant, demand)
        self.placements.append((job.waiting, chosen.node.id))
        self.turn += 1
        entries.remove(entry)
        if entry[1][1:]:
            entries.append(((0.0, self.turn), entry[1][1:]))
        if not entries:
            del self.lanes[lane]

    def reserve(self, job: Job) -> None:
        after_s = self.policy.reserve_after_s
        if (
            after_s is None
            or len(self.reservations) >= self.policy.reservations
            or NOW_S - job.since_s < after_s
        ):
            return
        asked = uses(job.demand)
        able = [
            place
            for place in self.places
            if place.may(job.demand, self.places)
            and all(place.total.get(name, 0) >= amount for name, amount in asked.items())
        ]
        if able:
            chosen = min(
                able,
                key=lambda place: max(
                    0, *((amount - place.free[name]) / place.total[name] for name, amount in asked.items())
                ),
            )
            chosen.take(job.demand)
            self.reservations.append((job.waiting, chosen.node.id))
