"""What tenants have, and who of them goes first.

A tenant's *dominant share* is the greatest part of any one resource that it holds, by its weight (Ghodsi et al., Dominant
Resource Fairness, NSDI 2011). Whoever has least goes first. Where two have the same (one place that all want: nobody has any when it
is free), the *virtual finish time* decides: what each has used so far, share × time, by its weight. It carries over from job to job,
so that a burst is not served before others only because it came first; and who comes back after a while begins with
those that are there, so that nobody saves up (start-time fair queueing, Goyal et al., SIGCOMM 1996).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf

from relevo.scheduler.demand import Demand, amounts, thousandths
from relevo.scheduler.policy import EVEN, Share


class Ledger:
    """Who has how much. Amounts in thousandths, as `demand.amounts` says."""

    def __init__(self, shares: Mapping[str, Share]) -> None:
        self.shares = shares
        self.used: dict[str, dict[str, int]] = {}  #: by tenant, of those that have something
        self.finish: dict[str, float] = {}  #: virtual finish times
        self.turns: dict[str, int] = {}  #: when each was last served
        self.turn = 0
        self.totals: Mapping[str, int] = {}  #: what all agents have

    def came(self, tenant: str, others: Iterable[str]) -> None:
        """A tenant that neither had nor wanted anything wants something. `others`: who has or wants something."""
        least = min((self.finish.get(other, 0.0) for other in others if other != tenant), default=0.0)
        self.finish[tenant] = max(self.finish.get(tenant, 0.0), least)

    def took(self, tenant: str, demand: Demand) -> None:
        """A job of it has a place."""
        used = self.used.get(tenant)
        if used is None:
            used = self.used[tenant] = {}
        for name, amount in amounts(demand):
            used[name] = used.get(name, 0) + amount
        self.turn += 1
        self.turns[tenant] = self.turn

    def gave(self, tenant: str, demand: Demand, held_s: float) -> None:
        """It gave the place back, after so long."""
        used = self.used.get(tenant)
        if used is None:
            return
        for name, amount in amounts(demand):
            used[name] = used.get(name, 0) - amount
        if used["places"] <= 0:
            del self.used[tenant]
        self.finish[tenant] = self.finish.get(tenant, 0.0) + self.cost(tenant, demand, held_s)

    def cost(self, tenant: str, demand: Demand, held_s: float) -> float:
        """What it counts for that a tenant has had a place for so long."""
        weight = self.shares.get(tenant, EVEN).weight
        return dominant(dict(amounts(demand)), self.totals, weight) * max(0.0, held_s)

    def forget(self, active: Iterable[str]) -> None:
        """Forget all but these: whoever is forgotten begins anew."""
        kept = set(active)
        for known in (self.finish, self.turns):
            for tenant in [tenant for tenant in known if tenant not in kept]:
                del known[tenant]


def dominant(used: Mapping[str, int], totals: Mapping[str, int], weight: float) -> float:
    """The greatest part of any one resource, by weight."""
    if weight <= 0:
        return inf
    return (
        max((amount / totals[name] for name, amount in used.items() if totals.get(name)), default=0.0)
        / weight
    )


class Account:
    """A tenant during a round: what it has, with what it gets."""

    __slots__ = ("_guaranteed", "_ledger", "_quota", "_weight", "finish", "level", "turn", "used")

    def __init__(self, ledger: Ledger, tenant: str, share: Share) -> None:
        self._ledger = ledger
        self._weight = share.weight
        self._quota = _limits(share.quota)
        self._guaranteed = _limits(share.guaranteed)
        self.used = dict(ledger.used.get(tenant, {}))
        self.finish = ledger.finish.get(tenant, 0.0)
        self.turn = ledger.turns.get(tenant, 0)
        self.level = dominant(self.used, ledger.totals, share.weight)

    @property
    def full(self) -> bool:
        """Whether it has as many jobs as it may have."""
        quota = self._quota
        return "places" in quota and self.used.get("places", 0) + 1000 > quota["places"]

    def over_quota(self, uses: tuple[tuple[str, int], ...]) -> bool:
        """Whether one more would be too much for it."""
        quota, used = self._quota, self.used
        return bool(quota) and any(
            name in quota and used.get(name, 0) + amount > quota[name] for name, amount in uses
        )

    def beyond_quota(self, uses: tuple[tuple[str, int], ...]) -> list[tuple[str, float, float]]:
        """Of what one more would be too much: name, what it has, and the quota."""
        return [
            ("jobs" if name == "places" else name, self.used.get(name, 0) / 1000, self._quota[name] / 1000)
            for name, amount in uses
            if name in self._quota and self.used.get(name, 0) + amount > self._quota[name]
        ]

    def borrows(self, uses: tuple[tuple[str, int], ...]) -> bool:
        """Whether one more is beyond what is guaranteed to it. Of what is guaranteed to nobody, everything is."""
        guaranteed, used = self._guaranteed, self.used
        return not guaranteed or any(
            name in guaranteed and used.get(name, 0) + amount > guaranteed[name] for name, amount in uses
        )

    def lends(self) -> bool:
        """Whether it has more than is guaranteed to it."""
        guaranteed = self._guaranteed
        return not guaranteed or any(self.used.get(name, 0) > limit for name, limit in guaranteed.items())

    def can_spare(self, amounts_of: Mapping[str, int]) -> bool:
        """Whether what is guaranteed to it is left without these."""
        return all(
            self.used.get(name, 0) - amounts_of[name] >= limit
            for name, limit in self._guaranteed.items()
            if name in amounts_of
        )

    def give(self, uses: tuple[tuple[str, int], ...]) -> None:
        """One has its place no more."""
        for name, amount in uses:
            self.used[name] = self.used.get(name, 0) - amount

    def take(self, uses: tuple[tuple[str, int], ...], turn: int) -> None:
        """One more has a place."""
        used, totals = self.used, self._ledger.totals
        for name, amount in uses:
            now = used[name] = used.get(name, 0) + amount
            total = totals.get(name)
            if total and now > self.level * self._weight * total:
                self.level = now / total / self._weight if self._weight > 0 else inf
        self.turn = turn


def _limits(named: Mapping[str, float]) -> dict[str, int]:
    return {"places" if name == "jobs" else name: thousandths(amount) for name, amount in named.items()}
