"""How fairly slots were shared: what each tenant had, against what it was entitled to.

While somebody waits, a tenant is entitled to its max-min fair part of what is in use just then (progressive filling: nobody gets
more than it asks for, and what one leaves goes to the others alike). Amounts are dominant shares (Ghodsi et al., Dominant Resource
Fairness, NSDI 2011): of slots, cpus, memory and whatever else a job takes, the one of which it takes the greatest part of all there is.

A tenant's share is what it had of that, over all moments in which somebody waited: 1 when it never had less, whatever others did.
Jain's index of the shares (Jain, Chiu, Hawe 1984) is (Σx)² / (n Σx²).
"""

from __future__ import annotations

from collections.abc import Sequence

from relevo.scheduler.demand import Demand
from relevo.scheduler.simulation.machines import Machines
from relevo.scheduler.simulation.workload import Workload
from relevo.scheduler.simulation.world import Outcome


def shares(workload: Workload, machines: Machines, outcome: Outcome) -> tuple[dict[str, float], float]:
    """The share of each tenant that was entitled to something while somebody waited, and Jain's index of them.

    O(events × tenants) where somebody waits.
    """
    if len(workload.tenants) < 2:
        return {}, 1.0
    number = {tenant: position for position, tenant in enumerate(workload.tenants)}
    amounts: dict[Demand, float] = {}
    # (when, tenant, change of what it has, change of what it asks for, change of how many wait)
    changes: list[tuple[float, int, float, float, int]] = []
    jobs = workload.jobs
    for position, job in enumerate(jobs):
        if outcome.begin_s[position] < 0:
            continue
        amount = amounts.get(job.demand)
        if amount is None:
            amount = amounts[job.demand] = dominant_share(job.demand, machines)
        mine = number[job.tenant]
        changes.append((outcome.ready_s[position], mine, 0.0, amount, 1))
        changes.append((outcome.end_s[position], mine, 0.0, -amount, -1))
    for span in outcome.spans:
        job = jobs[span.job]
        mine, amount = number[job.tenant], amounts[job.demand]
        changes.append((span.begin_s, mine, amount, 0.0, -1))
        changes.append((span.end_s, mine, -amount, 0.0, 1))
    changes.sort()
    count = len(workload.tenants)
    has, asks = [0.0] * count, [0.0] * count
    had, entitled = [0.0] * count, [0.0] * count
    waiting, since = 0, 0.0
    for when, tenant, more, asked, waits in changes:
        if when > since:
            if waiting > 0:
                for one, fair in enumerate(fill(sum(has), asks)):
                    entitled[one] += fair * (when - since)
                    had[one] += min(has[one], fair) * (when - since)
            since = when
        has[tenant] += more
        asks[tenant] += asked
        waiting += waits
    found = {tenant: had[one] / entitled[one] for tenant, one in number.items() if entitled[one] > 1e-9}
    return found, jain(list(found.values()))


def dominant_share(demand: Demand, machines: Machines) -> float:
    """The greatest part of all there is of anything that a job takes."""
    return max(
        1 / machines.slots,
        (demand.cpus or 0) / machines.cpus,
        (demand.memory_bytes or 0) / machines.memory_bytes,
        *(amount / machines.extras(name) for name, amount in demand.extras),
    )


def fill(amount: float, asks: Sequence[float]) -> list[float]:
    """The max-min fair parts of an amount for those who ask for so much."""
    parts = [0.0] * len(asks)
    left = amount
    open_ = sorted((asked, one) for one, asked in enumerate(asks) if asked > 1e-12)
    for position, (asked, one) in enumerate(open_):
        part = min(asked, left / (len(open_) - position))
        parts[one] = part
        left -= part
    return parts


def jain(values: Sequence[float]) -> float:
    """(Σx)² / (n Σx²); 1 when there are none, or all are 0."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0
