from __future__ import annotations

from typing import Any

from relevo.cli.palette import Palette
from relevo.cli.view_plain import CROWD, PlainView
from relevo.orchestrator.progress import Progress
from tests.unit.cli.fake import RUN, event, job_added, job_finished, one_job, step_finished, step_started


class Recorded:
    """An output that keeps what it is given."""

    closed = False

    def __init__(self) -> None:
        self.text = ""

    def line(self, text: str) -> None:
        self.text += text + "\n"

    def write(self, text: str) -> None:
        self.text += text


def shown(items: list[Any], *, coloured: bool = False) -> str:
    """What the view makes of events, and of (job, step, bytes)."""
    output = Recorded()
    view = PlainView(output, Palette(coloured))  # type: ignore[arg-type]
    progress = Progress(RUN)
    for item in items:
        if isinstance(item, tuple):
            view.log(*item)
        else:
            progress.apply(item)
            view.event(item, progress)
    view.summary(progress, {"build": ["it broke"]})
    return output.text


def test_a_run_reads_as_a_story() -> None:
    events = one_job("failed")
    text = shown([*events[:7], ("build", 0, b"hello\nit br"), ("build", 0, b"oke"), *events[7:]])
    assert text.splitlines() == [
        "CI · push  run r1",
        "build    │ ▸ started",
        "build    │ ▸ Compile",
        "build    │ hello",
        "build    │ it broke",
        "build    │ ✗ Compile: exit code 2  1.5s",
        "build    │ ✗ failed in 1.5s",
        "",
        "   job    status  time  attempts",
        "✗  build  failed  1.5s         1",
        "",
        "✗ build failed in “Compile”: exit code 2",
        "    it broke",
        "  all of it: relevo logs r1 build",
        "",
        "✗ failed: 0 of 1 job succeeded, 1 failed in 1.6s  run r1",
    ]


def test_a_job_that_makes_room_says_for_whom() -> None:
    why = "preempted for job 'deploy' of run r9"
    told = shown(
        [
            *one_job()[:7],
            event("job.preempting", job="build", attempt=1, for_run="r9", for_job="deploy"),
            event("job.retrying", job="build", attempt=1, message=why, preempted=True),
        ]
    )
    assert f"■ {why}" in told
    assert f"↻ waits again: {why}" in told


def test_nothing_of_a_log_moves_the_cursor() -> None:
    text = shown([*one_job()[:7], ("build", 0, b"\x1b[2Ja\x1b[31mb\x1b]0;t\x07\x07\n")], coloured=True)
    line = next(line for line in text.splitlines() if line.endswith("b\x1b[0m"))
    assert line.endswith(" a\x1b[31mb\x1b[0m")
    assert "\x1b[2J" not in text
    assert "\x1b]" not in text


def test_jobs_are_told_apart_by_their_names() -> None:
    items = [job_added("a"), job_added("test (ubuntu-latest, 3.11, with everything)")]
    items += [event("job.running", 0, job=item["job"], attempt=1) for item in items]
    items += [("a", 0, b"one\n"), (items[1]["job"], 0, b"two\n")]
    lines = shown(items).splitlines()
    assert lines[2] == f"{'a'.ljust(28)} │ one"
    assert lines[3].startswith("test (ubuntu-l…")
    assert lines[3].index("│") == 29


def test_annotations_and_forgiven_failures() -> None:
    items = [
        *one_job()[:7],
        event(
            "annotation",
            job="build",
            attempt=1,
            step=0,
            level="error",
            message="bad\nvery",
            title="T",
            file="a.py",
            line=3,
            column=1,
        ),
        step_finished("build", 0, "Compile", "failure", 2000, conclusion="success", exit_code=1),
        step_started("build", 1, "Skipped"),
        step_finished("build", 1, "Skipped", "skipped"),
    ]
    text = shown(items)
    assert "build    │ error a.py:3:1: T: bad\n" in text
    assert "✗ Compile: exit code 1, and the job goes on  1.0s" in text
    assert "✓ Skipped" not in text


def test_a_crowd_is_counted_and_its_failures_are_named() -> None:
    jobs = [f"job {number}" for number in range(CROWD * 3)]
    items = [job_added(job) for job in jobs]
    for number, job in enumerate(jobs):
        items.append(event("job.running", number * 20, job=job, attempt=1))
        items.append(job_finished(job, "failed" if number == 7 else "succeeded", number * 20 + 10))
    items.append(event("run.finished", 9999, status="failed"))
    text = shown(items)
    assert text.count(f"more than {CROWD} jobs: only what fails is shown from here on") == 1
    assert "job 7" in text
    assert "job 8" not in text
    assert "300 jobs: 1 failed, 299 succeeded" in text
    assert len(text.splitlines()) < 40


def test_a_held_run_says_how_to_decide() -> None:
    items = [
        *one_job()[:7],
        event("job.held", job="build", attempt=1, message="lost in “Compile”"),
        event("run.held"),
    ]
    text = shown(items)
    assert "relevo retry r1 --job build" in text
    assert "relevo fail r1 --job build" in text


def test_step_summaries_and_artifacts_are_told_at_the_end() -> None:
    events = one_job()
    events[7] = step_finished("build", 0, "Compile", at=2500, summary="# All **good**\n")
    events.insert(8, event("artifact", job="build", attempt=1, name="wheel", size=1234567))
    text = shown(events)
    assert "── build · Compile\nAll good\n" in text
    assert "artifacts: wheel (1.2 MB)" in text
