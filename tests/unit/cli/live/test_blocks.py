from __future__ import annotations

from relevo.cli.live import blocks
from relevo.cli.palette import Palette
from tests.unit.cli.fake import event, job_added, job_finished, step_finished, step_started
from tests.unit.cli.live.test_frame import running, state_after

PLAIN = Palette(False)
BUILD = [
    job_added("build"),
    running("build"),
    step_started("build", 0, "Checkout"),
    step_finished("build", 0, "Checkout", at=300),
    step_started("build", 1, "Lint", 300),
    step_finished("build", 1, "Lint", "failure", 500, conclusion="success", exit_code=1),
    step_started("build", 2, "Compile", 500),
]


def ended(items: list[object], *, others: int = 0) -> list[str]:
    state = state_after([*(job_added(f"job {number}") for number in range(others)), *items])
    known = state.running.get("build")
    state.progress.apply(job_finished("build", "failed" if known else "succeeded", 1_500))
    return blocks.job_ended(state.progress.jobs["build"], known, state.progress, PLAIN, program="relevo")


def test_a_job_that_failed_while_others_go_on_shows_why_and_where_to_see_more() -> None:
    annotations = [
        event(
            "annotation",
            job="build",
            attempt=1,
            step=2,
            level="error",
            message=f"no {number}",
            file="a.py",
            line=3,
        )
        for number in range(12)
    ]
    log = ("build", 2, b"".join(b"line %d\n" % number for number in range(9)))
    end = step_finished("build", 2, "Compile", "failure", 1_500, exit_code=2)
    lines = ended([*BUILD, *annotations, log, end], others=1)
    assert lines[:5] == [
        "✗ build failed in “Compile”: exit code 2  1.5s",
        "    ✓ Checkout  0.3s",
        "    ✗ Lint: exit code 1, and the job goes on  0.2s",
        "    ✗ Compile: exit code 2  1.0s",
        "    error a.py:3: no 0",
    ]
    assert lines[-7:] == [
        "    and 2 more annotations: relevo show r1",
        *(f"    │ line {number}" for number in range(4, 9)),
        "    relevo logs r1 build",
    ]


def test_the_last_job_leaves_its_lines_to_the_summary() -> None:
    end = step_finished("build", 2, "Compile", "failure", 1_500, exit_code=2)
    assert ended([*BUILD, ("build", 2, b"line\n"), end])[-1] == "    ✗ Compile: exit code 2  1.0s"


def test_among_many_jobs_one_that_went_well_is_a_line() -> None:
    done = [*BUILD, step_finished("build", 2, "Compile", at=1_500), job_finished("build", at=1_500)]
    assert ended(done)[1:2] == ["    ✓ Checkout  0.3s"]
    assert ended(done, others=blocks.DETAILED) == ["✓ build  1.5s"]


def test_what_waits_says_why() -> None:
    state = state_after([*BUILD, event("job.held", job="build", attempt=1, message="lost in “Compile”")])
    job = state.progress.jobs["build"]
    assert blocks.job_waits("job.held", job, PLAIN) == "? build held: lost in “Compile”"
    assert blocks.job_waits("job.retrying", job, PLAIN).startswith("↻ build trying again: ")
    why = "preempted for job 'deploy' of run r9"
    state = state_after([*BUILD, event("job.retrying", job="build", attempt=1, message=why, preempted=True)])
    told = blocks.job_waits("job.retrying", state.progress.jobs["build"], PLAIN)
    assert told == f"↻ build waits again: {why}"
