"""Simulated loads against the rules said plainly, against queueing theory, and a few by hand."""

from __future__ import annotations

from itertools import pairwise
from math import factorial, inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relevo.domain.errors import UserError
from relevo.scheduler.demand import Demand
from relevo.scheduler.policy import MOST_TIMES, Share
from relevo.scheduler.simulation.generate import Recipe, generate
from relevo.scheduler.simulation.machines import Machines, Shape
from relevo.scheduler.simulation.policies import REFERENCES, compare, names, parse_share, play
from relevo.scheduler.simulation.references import least_mean_response_s
from relevo.scheduler.simulation.workload import Job, Workload

ANY = Demand(frozenset(), None, None)
GPU = Demand(frozenset({"gpu"}), None, None)
WIDE = Demand(frozenset(), 2.0, 10)
BOARD = Demand(frozenset(), None, None, (("board", 1.0),))
PREEMPTING = {"srpt"}


def job(name: str, submit_s: float, duration_s: float, **more) -> Job:
    return Job(name, more.pop("run", name), submit_s, duration_s, **more)


@st.composite
def loads(draw) -> Workload:
    count = draw(st.integers(1, 14))
    times = st.one_of(st.integers(0, 12).map(float), st.floats(0, 12))
    jobs = []
    for number in range(count):
        needs = draw(st.sets(st.integers(0, number - 1), max_size=2)) if number else ()
        jobs.append(
            Job(
                f"j{number}",
                draw(st.sampled_from("abc")),
                draw(times),
                draw(times),
                draw(st.sampled_from(["x", "y"])),
                draw(st.sampled_from([ANY, ANY, GPU, WIDE, BOARD])),
                draw(st.integers(0, 2)),
                tuple(needs),
                draw(st.sampled_from([inf, 3.0, 20.0])),
                draw(st.booleans()),
            )
        )
    return Workload(jobs)


@st.composite
def machines(draw, *, windows: bool = True, failures: bool = True) -> Machines:
    shapes = [Shape(1, frozenset({"gpu"}), 2.0, 10, 0, (("board", 1.0),))]  # takes anything
    shapes += [
        Shape(
            draw(st.integers(1, 3)),
            frozenset(draw(st.sets(st.just("gpu")))),
            draw(st.sampled_from([1.0, 4.0])),
            draw(st.sampled_from([5, 25])),
            draw(st.integers(0, 2)) if windows else 0,
            draw(st.sampled_from([(), (("board", 1.0),)])),
        )
        for _ in range(draw(st.integers(0, 2)))
    ]
    return Machines(
        tuple(shapes),
        draw(st.sampled_from([0.0, 0.5])),
        draw(st.sampled_from([None, 5.0, 30.0])) if failures else None,
        draw(st.sampled_from([0.25, 3.0])),
    )


policies = st.sampled_from(names())


@settings(deadline=None, max_examples=150)
@given(loads(), machines(), policies, st.integers(0, 3))
def test_every_job_is_over_once_after_its_needs_and_nothing_has_more_than_there_is(
    load, places, policy, seed
):
    outcome = play(policy, load, places, seed)
    done = [span.job for span in outcome.spans if span.done]
    assert sorted(done) == [at for at, fate in enumerate(outcome.fates) if fate == "ended"]
    assert len(set(done)) == len(done)
    for at, (one, fate) in enumerate(zip(load.jobs, outcome.fates, strict=True)):
        spans = [span for span in outcome.spans if span.job == at]
        if fate == "ended":
            assert one.submit_s <= outcome.ready_s[at] <= outcome.begin_s[at] <= outcome.end_s[at]
            assert spans[0].begin_s == outcome.begin_s[at]
            assert spans[-1].done
            assert spans[-1].end_s == outcome.end_s[at]
            takes = one.duration_s + places.startup_s
            if policy in PREEMPTING:
                if places.fails_after_s is None:
                    assert sum(span.end_s - span.begin_s for span in spans) == pytest.approx(takes)
            else:
                assert spans[-1].end_s - spans[-1].begin_s == pytest.approx(takes)
            for need in one.needs:
                assert outcome.fates[need] == "ended"
                assert outcome.end_s[need] <= outcome.begin_s[at]
        elif fate == "lost":
            assert len(spans) >= 3
        else:
            assert fate == "skipped"
            assert not spans
            assert any(outcome.fates[need] in ("lost", "skipped") for need in one.needs)
    if places.fails_after_s is None:
        assert set(outcome.fates) == {"ended"}
    _within_capacity(load, places, outcome)


