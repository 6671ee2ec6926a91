"""The transition tables themselves."""

from __future__ import annotations

import pytest

from relevo.domain.errors import InvalidTransition
from relevo.domain.states import (
    ATTEMPT_ENDS,
    JOB_ENDS,
    RUN_ENDS,
    STEP_ENDS,
    AttemptStatus,
    JobStatus,
    MemberStatus,
    RunStatus,
    StepStatus,
)
from relevo.domain.tables import ATTEMPT, JOB, MEMBER, RUN, STEP, check

TABLES = [
    (RUN, RunStatus, RUN_ENDS),
    (JOB, JobStatus, JOB_ENDS),
    (ATTEMPT, AttemptStatus, ATTEMPT_ENDS),
    (STEP, StepStatus, STEP_ENDS),
    (MEMBER, MemberStatus, {MemberStatus.LEAVING, MemberStatus.REFUSED}),  # it lets go of its group then
]


@pytest.mark.parametrize(("table", "states", "ends"), TABLES)
def test_every_state_has_its_row_and_ends_lead_nowhere(table, states, ends):
    assert set(table) == set(states)
    assert {state for state, following in table.items() if not following} == set(ends)


@pytest.mark.parametrize(("table", "states", "ends"), TABLES)
def test_every_state_can_be_reached_and_every_state_can_end(table, states, ends):
    first = next(iter(states))
    reached = {first}
    while True:
        more = {target for state in reached for target in table[state]} - reached
        if not more:
            break
        reached |= more
    assert reached == set(states)
    for state in states:
        found, waiting = set(), [state]
        while waiting:
            here = waiting.pop()
            for target in table[here] - found:
                found.add(target)
                waiting.append(target)
        assert state in ends or found & ends


def test_a_move_that_is_not_in_the_table_is_refused_with_its_story():
    with pytest.raises(InvalidTransition) as refused:
        check(JOB, "job a", JobStatus.SUCCEEDED, JobStatus.RUNNING, ("it had ended",))
    assert "job a: no way from succeeded to running" in str(refused.value)
    assert "it had ended" in str(refused.value)
