"""How fast loads are simulated, and how good the engine's schedule is beside ones that know the future.

    python -m benchmarks simulate [--quick]

100,000 jobs over a week, heavy tails (bounded Pareto, α = 1.2), 80 % of all slots, from a seed: everything but the first figure is the
same on every machine. A ratio of means of responses is what goal 12 is about; which one comes out is a matter of how many slots there
are, so it is told for three sizes, with agents that take nothing beyond their slots and with ones that do as relevo's do; and once
with days, nights and bursts, when noons bring more than all slots can do, and whoever cannot see the future falls behind.
"""

from __future__ import annotations

import time
from typing import Any

from relevo.scheduler.simulation.generate import Recipe, generate, mean_for
from relevo.scheduler.simulation.machines import Machines, Shape
from relevo.scheduler.simulation.policies import compare, play
from relevo.scheduler.simulation.references import least_mean_response_s
from relevo.scheduler.simulation.results import Result, summarize

JOBS = 100_000
SPEED_GOAL = "≤ 60 s"
QUALITY_GOAL = "≤ 1.05"


def machines(slots: int, window: int | None) -> Machines:
    return Machines((Shape(4, window=window),) * (slots // 4))


def quality(name: str, ours: Result, best: Result, least_s: float) -> dict[str, Any]:
    """Our mean response over that of the one who knows the future."""
    return {
        "name": f"mean response, {name}, beside {best.policy}",
        "value": ours.response.mean,
        "unit": "s",
        "baseline": best.response.mean,
        "ratio": ours.response.mean / best.response.mean,
        "goal": QUALITY_GOAL,
        "least_s": least_s,
    }


def run(quick: bool = False) -> list[dict[str, Any]]:
    jobs = JOBS // 20 if quick else JOBS
    figures: list[dict[str, Any]] = []
    for slots in (32, 100, 1_000):
        recipe = Recipe(jobs, arrivals="poisson", durations="pareto")
        recipe = recipe._replace(mean_s=mean_for(0.8, recipe, machines(slots, 0)))
        workload = generate(recipe)
        if slots == 100:
            begun = time.process_time()
            summarize(
                "relevo", workload, machines(slots, None), play("relevo", workload, machines(slots, None))
            )
            figures.append(
                {
                    "name": f"a week of {jobs:,} jobs on {slots} slots, simulated and summarized",
                    "value": time.process_time() - begun,
                    "unit": "s CPU",
                    "baseline": None,
                    "ratio": None,
                    "goal": SPEED_GOAL,
                }
            )
        least_s = least_mean_response_s(workload, machines(slots, 0))
        without, sjf, srpt = compare(["relevo", "sjf", "srpt"], workload, machines(slots, 0))
        figures.append(quality(f"{slots} slots", without, srpt, least_s))
        if slots == 1_000:
            continue  # nobody waits there
        (ahead,) = compare(["relevo"], workload, machines(slots, None))
        figures += [
            quality(f"{slots} slots", without, sjf, least_s),
            quality(f"{slots} slots, agents with windows", ahead, srpt, least_s),
        ]
    figures += [burst_quality(jobs), *fairness(jobs)]
    return figures


def burst_quality(jobs: int) -> dict[str, Any]:
    """The same where arrivals are not even."""
    places = machines(100, 0)
    recipe = Recipe(jobs, arrivals="bursts", durations="pareto")
    recipe = recipe._replace(mean_s=mean_for(0.8, recipe, places))
    workload = generate(recipe)
    ours, srpt = compare(["relevo", "srpt"], workload, places)
    return quality("100 slots, days and bursts", ours, srpt, least_mean_response_s(workload, places))


def fairness(jobs: int) -> list[dict[str, Any]]:
    """With a tenant that brings a fifth of all jobs 400 at a time, where tenants share, beside plain FIFO."""
    recipe = Recipe(jobs, tenants=4, noisy=0.2)
    recipe = recipe._replace(mean_s=mean_for(0.8, recipe, machines(100, 0)))
    workload = generate(recipe)
    fair, fifo = compare(["fair", "fifo"], workload, machines(100, 0))
    (ahead,) = compare(["fair"], workload, machines(100, None))
    figures: list[dict[str, Any]] = [
        {
            "name": "fairness (Jain), 4 tenants and a noisy one, fair beside fifo",
            "value": fair.jain,
            "unit": "",
            "baseline": fifo.jain,
            "ratio": fair.jain / fifo.jain,
            "goal": "≥ 1",
        }
    ]
    for name, ours in (("fair", fair), ("fair, agents with windows", ahead)):
        figures.append(
            {
                "name": f"what the worst off has of its max-min fair part, {name}, beside fifo",
                "value": ours.least_share,
                "unit": "",
                "baseline": fifo.least_share,
                "ratio": ours.least_share / fifo.least_share,
                "goal": "≥ 0.99",
            }
        )
    return figures


if __name__ == "__main__":
    from benchmarks.harness import table

    print(table(run()))
