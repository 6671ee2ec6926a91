"""Whatever waits, whatever there is, whatever the policy: matching does what its rules say plainly."""

from __future__ import annotations

import pytest
from tests.unit.scheduler.oracle import NOW_S, Oracle, instance

from relevo.scheduler import nodes, room, rounds
from relevo.scheduler.match import begin, decide


def agree(seed: int) -> int:
    """Raises where they differ; how many were placed."""
    given = instance(seed)
    queue, capacity = given.made()
    expected = Oracle(given)
    expected.run()
    found = decide(queue, capacity, given.policy, NOW_S)
    assert [(one.waiting, one.agent) for one in found.placements] == expected.placements, seed
    assert [(one.waiting, one.agent) for one in found.reservations] == expected.reservations, seed
    # A round that does not look at who has no room anyway comes to the same.
    short = begin(queue, capacity, given.policy, NOW_S, claims=False).run()
    assert (short.placements, short.reservations) == (found.placements, found.reservations), seed
    # Nothing was changed by deciding: asked again, it says the same.
    assert decide(queue, capacity, given.policy, NOW_S) == found, seed
    return len(found.placements)


def test_two_thousand_instances():
    assert sum(map(agree, range(2_000))) > 2_000


def test_a_thousand_instances_by_the_ways_of_many_agents(monkeypatch):
    """Ranks instead of a look at each, and amounts without a step of their own."""
    monkeypatch.setattr(room, "FEW", 0)
    monkeypatch.setattr(rounds, "SURVEYED_AFTER", 1_000)
    monkeypatch.setattr(nodes, "LADDER_LIMIT", 1)
    assert sum(map(agree, range(2_000, 3_000))) > 1_000


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_a_hundred_thousand_instances():
    for seed in range(100_000):
        agree(seed)
