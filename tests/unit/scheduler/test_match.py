"""Matching: examples, and any queue and capacity against the rules said plainly."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from relevo.scheduler.capacity import AgentCapacity, Capacity
from relevo.scheduler.demand import Demand
from relevo.scheduler.match import Policy, choose, match
from relevo.scheduler.queue import Queue, Waiting
from relevo.workflow.labels import canonical, local_labels

ANY = Demand(frozenset(), None, None)
POLICY = Policy()


def capacity(*agents: tuple[str, set[str], int, float, int]) -> Capacity:
    made = Capacity()
    for name, labels, places, cpus, memory in agents:
        made.agents[name] = AgentCapacity(name, frozenset(labels), places, cpus, memory)
    return made


def queue(*waiting: tuple[str, int, int, Demand]) -> Queue:
    made = Queue()
    for run, job, priority, demand in waiting:
        made.add(Waiting(run, job), priority, demand)
    return made


def placed(found) -> list[tuple[str, int]]:
    return [tuple(placement.waiting) for placement in found]


def test_higher_priority_goes_first():
    waiting = queue(("low", 0, 0, ANY), ("high", 0, 5, ANY))
    assert placed(match(waiting, capacity(("x", set(), 1, 1, 1)), POLICY)) == [("high", 0)]


def test_runs_take_turns_so_that_a_big_one_does_not_starve_a_small_one():
    waiting = queue(*(("big", job, 0, ANY) for job in range(100)), ("small", 0, 0, ANY))
    assert placed(match(waiting, capacity(("x", set(), 2, 1, 1)), POLICY)) == [("big", 0), ("small", 0)]


def test_turns_go_on_over_rounds():
    waiting = queue(*(("a", job, 0, ANY) for job in range(3)), *(("b", job, 0, ANY) for job in range(3)))
    order = []
    for _ in range(6):
        found = match(waiting, capacity(("x", set(), 1, 1, 1)), POLICY)
        order += placed(found)
        for placement in found:
            waiting.remove(placement.waiting)
    assert [run for run, _ in order] == ["a", "b", "a", "b", "a", "b"]


def test_labels_must_all_be_there():
    gpu = Demand(frozenset({"linux", "gpu"}), None, None)
    waiting = queue(("a", 0, 0, gpu), ("b", 0, 0, ANY))
    found = match(waiting, capacity(("plain", {"linux"}, 5, 1, 1)), POLICY)
    assert placed(found) == [("b", 0)]


def test_cpus_and_memory_must_fit_together():
    wide = Demand(frozenset(), 3.0, 100)
    waiting = queue(("a", 0, 0, wide), ("a", 1, 0, wide))
    found = match(waiting, capacity(("x", set(), 8, 4.0, 1_000), ("y", set(), 8, 2.0, 1_000)), POLICY)
    assert [(placement.waiting, placement.agent) for placement in found] == [(Waiting("a", 0), "x")]


def test_the_emptiest_agent_is_taken():
    found = match(queue(("a", 0, 0, ANY)), capacity(("x", set(), 1, 1, 1), ("y", set(), 3, 1, 1)), POLICY)
    assert found[0].agent == "y"


def test_matching_changes_nothing():
    waiting = queue(("a", 0, 0, ANY), ("a", 1, 0, ANY))
    places = capacity(("x", set(), 1, 1, 1))
    assert match(waiting, places, POLICY) == match(waiting, places, POLICY)
    assert len(waiting) == 2
    assert places.agents["x"].free == 1


def test_a_job_that_waits_already_is_not_added_twice():
    waiting = queue(("a", 0, 0, ANY), ("a", 0, 3, ANY))
    assert len(waiting) == 1


def test_ubuntu_of_any_version_is_this_machine():
    assert canonical("Ubuntu-24.04") == canonical("ubuntu-latest")
    assert {canonical(label) for label in ("ubuntu-22.04", "Linux", "self-hosted", "X64")} <= local_labels(
        "x86_64"
    )
    assert canonical("windows-latest") not in local_labels("x86_64")


DEMANDS = [
    ANY,
    Demand(frozenset({"linux"}), None, None),
    Demand(frozenset({"linux", "gpu"}), None, None),
    Demand(frozenset(), 2.0, 10),
]
jobs = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.integers(0, 2), st.sampled_from(DEMANDS)),
    max_size=25,
    unique_by=lambda item: item[:2],
)
agents = st.lists(
    st.tuples(
        st.sampled_from("xyz"),
        st.sampled_from([frozenset(), frozenset({"linux"}), frozenset({"linux", "gpu"})]),
        st.integers(-1, 5),
        st.sampled_from([1.0, 4.0]),
        st.sampled_from([5, 25]),
    ),
    max_size=3,
    unique_by=lambda item: item[0],
)


@given(jobs, agents)
def test_any_match_is_valid_and_complete(waiting, places):
    made, room = queue(*waiting), capacity(*places)
    found = match(made, room, POLICY)
    assert len({placement.waiting for placement in found}) == len(found)
    used = Counter(placement.agent for placement in found)
    for name, agent in room.agents.items():
        mine = [placement for placement in found if placement.agent == name]
        assert used[name] <= max(0, agent.free)
        assert all(placement.demand.labels <= agent.labels for placement in mine)
        assert sum(placement.demand.cpus or 0 for placement in mine) <= agent.cpus_free or not mine
        assert sum(placement.demand.memory_bytes or 0 for placement in mine) <= agent.memory_free or not mine
    # Complete: whoever was left out fits nowhere any more.
    chosen = {placement.waiting for placement in found}
    for run, job, _, demand in waiting:
        if Waiting(run, job) in chosen:
            continue
        for name, agent in room.agents.items():
            mine = [placement for placement in found if placement.agent == name]
            fits = (
                demand.labels <= agent.labels
                and used[name] < agent.free
                and sum(p.demand.cpus or 0 for p in mine) + (demand.cpus or 0) <= agent.cpus_free
                and sum(p.demand.memory_bytes or 0 for p in mine) + (demand.memory_bytes or 0)
                <= agent.memory_free
            )
            assert not fits, (run, job, name)


@given(jobs)
def test_a_queue_gives_back_what_was_put_in(waiting):
    made = queue(*waiting)
    assert len(made) == len(waiting)
    for run, job, _, _ in waiting:
        assert made.remove(Waiting(run, job))
        assert not made.remove(Waiting(run, job))
    assert len(made) == 0
    assert not made.lanes


@given(agents, st.sampled_from(DEMANDS))
def test_a_job_that_nobody_competes_with_goes_where_a_match_would_place_it(places, demand):
    room = capacity(*places)
    assert [choose(room, demand)] == (
        [one.agent for one in match(queue(("a", 0, 0, demand)), room, POLICY)] or [None]
    )
