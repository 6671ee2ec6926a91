"""The policies that can be compared, by name, and how a comparison is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from relevo.domain.errors import UserError
from relevo.scheduler.simulation import references
from relevo.scheduler.simulation.engine_policy import EnginePolicy
from relevo.scheduler.simulation.machines import Machines, require_fit
from relevo.scheduler.simulation.results import Result, summarize
from relevo.scheduler.simulation.workload import Workload
from relevo.scheduler.simulation.world import Outcome, Policy, World

#: By name, in the order in which they are told. All but the references are the engine's own scheduler.
POLICIES: Final[dict[str, Callable[[World], Policy]]] = {
    "relevo": EnginePolicy,
    "fifo": references.fifo,
    "sjf": references.sjf,
    "srpt": references.srpt,
}
#: What is compared when nobody says otherwise.
USUAL: Final = ("relevo", "fifo", "srpt")


def require_known(policies: Sequence[str]) -> None:
    """Raises UserError for a policy that there is not."""
    for policy in policies:
        if policy not in POLICIES:
            raise UserError(f"there is no policy {policy!r}", hint=f"they are: {', '.join(POLICIES)}")


def play(policy: str, workload: Workload, machines: Machines, seed: int = 0) -> Outcome:
    """A load through a policy. Raises UserError where jobs fit no agent, or would wait for ever."""
    require_known([policy])
    require_fit(workload, machines)
    world = World(workload, machines, seed)
    return world.run(POLICIES[policy](world))


def compare(
    policies: Sequence[str],
    workload: Workload,
    machines: Machines,
    seed: int = 0,
    progress: Callable[[str], None] = lambda policy: None,
) -> list[Result]:
    """The same load and the same failures through each policy. `progress` is told which one is at work, and "" at the end."""
    results = []
    try:
        for policy in policies:
            progress(policy)
            results.append(summarize(policy, workload, machines, play(policy, workload, machines, seed)))
    finally:
        progress("")
    return results