def _within_capacity(load, places, outcome):
    for agent, shape in enumerate(places.shapes):
        mine = [span for span in outcome.spans if span.agent == agent and span.begin_s < span.end_s]
        for at in mine:
            others = [one for one in mine if one.begin_s <= at.begin_s < one.end_s]
            demands = [load.jobs[one.job].demand for one in others]
            assert len(others) <= shape.slots
            assert sum(demand.cpus or 0 for demand in demands) <= shape.cpus
            assert sum(demand.memory_bytes or 0 for demand in demands) <= shape.memory_bytes
            assert demands.count(BOARD) <= dict(shape.extras).get("board", 0)
            assert all(demand.labels <= shape.labels for demand in demands)


@settings(deadline=None, max_examples=150)
@given(loads(), machines(windows=False, failures=False), policies.filter(lambda policy: policy != "reserve"))
def test_nobody_waits_while_an_agent_has_room_for_him(load, places, policy):
    outcome = play(policy, load, places)
    moments = sorted({span.begin_s for span in outcome.spans} | {span.end_s for span in outcome.spans})
    for earlier, later in pairwise(moments):
        moment = (earlier + later) / 2
        if not earlier < moment < later:
            continue
        running = [span for span in outcome.spans if span.begin_s < moment < span.end_s]
        busy = {span.job for span in running}
        for at, one in enumerate(load.jobs):
            if not (outcome.ready_s[at] < moment < outcome.end_s[at]) or at in busy:
                continue
            for agent, shape in enumerate(places.shapes):
                there = [load.jobs[span.job].demand for span in running if span.agent == agent]
                assert not (
                    one.demand.labels <= shape.labels
                    and len(there) < shape.slots
                    and (one.demand != BOARD or there.count(BOARD) < dict(shape.extras).get("board", 0))
                    and sum(demand.cpus or 0 for demand in there) + (one.demand.cpus or 0) <= shape.cpus
                    and sum(demand.memory_bytes or 0 for demand in there) + (one.demand.memory_bytes or 0)
                    <= shape.memory_bytes
                ), (one.name, agent, moment)


@settings(deadline=None)
@given(loads(), machines(failures=False), policies)
def test_no_policy_is_better_than_the_bound(load, places, policy):
    (result,) = compare([policy], load, places)
    assert result.response.mean >= least_mean_response_s(load, places) - 1e-6


@pytest.mark.parametrize("policy", names())
def test_the_same_seed_gives_the_same_outcome(policy):
    recipe = Recipe(500, 86_400.0, "bursts", "pareto", 300.0, 3, 0.3, seed=7)
    places = Machines((Shape(2), Shape(2)), 1.0, 20_000.0, 60.0)
    assert play(policy, generate(recipe), places, 7) == play(policy, generate(recipe), places, 7)
    assert play(policy, generate(recipe), places, 7) != play(policy, generate(recipe), places, 8)


def erlang_c(servers: int, offered: float) -> float:
    """The part of all that has to wait (M/M/c)."""
    all_busy = offered**servers / factorial(servers) * servers / (servers - offered)
    return all_busy / (sum(offered**k / factorial(k) for k in range(servers)) + all_busy)


@pytest.mark.parametrize(
    ("policy", "servers", "load"), [("relevo", 1, 0.5), ("fifo", 3, 0.6), ("relevo", 8, 0.7)]
)
def test_waits_are_those_of_queueing_theory(policy, servers, load):
    count, mean_s = 25_000, 60.0
    span_s = count * mean_s / (servers * load)
    places = Machines((Shape(servers, window=0),))
    waits, waited, offered = 0.0, 0, 0.0
    for seed in (1, 2):
        load_made = generate(Recipe(count, span_s, "poisson", "exponential", mean_s, seed=seed))
        outcome = play(policy, load_made, places)
        found = [begin - ready for begin, ready in zip(outcome.begin_s, outcome.ready_s, strict=True)]
        waits += sum(found) / count / 2
        waited += sum(wait > 0 for wait in found)
        offered += load_made.work_s / span_s / 2  # what came, which is not quite what was asked for
    told = erlang_c(servers, offered)
    assert waited / (2 * count) == pytest.approx(told, rel=0.03)
    assert waits == pytest.approx(told * offered * span_s / count / (servers - offered), rel=0.05)


