"""The policies that can be compared, by name, and how a comparison is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Final

from relevo.domain.errors import UserError
from relevo.scheduler import policy as scheduling
from relevo.scheduler.simulation import references
from relevo.scheduler.simulation.engine_policy import EnginePolicy
from relevo.scheduler.simulation.machines import Machines, require_fit
from relevo.scheduler.simulation.results import Result, summarize
from relevo.scheduler.simulation.workload import Workload
from relevo.scheduler.simulation.world import Outcome, Policy, World
from relevo.workflow import quantities

#: How long a job waits until it counts as one priority more, in the policy of that name.
AGEING_S: Final = 600.0
#: How long one that fits nowhere waits until room is kept for it, likewise.
RESERVE_S: Final = 600.0
#: What the engine's scheduler can be asked for, by name.
ENGINE: Final[dict[str, scheduling.Policy]] = {
    "relevo": scheduling.Policy(),
    "arrival": scheduling.Policy(order="arrival"),
    "deadline": scheduling.Policy(order="deadline"),
    "fair": scheduling.Policy(fair=True),
    "ageing": scheduling.Policy(ageing_s=AGEING_S),
    "reserve": scheduling.Policy(reserve_after_s=RESERVE_S),
    "preempt": scheduling.Policy(preempt_grace_s=30.0),
    "pack": scheduling.Policy(placement=scheduling.Weights(pack=1)),
    "spread": scheduling.Policy(placement=scheduling.Weights(spread=1)),
}
#: Those that are no part of the engine.
REFERENCES: Final[dict[str, Callable[[World], Policy]]] = {
    "fifo": references.fifo,
    "sjf": references.sjf,
    "srpt": references.srpt,
}
NO_SHARES: Final[Mapping[str, scheduling.Share]] = {}
#: What is compared when nobody says otherwise.
USUAL: Final = ("relevo", "fair", "fifo", "srpt")


#: What operators have written, by the names that it is told of by.
Own = Mapping[str, scheduling.Policy]
NO_OWN: Final[Own] = {}
#: What tenants get, by name; the engine's policies go by it, the references do not.
Shares = Mapping[str, scheduling.Share]


def names() -> list[str]:
    """All policies, in the order in which they are told."""
    return [*ENGINE, *REFERENCES]


def require_known(policies: Sequence[str], own: Own = NO_OWN) -> None:
    """Raises UserError for a policy that there is not."""
    for policy in policies:
        if policy not in own and policy not in ENGINE and policy not in REFERENCES:
            raise UserError(f"there is no policy {policy!r}", hint=f"they are: {', '.join(names())}")


def parse_share(text: str) -> tuple[str, scheduling.Share]:
    """`web:weight=2,jobs=8` as a tenant and what it gets. Raises UserError."""
    tenant, colon, rest = text.rpartition(":")
    weight, quota = 1.0, {}
    for part in rest.split(","):
        name, equals, value = (word.strip() for word in part.partition("="))
        try:
            amount = quantities.memory_bytes(value) if name in ("memory", "disk") else float(value)
        except ValueError:
            amount = -1.0
        least = 0.0 if name == "weight" else -1e-9
        if not (colon and equals and name and isfinite(amount) and amount > least) or name in quota:
            raise UserError(
                f"--share {text!r}: {part.strip()!r} is not understood",
                hint="write TENANT:weight=2, and what it may have at once at most: jobs=8, cpu=16, memory=32Gi, gpu=1",
            )
        if name == "weight":
            weight = amount
        else:
            quota[name] = amount
    return tenant, scheduling.Share(weight, quota)


def play(
    policy: str,
    workload: Workload,
    machines: Machines,
    seed: int = 0,
    shares: Shares = NO_SHARES,
    own: Own = NO_OWN,
) -> Outcome:
    """A load through a policy. Raises UserError where jobs fit no agent, or would wait for ever."""
    require_known([policy], own)
    require_fit(workload, machines)
    world = World(workload, machines, seed)
    if policy in REFERENCES and policy not in own:
        return world.run(REFERENCES[policy](world))
    found = own[policy] if policy in own else ENGINE[policy]
    return world.run(EnginePolicy(world, found._replace(shares={**found.shares, **shares})))


def compare(
    policies: Sequence[str],
    workload: Workload,
    machines: Machines,
    seed: int = 0,
    shares: Shares = NO_SHARES,
    progress: Callable[[str], None] = lambda policy: None,
    own: Own = NO_OWN,
) -> list[Result]:
    """The same load and the same failures through each policy. `progress` is told which one is at work, and "" at the end."""
    results = []
    try:
        for policy in policies:
            progress(policy)
            results.append(
                summarize(policy, workload, machines, play(policy, workload, machines, seed, shares, own))
            )
    finally:
        progress("")
    return results
