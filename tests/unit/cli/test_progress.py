from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.cli import exits
from relevo.orchestrator.progress import Progress, final
from tests.unit.cli.fake import RUN, event, job_added, job_finished, one_job, step_finished, step_started


def told(events: list[dict[str, object]]) -> Progress:
    progress = Progress(RUN)
    for one in events:
        progress.apply(one)
    return progress


def test_a_run_is_gathered_from_its_events() -> None:
    progress = told(one_job("failed"))
    job = progress.jobs["build"]
    assert (progress.workflow, progress.status, progress.took_ms()) == ("CI", "failed", 1600)
    assert (job.status, job.attempts, job.took_ms(), job.log_size) == ("failed", 1, 1500, 6)
    found = job.failing_step()
    assert found is not None
    assert (found[0], found[1].name, found[1].exit_code, found[1].took_ms) == (0, "Compile", 2, 1500)


def test_the_steps_shown_are_those_of_the_last_attempt() -> None:
    progress = told(
        [
            job_added("build"),
            event("job.running", 0, job="build", attempt=1),
            step_started("build", 0, "Compile"),
            step_finished("build", 0, "Compile", "failure"),
            event("job.retrying", job="build", attempt=1, message="exit code 7"),
            event("job.assigned", job="build", attempt=2, agent="local"),
            event("job.running", 5000, job="build", attempt=2),
        ]
    )
    job = progress.jobs["build"]
    assert (job.attempts, job.steps, job.started_ms, job.status) == (2, {}, 0, "running")


@pytest.mark.parametrize(
    ("events", "code"),
    [
        (one_job("succeeded"), exits.SUCCEEDED),
        (one_job("failed"), exits.FAILED),
        (one_job("cancelled"), exits.CANCELLED),
        (one_job("failed", infrastructure=True), exits.INFRASTRUCTURE),
        (
            [*one_job()[:7], event("job.held", job="build", attempt=1, message=""), event("run.held")],
            exits.HELD,
        ),
        (one_job()[:7], exits.INFRASTRUCTURE),
    ],
)
def test_exit_codes(events: list[dict[str, object]], code: int) -> None:
    assert exits.of(told(events)) == code


def test_a_failure_of_the_work_counts_more_than_one_of_the_machine() -> None:
    events = [
        job_finished("a", "failed", infrastructure=True),
        job_finished("b", "failed"),
        job_finished("c", "skipped"),
        event("run.finished", status="failed"),
    ]
    assert exits.of(told(events)) == exits.FAILED


def test_the_last_line_of_json_names_every_job() -> None:
    assert final(told(one_job("failed"))) == {
        "v": 1,
        "run": RUN,
        "status": "failed",
        "jobs": {"build": {"status": "failed", "attempts": 1}},
    }


def test_kinds_that_are_not_known_yet_are_let_pass() -> None:
    progress = told(
        [*one_job(), event("job.dreamt", job="build", of="sheep"), event("run.dreamt"), event("moon")]
    )
    assert progress.status == "succeeded"


KINDS = ["job.added", "job.queued", "job.running", "job.finished", "job.held", "job.cancelling"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(KINDS))))
def test_counts_are_those_of_the_jobs(steps: list[tuple[str, str]]) -> None:
    progress = told([event(kind, job=job, attempt=1, status="failed") for job, kind in steps])
    counted: dict[str, int] = {}
    for job in progress.jobs.values():
        counted[job.status] = counted.get(job.status, 0) + 1
    assert {status: count for status, count in progress.counts.items() if count} == counted
    assert progress.jobs_ended == counted.get("failed", 0)