# --- by hand ----------------------------------------------------------------------------------------------------------------

ONE = Machines((Shape(1, window=0),))


def ends(policy: str, load: Workload, places: Machines = ONE) -> dict[str, float]:
    outcome = play(policy, load, places)
    return {one.name: end for one, end in zip(load.jobs, outcome.end_s, strict=True)}


def test_runs_take_turns_and_fifo_does_not():
    load = Workload(
        [*(job(f"big{at}", 0, 10, run="big") for at in range(3)), job("small", 1, 10, run="small")]
    )
    assert ends("relevo", load) == {"big0": 10, "big1": 20, "small": 30, "big2": 40}
    assert ends("fifo", load) == {"big0": 10, "big1": 20, "big2": 30, "small": 40}


def test_priority_goes_first_and_fifo_knows_none():
    load = Workload([job("a", 0, 10), job("low", 1, 10), job("high", 2, 10, priority=5)])
    assert ends("relevo", load) == {"a": 10, "high": 20, "low": 30}
    assert ends("fifo", load) == {"a": 10, "low": 20, "high": 30}


def test_jobs_go_by_arrival_or_by_deadline_where_that_is_asked_for():
    load = Workload(
        [
            job("a", 0, 10),
            job("b", 1, 10, run="r", deadline_s=100.0),
            job("c", 2, 10, run="r", deadline_s=20.0),
            job("d", 3, 10, run="s"),
        ]
    )
    assert ends("arrival", load) == {"a": 10, "b": 20, "c": 30, "d": 40}
    assert ends("deadline", load) == {"a": 10, "c": 20, "b": 30, "d": 40}
    assert ends("relevo", load) == {"a": 10, "b": 20, "d": 30, "c": 40}
    late = [result.late for result in compare(["relevo", "deadline"], load, ONE)]
    assert late == [1, 0]


def test_tenants_take_turns_where_they_share_however_many_runs_one_of_them_has():
    load = Workload(
        [
            *(job(f"x{at}", 0, 10, tenant="x") for at in range(4)),
            *(job(f"y{at}", 1, 10, tenant="y") for at in range(2)),
        ]
    )
    assert ends("relevo", load) == {"x0": 10, "x1": 20, "x2": 30, "x3": 40, "y0": 50, "y1": 60}
    shared = ends("fair", load)
    assert [name for name, _ in sorted(shared.items(), key=lambda item: item[1])] == [
        "x0",
        "y0",
        "x1",
        "y1",
        "x2",
        "x3",
    ]


def test_a_quota_holds():
    load = Workload([*(job(f"x{at}", 0, 10, tenant="x") for at in range(4)), job("y", 0, 10, tenant="y")])
    shares = dict([parse_share("x:jobs=1,weight=2")])
    assert shares == {"x": Share(2.0, {"jobs": 1.0})}
    outcome = play("fair", load, Machines((Shape(8, window=0),)), 0, shares)
    assert outcome.end_s == [10, 20, 30, 40, 10]
    with pytest.raises(UserError, match="4 jobs would wait for ever, the first of them x0 / x0"):
        play("fair", load, Machines((Shape(8, window=0),)), 0, dict([parse_share("x:jobs=0")]))


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "x",
        "x:",
        "x:weight",
        "x:weight=0",
        "x:weight=nan",
        "x:jobs=-1",
        "x:jobs=1,jobs=2",
        "x:memory=much",
    ],
)
def test_shares_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UserError, match="--share"):
        parse_share(wrong)


def test_one_who_knows_the_future_stops_a_long_job_for_a_short_one():
    load = Workload([job("long", 0, 100), job("short", 10, 5), job("middle", 11, 20)])
    assert ends("srpt", load) == {"short": 15, "middle": 35, "long": 125}
    assert play("srpt", load, ONE).preemptions == 1
    assert least_mean_response_s(load, ONE) == pytest.approx((125 + 5 + 24) / 3)


