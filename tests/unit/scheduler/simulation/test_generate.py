"""Loads from a seed."""

from __future__ import annotations

from collections import Counter

import pytest

from relevo.domain.errors import UserError
from relevo.scheduler.simulation.generate import (
    ARRIVALS,
    DAY_S,
    DURATIONS,
    SPREAD,
    Recipe,
    generate,
    mean_for,
)
from relevo.scheduler.simulation.machines import Machines, Shape, agents, only_fitting, parse_agents
from relevo.scheduler.simulation.workload import Job, Workload


@pytest.mark.parametrize("arrivals", ARRIVALS)
@pytest.mark.parametrize("durations", DURATIONS)
def test_a_seed_makes_a_load_and_another_seed_another_one(arrivals, durations):
    recipe = Recipe(300, DAY_S, arrivals, durations, 60.0, 3, 0.2, 5)
    load = generate(recipe)
    assert len(load) == 300
    assert load.jobs == generate(recipe).jobs
    assert load.jobs != generate(recipe._replace(seed=6)).jobs
    assert all(job.duration_s > 0 for job in load.jobs)
    assert len({(job.run, job.name) for job in load.jobs}) == 300
    assert Counter(job.tenant for job in load.jobs)["noisy"] == 60
    assert load.tenants == ("noisy", "tenant-1", "tenant-2", "tenant-3")


@pytest.mark.parametrize(
    ("durations", "off"), [("constant", 1e-9), ("exponential", 0.02), ("lognormal", 0.05), ("pareto", 0.2)]
)
def test_durations_have_the_mean_that_was_asked_for(durations, off):
    load = generate(Recipe(40_000, DAY_S, "poisson", durations, 60.0))
    assert load.work_s / len(load) == pytest.approx(60.0, rel=off)


def test_heavy_tails_are_heavy_and_bounded():
    times = sorted(job.duration_s for job in generate(Recipe(40_000, DAY_S, "poisson", "pareto", 60.0)).jobs)
    assert times[-1] / times[0] <= SPREAD * 1.001
    assert sum(times[-400:]) > 0.3 * sum(times)  # one hundredth of the jobs has a third of the work


def test_days_have_noons_and_weeks_have_ends():
    hours = Counter()
    days = Counter()
    for job in generate(Recipe(20_000, 7 * DAY_S, "diurnal")).jobs:
        hours[int(job.submit_s % DAY_S / 3_600)] += 1
        days[int(job.submit_s / DAY_S)] += 1
    assert hours[12] > 5 * hours[0]
    assert days[2] > 3 * days[6]


def test_bursts_are_runs_of_many_jobs():
    runs = Counter(job.run for job in generate(Recipe(5_000, DAY_S, "bursts")).jobs)
    assert max(runs.values()) > 100
    assert sum(size for size in runs.values() if size > 1) > 2_300


def test_a_load_uses_such_a_part_of_all_slots():
    places = Machines((Shape(4), Shape(4)), startup_s=10.0)
    recipe = Recipe(1_000, DAY_S, "poisson", "constant")
    load = generate(recipe._replace(mean_s=mean_for(0.8, recipe, places)))
    assert (load.work_s + 10.0 * len(load)) / (8 * DAY_S) == pytest.approx(0.8)
    with pytest.raises(UserError, match="takes more than that by itself"):
        mean_for(0.01, recipe, places)
    with pytest.raises(UserError, match="a part of all slots"):
        mean_for(float("nan"), recipe, places)


@pytest.mark.parametrize(
    "wrong",
    [
        {"jobs": 0},
        {"jobs": 10**9},
        {"span_s": 0.0},
        {"span_s": float("inf")},
        {"mean_s": -1.0},
        {"tenants": 0},
        {"noisy": 1.5},
        {"noisy": float("nan")},
    ],
)
def test_what_makes_no_load_is_refused(wrong):
    with pytest.raises(UserError):
        generate(Recipe()._replace(**wrong))


def test_agents_as_they_are_written():
    shapes = parse_agents("3:slots=4,cpus=8,memory=16Gi,labels=GPU+ubuntu-22.04,window=0,gpu=2,disk=100Gi")
    assert len(shapes) == 3
    assert shapes[0].told() == "slots=4,cpus=8,memory=16Gi,disk=100Gi,gpu=2,labels=gpu,window=0"
    assert shapes[0].memory_bytes == 16 << 30
    assert parse_agents("2") == [Shape(1)] * 2
    assert Machines(agents(["2:slots=3", "1"])).told() == ["2:slots=3", "1:slots=1"]


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "0",
        "-1",
        "x",
        "1:",
        "1:slots",
        "1:slots=0",
        "1:slots=²",
        "1:cpus=0",
        "1:memory=x",
        "1:GPU=1",
        "1:gpu=x",
        "1:jobs=1",
        "1:slots=1,slots=2",
        "9999999",
    ],
)
def test_agents_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UserError, match="--agents"):
        parse_agents(wrong)


def test_jobs_that_fit_nowhere_can_be_left_out_with_those_that_need_them():
    gpu = Job(
        "gpu",
        "r",
        5.0,
        1.0,
        demand=Job("", "", 0, 0).demand._replace(labels=frozenset({"gpu"})),
    )
    load = Workload(
        [
            Job("last", "r", 0.0, 1.0, needs=(1,)),
            Job("then", "r", 1.0, 1.0, needs=(2,)),
            gpu,
            Job("free", "r", 2.0, 1.0),
        ]
    )
    kept, out = only_fitting(load, Machines((Shape(1),)))
    assert ([job.name for job in kept.jobs], out) == (["free"], 3)
    with pytest.raises(UserError, match="1 job fits no agent"):
        only_fitting(Workload([gpu]), Machines((Shape(1),)))
