"""Loads by the laws that real ones follow, from a seed: the same numbers always make the same load."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, exp, isfinite, log, pi
from random import Random
from typing import Final, NamedTuple

from relevo.domain.errors import UserError
from relevo.scheduler.simulation.machines import Machines
from relevo.scheduler.simulation.workload import JOB_LIMIT, LONGEST_S, Job, Workload

#: Bounded Pareto: the tail's exponent, and the longest job over the shortest. As heavy as measured on clusters (Harchol-Balter:
#: exponents of 1.0 to 1.3 for the time that processes and jobs take).
ALPHA: Final = 1.2
SPREAD: Final = 1e4
#: Lognormal: the standard deviation of the logarithm. What CI jobs look like: p99 about 33 times the median.
SIGMA: Final = 1.5
#: Jobs of a burst on the average, and in how many seconds they come: a matrix, or a morning's merge train.
BURST: Final = 40
BURST_S: Final = 30.0
#: What the noisy tenant submits at a time.
NOISY_BURST: Final = 400
#: Nights have a tenth of the noon's arrivals, weekends a fifth of a weekday's.
NIGHT: Final = 0.1
WEEKEND: Final = 0.2
DAY_S: Final = 86_400.0


class Recipe(NamedTuple):
    """What to generate."""

    jobs: int = 10_000
    span_s: float = 7 * DAY_S
    arrivals: str = "diurnal"
    durations: str = "lognormal"
    mean_s: float = 60.0
    tenants: int = 1
    noisy: float = 0.0  #: part of all jobs that comes from one tenant more, many at a time
    seed: int = 0


def mean_for(load: float, recipe: Recipe, machines: Machines) -> float:
    """How long jobs take on the average where they use such a part of all slots. Raises UserError."""
    if not (isfinite(load) and 0 < load <= 100):
        raise UserError(f"--load {load:g}: write a part of all slots, such as 0.8")
    mean_s = load * machines.slots * recipe.span_s / recipe.jobs - machines.startup_s
    if mean_s <= 0:
        raise UserError(
            f"--load {load:g}: to start {recipe.jobs:,} workers takes more than that by itself",
            hint="fewer --jobs, a shorter --startup, or more agents",
        )
    return mean_s


def generate(recipe: Recipe) -> Workload:
    """A load. Raises UserError for what makes none."""
    check(recipe)
    chance = Random(recipe.seed)
    duration = DURATIONS[recipe.durations](chance, recipe.mean_s)
    loud = round(recipe.jobs * recipe.noisy)
    quiet = recipe.jobs - loud
    jobs: list[Job] = []
    for number, (run, submit_s) in enumerate(ARRIVALS[recipe.arrivals](chance, quiet, recipe.span_s)):
        tenant = f"tenant-{chance.randrange(recipe.tenants) + 1}" if recipe.tenants > 1 or loud else ""
        jobs.append(Job(f"job-{number + 1}", f"run-{run + 1}", submit_s, duration(), tenant))
    for number in range(loud):
        if number % NOISY_BURST == 0:
            at_s = chance.random() * recipe.span_s
        run_name = f"noisy-run-{number // NOISY_BURST + 1}"
        jobs.append(Job(f"noisy-job-{number + 1}", run_name, at_s, duration(), "noisy"))
    return Workload(jobs)


def check(recipe: Recipe) -> None:
    """Raises UserError for what makes no load."""
    if not 1 <= recipe.jobs <= JOB_LIMIT:
        raise UserError(f"--jobs {recipe.jobs:,}: from 1 to {JOB_LIMIT:,}")
    if not (isfinite(recipe.span_s) and 0 < recipe.span_s <= LONGEST_S):
        raise UserError("--span: more than 0, and at most a hundred years")
    if not (isfinite(recipe.mean_s) and 0 < recipe.mean_s <= LONGEST_S / SPREAD):
        raise UserError(f"--mean: more than 0, and at most {LONGEST_S / SPREAD / DAY_S:.1f} days")
    if not 1 <= recipe.tenants <= 1_000:
        raise UserError(f"--tenants {recipe.tenants:,}: from 1 to 1,000")
    if not 0 <= recipe.noisy <= 1:
        raise UserError(f"--noisy {recipe.noisy:g}: a part of all jobs, from 0 to 1")


# --- when jobs come: (run, when) of each, of so many in a span ---------------------------------------------------------------

_Arrivals = list[tuple[int, float]]


def _poisson(chance: Random, count: int, span_s: float) -> _Arrivals:
    # Given how many come, a Poisson process is so many independent moments.
    return list(enumerate(sorted(chance.random() * span_s for _ in range(count))))


def _diurnal(chance: Random, count: int, span_s: float) -> _Arrivals:
    return list(enumerate(sorted(_daytime(chance, span_s) for _ in range(count))))


def _bursts(chance: Random, count: int, span_s: float) -> _Arrivals:
    """Half of all by day, one by one; the other half in bursts, each one run."""
    found = _diurnal(chance, count - count // 2, span_s)
    run, left = len(found), count // 2
    while left:
        size = min(left, 1 + int(chance.expovariate(1 / BURST)))
        begin_s = _daytime(chance, span_s)
        found += [(run, begin_s + chance.random() * BURST_S) for _ in range(size)]
        left -= size
        run += 1
    return found


def _daytime(chance: Random, span_s: float) -> float:
    """A moment; the load begins on a Monday at midnight, and most comes about noon of weekdays."""
    while True:
        moment = chance.random() * span_s
        weight = NIGHT + (1 - NIGHT) * (1 - cos(2 * pi * moment / DAY_S)) / 2
        if int(moment / DAY_S) % 7 >= 5:
            weight *= WEEKEND
        if chance.random() < weight:
            return moment


ARRIVALS: Final[dict[str, Callable[[Random, int, float], _Arrivals]]] = {
    "poisson": _poisson,
    "diurnal": _diurnal,
    "bursts": _bursts,
}


# --- how long they take: a function that gives one duration after the other, of such a mean -------------------------------------

_Durations = Callable[[], float]


def _constant(chance: Random, mean_s: float) -> _Durations:
    return lambda: mean_s


def _exponential(chance: Random, mean_s: float) -> _Durations:
    return lambda: chance.expovariate(1 / mean_s)


def _lognormal(chance: Random, mean_s: float) -> _Durations:
    mu = log(mean_s) - SIGMA * SIGMA / 2
    return lambda: exp(chance.gauss(mu, SIGMA))


def _pareto(chance: Random, mean_s: float) -> _Durations:
    """Bounded Pareto, by inversion."""
    cut = SPREAD**-ALPHA
    # Its mean when the shortest job takes 1.
    unit = ALPHA / (ALPHA - 1) * (1 - SPREAD ** (1 - ALPHA)) / (1 - cut)
    shortest = mean_s / unit
    return lambda: shortest * (1 - chance.random() * (1 - cut)) ** (-1 / ALPHA)


DURATIONS: Final[dict[str, Callable[[Random, float], _Durations]]] = {
    "constant": _constant,
    "exponential": _exponential,
    "lognormal": _lognormal,
    "pareto": _pareto,
}
