"""Which running jobs have to go for others: a decision only. `evictions.py` has it carried out; victims go back to the queue.

A job may be ended for one of higher priority, and for one whose tenant has less than is guaranteed to it, when its own tenant
has more. On each node as many are spared as can be, the most important and longest running first; of the nodes that one is
taken where least is lost: lowest priority, then fewest jobs, then least work. A node where that would leave a tenant less than is guaranteed to it is not taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from relevo.scheduler.capacity import Capacity
from relevo.scheduler.demand import Demand, amounts
from relevo.scheduler.fit import together
from relevo.scheduler.nodes import Uses, rows_of
from relevo.scheduler.placement import Round
from relevo.scheduler.policy import Policy
from relevo.scheduler.queue import Waiting
from relevo.scheduler.tenants import Account, Ledger

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
        self._amounts: dict[Demand, dict[str, int]] = {}
        self._rows: dict[int, list[int]] = {}  # of sets of agents that were asked for
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
        rows = self._rows.get(allowed)
        if rows is None:
            rows = self._rows[allowed] = rows_of(allowed)
        compared = 0
        for place in range(len(rows)):
            row = rows[(place + self._begin) % len(rows)]
            victims = self._victims(row, claim)
            if victims is None:
                continue
            cost = _Cost(
                max((job.priority for job in victims), default=-(1 << 60)),
                len(victims),
                sum(self._now_s - job.since_s for job in victims),
            )
            if best is None or cost < best:
                best, chosen, going = cost, row, victims
            compared += 1
            if compared == COMPARED:
                self._begin += place + 1
                break
        return chosen, going

    def _victims(self, row: int, claim: _Claim) -> list[Running] | None:
        """Who must go for a claim; None when it does not help."""
        totals = self._nodes.totals
        for name, amount in claim.uses:
            column = totals.get(name)
            if column is None or column[row] < amount:
                return None
        jobs = self._jobs(self._nodes.rows[row].id)
        may_go = [job for job in jobs if self._may_go(job, claim)]
        used = [self._uses(job.demand) for job in may_go]
        room = {
            name: self._free(row, name) - amount + sum([one.get(name, 0) for one in used])
            for name, amount in claim.uses
        }
        if min(room.values()) < 0:
            return None
        stay = [job for job in jobs if not self._may_go(job, claim)]
        if not self._apart(row, stay, claim):
            return None
        victims = []
        for job, one in zip(may_go, used, strict=True):
            if all(amount >= one.get(name, 0) for name, amount in room.items()) and self._apart(
                row, [*stay, job], claim
            ):
                for name in room:
                    room[name] -= one.get(name, 0)
                stay.append(job)
            else:
                victims.append(job)
        return victims if not claim.reclaims or self._leaves_guarantees(victims, claim) else None

    def _uses(self, demand: Demand) -> dict[str, int]:
        found = self._amounts.get(demand)
        if found is None:
            found = self._amounts[demand] = dict(amounts(demand))
        return found

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

    def _free(self, row: int, name: str) -> int:
        column = self._nodes.free.get(name)
        return (0 if column is None else column[row]) - self._taken.get((row, name), 0)

    def _apart(self, row: int, stay: list[Running], claim: _Claim) -> bool:
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