def test_a_job_is_ended_for_a_more_important_one_and_begins_anew():
    low = job("low", 0, 100, preemptible=True)
    load = Workload([low, job("high", 10, 5, priority=1)])
    assert ends("preempt", load) == {"high": 15, "low": 115}
    assert play("preempt", load, ONE).preemptions == 1
    assert ends("relevo", load) == {"low": 100, "high": 105}
    assert ends("preempt", Workload([low._replace(preemptible=False), load.jobs[1]])) == ends("relevo", load)


def test_a_job_is_ended_three_times_and_then_runs_to_its_end():
    high = [job(f"high{at}", 10 * at, 1, priority=1) for at in range(1, 10)]
    load = Workload([job("low", 0, 30, preemptible=True), *high])
    outcome = play("preempt", load, ONE)
    assert outcome.preemptions == MOST_TIMES
    assert ends("preempt", load)["low"] == 31 + 30


@settings(deadline=None)
@given(loads(), machines(windows=False, failures=False))
def test_nobody_is_ended_for_others_who_does_not_let_himself_nor_again_and_again(load, places):
    outcome = play("preempt", load, places)
    stopped = [span.job for span in outcome.spans if not span.done]
    assert outcome.preemptions == len(stopped)
    for at in set(stopped):
        assert load.jobs[at].preemptible
        assert stopped.count(at) <= MOST_TIMES
        assert load.jobs[at].priority < max(one.priority for one in load.jobs)


def test_what_an_agent_has_beyond_its_slots_waits_there_even_if_another_is_idle():
    """As agents do: see scheduler/capacity.py."""
    load = Workload([job("long", 0, 100), job("a", 0, 1), job("b", 0, 1)])
    two = Machines((Shape(1, window=1), Shape(1, window=1)))
    assert ends("relevo", load, two) == {"long": 100, "a": 1, "b": 101}
    none = Machines((Shape(1, window=0), Shape(1, window=0)))
    assert ends("relevo", load, none) == {"long": 100, "a": 1, "b": 2}


def test_a_job_waits_for_its_needs_and_for_its_worker():
    load = Workload([job("a", 0, 10), Job("b", "b", 0.0, 5.0, needs=(0,))])
    outcome = play("relevo", load, Machines((Shape(2),), startup_s=3.0))
    assert outcome.ready_s == [0, 13]
    assert outcome.end_s == [13, 21]


def test_an_agent_that_is_lost_takes_its_jobs_with_it_and_they_begin_anew():
    load = Workload([job("a", 0, 50)])
    outcome = play("relevo", load, Machines((Shape(1),), 0.0, 40.0, 7.0), seed=3)
    assert outcome.losses == 2
    assert outcome.fates == ["ended"]
    assert outcome.spans[-1].end_s - outcome.spans[-1].begin_s == 50
    for before, after in pairwise(outcome.spans):
        assert after.begin_s == before.end_s + 7


def test_a_job_whose_agents_are_lost_again_and_again_is_given_up_and_who_needs_it_skipped():
    load = Workload([job("a", 0, 1e6), Job("b", "b", 0.0, 5.0, needs=(0,)), job("c", 0, 0.01)])
    outcome = play("relevo", load, Machines((Shape(2, window=0),), 0.0, 10.0, 1.0))
    assert outcome.fates == ["lost", "skipped", "ended"]
    assert outcome.losses == 3


def test_jobs_that_fit_nowhere_are_named():
    load = Workload([job("a", 0, 1), job("b", 0, 1, demand=GPU), job("c", 0, 1, demand=WIDE)])
    with pytest.raises(
        UserError, match=r"2 jobs fit no agent(.|\n)*b / b: it runs on gpu(.|\n)*c / c: it asks"
    ):
        play("relevo", load, Machines((Shape(1, cpus=1.0, memory_bytes=5),)))


def test_a_policy_that_lets_jobs_wait_for_ever_is_told_and_does_not_hang(monkeypatch):
    class Never:
        def __init__(self, world):
            self.held = 0

        def ready(self, job):
            self.held += 1

        def up(self, agent): ...
        def turn(self): ...
        def waiting(self):
            return self.held

    monkeypatch.setitem(REFERENCES, "never", Never)
    with pytest.raises(UserError, match="1 jobs would wait for ever, the first of them a / a"):
        play("never", Workload([job("a", 0, 1)]), ONE)
