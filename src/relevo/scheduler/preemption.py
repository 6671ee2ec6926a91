"""Which running jobs have to go for others: a decision only. `evictions.py` has it carried out; victims go back to the queue.

A job may be ended for one of higher priority, and for one whose tenant has less than is guaranteed to it, when its own tenant
has more. On each node as many are spared as can be, the most important and longest running first; of the nodes that one is
taken where least is lost: lowest priority, then fewest jobs, then least work. A node where that would leave a tenant less than is guaranteed to it is not taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import add, sub
from typing import Final, NamedTuple

from relevo.scheduler.capacity import Capacity
from relevo.scheduler.demand import Demand, amounts
from relevo.scheduler.fit import together
from relevo.scheduler.nodes import Uses, rows_from
from relevo.scheduler.placement import Round
from relevo.scheduler.policy import Policy
from relevo.scheduler.queue import Waiting
from relevo.scheduler.tenants import Account, Ledger

#: Less than any priority.
NOBODY: Final = -(1 << 60)
#: Of so many nodes that could be made to fit the best is taken; with more of them, where to begin moves on.
COMPARED: Final = 64


class Running(NamedTuple):
    """A job that has a place."""

    waiting: Waiting
    agent: str
    demand: Demand
    priority: int
    tenant: str = ""
    since_s: float = 0.0
    preemptible: bool = True


class Preemption(NamedTuple):
    """A job that would have a place on an agent if these were ended there."""

    waiting: Waiting
    demand: Demand
    agent: str
    victims: tuple[Waiting, ...]


class _Claim(NamedTuple):
    priority: int
    tenant: str
    demand: Demand
    uses: Uses
    reclaims: bool  #: its tenant has less than is guaranteed to it


class _Column(NamedTuple):
    """Of one resource, in thousandths, by row."""

    name: str
    asked: int
    totals: list[int]
    free: list[int]


class _Cost(NamedTuple):
    priority: int
    victims: int
    lost_s: float


#: Jobs that have places, by agent.
ByAgent = Mapping[str, Mapping[Waiting, Running]]


_NOBODY: Final[Mapping[Waiting, Running]] = {}


def by_agent(running: Iterable[Running]) -> dict[str, dict[Waiting, Running]]:
    """As `preemptions` wants them."""
    found: dict[str, dict[Waiting, Running]] = {}
    for job in running:
        found.setdefault(job.agent, {})[job.waiting] = job
    return found


def preemptions(
    found: Round, running: ByAgent, capacity: Capacity, policy: Policy, now_s: float
) -> list[Preemption]:
    """For the jobs that a round found no room for, in their order. `capacity`: with what the round placed.

    O(claims × agents) in looking at bit sets and amounts, and O(jobs of an agent) for at most `COMPARED` of them each.
    """
    claims = [claim for claim in found.first_left if found.left[claim[2], claim[3]] == "room"]
    return _Eviction(running, capacity, policy, now_s).run(claims) if claims else []


class _Eviction:
    def __init__(self, running: ByAgent, capacity: Capacity, policy: Policy, now_s: float) -> None:
        self._running = running
        self._capacity = capacity
        self._policy = policy
        self._now_s = now_s
        self._ledger = capacity.ledger or Ledger(policy.shares)
        self._nodes = capacity.nodes()
        self._accounts: dict[str, Account] = {}
        self._sorted: dict[str, list[Running]] = {}  # of agents that were looked at, whom to spare first
        self._taken: dict[tuple[int, str], int] = {}  # beyond what the columns say, by row and resource
        self._keys: dict[int, set[str]] = {}
        self._begin = 0

    def run(self, claims: list[tuple[Waiting, int, str, Demand]]) -> list[Preemption]:
        found = []
        hopeless = set()
        for waiting, priority, tenant, demand in claims:
            if (priority, tenant, demand) in hopeless:
                continue
            uses, allowed = self._nodes.of_class(demand)
            account = self._account(tenant)
            if account.over_quota(uses):
                hopeless.add((priority, tenant, demand))
                continue
            reclaims = bool(self._policy.share(tenant).guaranteed) and not account.borrows(uses)
            claim = _Claim(priority, tenant, demand, uses, reclaims)
            row, victims = self._cheapest(claim, allowed & ~self._nodes.drained)
            if row >= 0:
                self._evict(row, victims, claim)
                agent = self._nodes.rows[row].id
                found.append(Preemption(waiting, demand, agent, tuple(job.waiting for job in victims)))
            else:
                hopeless.add((priority, tenant, demand))
        return found

    def _account(self, tenant: str) -> Account:
        account = self._accounts.get(tenant)
        if account is None:
            account = self._accounts[tenant] = Account(self._ledger, tenant, self._policy.share(tenant))
        return account

    def _cheapest(self, claim: _Claim, allowed: int) -> tuple[int, list[Running]]:
        best: _Cost | None = None
        chosen, going = -1, list[Running]()
        columns = self._columns(claim.uses)
        if columns is None:
            return chosen, going
        uses_of: dict[Demand, list[int]] = {}
        compared = 0
        for row in rows_from(allowed, self._begin, len(self._nodes.rows)):
            found = self._room(row, claim, columns, uses_of)
            if found is None:
                continue
            victims = self._victims(row, claim, *found, best)
            if victims is not None:
                cost = _Cost(
                    victims[0].priority if victims else NOBODY,
                    len(victims),
                    sum(self._now_s - job.since_s for job in victims),
                )
                if best is None or cost < best:
                    best, chosen, going = cost, row, victims
            compared += 1
            if compared == COMPARED:
                self._begin = row + 1
                break
        return chosen, going

    def _columns(self, uses: Uses) -> list[_Column] | None:
        """What there is of what a claim asks for, and what is free; None where no node has any."""
        totals, free = self._nodes.totals, self._nodes.free
        if any(name not in totals for name, _ in uses):
            return None
        return [_Column(name, amount, totals[name], free[name]) for name, amount in uses]

    def _room(
        self, row: int, claim: _Claim, columns: list[_Column], uses_of: dict[Demand, list[int]]
    ) -> tuple[list[int], list[tuple[Running, list[int]]]] | None:
        """What a claim would leave there if all went who may, in the order of the columns, and who may, with what each uses,
        whom to spare first; None when it does not help. `uses_of`: by class, as far as it is known."""
        room = []
        for name, amount, totals, free in columns:
            if totals[row] < amount:
                return None
            room.append(free[row] - self._taken.get((row, name), 0) - amount)
        may_go: list[tuple[Running, list[int]]] = []
        stay: list[Running] = []
        for job in self._jobs(self._nodes.rows[row].id):
            if not self._may_go(job, claim):
                stay.append(job)
                continue
            uses = uses_of.get(job.demand)
            if uses is None:
                named = dict(amounts(job.demand))
                uses = uses_of[job.demand] = [named.get(column.name, 0) for column in columns]
            may_go.append((job, uses))
            room = list(map(add, room, uses))
        return (room, may_go) if min(room) >= 0 and self._apart(row, stay, claim) else None

    def _victims(
        self,
        row: int,
        claim: _Claim,
        room: list[int],
        may_go: list[tuple[Running, list[int]]],
        best: _Cost | None,
    ) -> list[Running] | None:
        """Who must go, the most important first; None when that is worse than the best so far, or not to be."""
        victims: list[Running] = []
        for job, uses in may_go:
            left = list(map(sub, room, uses))
            if min(left) >= 0 and self._apart(row, (job,), claim):
                room = left
                continue
            victims.append(job)
            if best is not None and (victims[0].priority, len(victims)) > best[:2]:
                return None
        return victims if not claim.reclaims or self._leaves_guarantees(victims, claim) else None

    def _jobs(self, agent: str) -> list[Running]:
        jobs = self._sorted.get(agent)
        if jobs is None:
            jobs = self._sorted[agent] = sorted(
                self._running.get(agent, _NOBODY).values(),
                key=lambda job: (-job.priority, job.since_s, job.waiting),
            )
        return jobs

    def _may_go(self, job: Running, claim: _Claim) -> bool:
        if not job.preemptible:
            return False
        if job.priority < claim.priority:
            return True
        return claim.reclaims and job.tenant != claim.tenant and self._account(job.tenant).lends()

    def _leaves_guarantees(self, victims: list[Running], claim: _Claim) -> bool:
        """Whether those who are ended only for a guarantee leave their own tenants theirs."""
        going: dict[str, dict[str, int]] = {}
        for job in victims:
            if job.priority >= claim.priority:
                of_tenant = going.setdefault(job.tenant, {})
                for name, amount in amounts(job.demand):
                    of_tenant[name] = of_tenant.get(name, 0) + amount
        return all(self._account(tenant).can_spare(lost) for tenant, lost in going.items())

    def _apart(self, row: int, stay: Iterable[Running], claim: _Claim) -> bool:
        """Whether nothing that stays is kept apart from the claim."""
        rules = claim.demand.rules
        if rules is None or not rules.apart:
            return True
        agent = self._nodes.rows[row]
        for other in self._capacity.agents.values():
            if other is not agent and rules.apart in other.apart and together(agent, other, rules.apart_over):
                return False
        if rules.apart in self._keys.get(row, ()):
            return False
        theirs = [job.demand.rules for job in self._running.get(agent.id, _NOBODY).values()]
        having = sum(rule is not None and rule.apart == rules.apart for rule in theirs)
        if agent.apart.get(rules.apart, 0) > having:
            return False  # the room that is kept for another claim
        return not any(job.demand.rules is not None and job.demand.rules.apart == rules.apart for job in stay)

    def _evict(self, row: int, victims: list[Running], claim: _Claim) -> None:
        for job in victims:
            for name, amount in amounts(job.demand):
                self._taken[row, name] = self._taken.get((row, name), 0) - amount
            self._account(job.tenant).give(amounts(job.demand))
        for name, amount in claim.uses:
            self._taken[row, name] = self._taken.get((row, name), 0) + amount
        self._account(claim.tenant).take(claim.uses, 0)
        if claim.demand.rules is not None and claim.demand.rules.apart:
            self._keys.setdefault(row, set()).add(claim.demand.rules.apart)
        gone = {job.waiting for job in victims}
        agent = self._nodes.rows[row].id
        if gone:
            self._sorted[agent] = [job for job in self._jobs(agent) if job.waiting not in gone]
