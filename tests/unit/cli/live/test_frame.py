from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from relevo.cli.cells import cells
from relevo.cli.live.frame import render
from relevo.cli.live.state import LiveState
from relevo.cli.palette import Palette
from relevo.orchestrator.progress import Progress
from tests.unit.cli.fake import RUN, event, job_added, job_finished, step_finished, step_started


def state_after(items: list[Any]) -> LiveState:
    """The state after events, and after (job, step, bytes)."""
    state = LiveState(Progress(RUN))
    for item in items:
        if isinstance(item, tuple):
            state.running[item[0]].wrote(*item[1:])
            continue
        state.progress.apply(item)
        if item["event"] == "job.running":
            state.begin(item["job"])
        elif item["event"] == "job.finished":
            state.end(item["job"])
        elif item["event"] == "annotation":
            state.running[item["job"]].annotate(item)
    return state


def shown(items: list[Any], *, width: int = 80, height: int = 24, now_ms: int = 0) -> list[str]:
    return render(state_after(items), width, height, now_ms, Palette(False))


def running(job: str, at: int = 0, attempt: int = 1) -> dict[str, Any]:
    return event("job.running", at, job=job, attempt=attempt)


HALFWAY = [
    event("run.accepted", 0, workflow="CI", title="push", trigger="push"),
    *(job_added(job) for job in ("lint", "build", "测试 (3.11)", "deploy")),
    event("run.started"),
    running("lint"),
    job_finished("lint", "succeeded", 1_000),
    running("build", 1_000),
    step_started("build", 0, "Checkout", 1_000),
    step_finished("build", 0, "Checkout", at=1_200),
    step_started("build", 1, "Skipped", 1_200),
    step_finished("build", 1, "Skipped", "skipped", 1_200),
    step_started("build", 2, "Compile", 1_200),
    ("build", 2, b"one\n::group::Link\ntwo\n"),
    running("测试 (3.11)", 60_000, attempt=2),
]


def test_a_window_of_usual_size() -> None:
    assert shown(HALFWAY, now_ms=64_500) == [
        "● build  1m03s",
        "  ✓ Checkout  0.2s",
        "  ▸ Compile  1m03s",
        "    │ one",
        "    │ ▾ Link",
        "    │ two",
        "● 测试 (3.11) (attempt 2)  4s",
        "· deploy",
        "━━━━────────────  1 of 4 done, 2 running, 1 to come  1m04s  run r1",
    ]


def test_a_narrow_window() -> None:
    assert shown(HALFWAY, width=24, now_ms=64_500) == [
        "● build  1m03s",
        "  ✓ Checkout  0.2s",
        "  ▸ Compile  1m03s",
        "    │ one",
        "    │ ▾ Link",
        "    │ two",
        "● 测试 (3.11) (attempt…",
        "· deploy",
        "1 of 4 done, 2 running…",
    ]


def test_a_window_of_few_rows() -> None:
    assert shown(HALFWAY, height=5, width=60, now_ms=64_500) == [
        "● build · Compile  1m03s",
        "● 测试 (3.11) (attempt 2)  4s",
        "· deploy",
        "1 of 4 done, 2 running, 1 to come  1m04s",
    ]
    assert shown(HALFWAY, height=1, width=60, now_ms=64_500) == ["1 of 4 done, 2 running, 1 to come  1m04s"]


def test_more_jobs_than_rows() -> None:
    jobs = [f"job {number}" for number in range(9)]
    items = [*map(job_added, jobs), *map(running, jobs)]
    assert shown(items, height=6, width=60, now_ms=2_000) == [
        "● job 0  2s",
        "● job 1  2s",
        "● job 2  2s",
        "  and 6 more jobs at work",
        "0 of 9 done, 9 running  ",
    ]


def test_why_a_job_waits() -> None:
    items = [
        job_added("build"),
        event("job.queued", job="build"),
        event("job.added", job="deploy", name="deploy", needs=["build", "test"], labels=[]),
    ]
    assert shown(items, width=60)[:2] == ["· build  queued", "· deploy  after build, test"]
    sent = [
        *items,
        event("job.assigned", job="build", attempt=1, agent="local"),
    ]  # it waits there for its turn
    assert shown(sent, width=60)[:2] == ["· build  queued", "· deploy  after build, test"]
    assert "running" not in shown(sent, width=60)[-1]
    many = [job_added(f"j{number}") for number in range(40)]
    assert shown(many, width=30)[0] == "· 40 jobs to come: j0, j1, j2…"[:28] + "…"


def test_many_steps_leave_room_for_the_one_that_runs() -> None:
    items = [job_added("build"), running("build")]
    for number in range(12):
        items.append(step_started("build", number, f"Step {number}", number * 1_000))
        outcome, conclusion = ("failure", "success") if number == 10 else ("success", "success")
        items.append(
            step_finished("build", number, f"Step {number}", outcome, number * 1_000, conclusion=conclusion)
        )
    items[-1] = ("build", 11, b"".join(b"line %d\n" % number for number in range(50)))
    assert shown(items, now_ms=11_000) == [
        "● build  11s",
        "  ✓ 8 steps before",
        "  ✓ Step 8  0.0s",
        "  ✓ Step 9  0.0s",
        "  ✗ Step 10  0.0s",
        "  ▸ Step 11  0s",
        "    │ line 45",
        "    │ line 46",
        "    │ line 47",
        "    │ line 48",
        "    │ line 49",
        "────────────────  0 of 1 done, 1 running    run r1",
    ]


def test_a_crowd_shows_what_failed_first_and_counts_the_rest() -> None:
    jobs = [f"job {number}" for number in range(10_000)]
    items = [*map(job_added, jobs)]
    for number in range(412):
        items += [
            running(jobs[number]),
            job_finished(jobs[number], "failed" if number in (7, 8, 9, 300) else "succeeded", message="no"),
        ]
    items += [running(jobs[412], 1_000), running(jobs[413], 2_000)]
    assert shown(items, width=100, height=10, now_ms=3_000) == [
        "✗ job 8 failed: no",
        "✗ job 9 failed: no",
        "✗ job 300 failed: no",
        "  and 1 more failed before",
        "● job 412  2s",
        "● job 413  1s",
        "────────────────  412 of 10,000 done, 4 failed, 2 running, 9,586 to come    run r1",
    ]


def test_cancelling_and_annotations_are_seen() -> None:
    items = [
        job_added("build"),
        running("build"),
        event("annotation", job="build", attempt=1, step=0, level="error", message="no"),
        event("run.cancelling", reason=""),
        event("job.cancelling", job="build"),
    ]
    assert shown(items, width=60, now_ms=1_000) == [
        "■ build  1s  cancelling  1 annotation",
        "0 of 1 done, 1 running, cancelling  ",
    ]


def test_a_job_that_makes_room_is_seen() -> None:
    items = [
        job_added("build"),
        running("build"),
        event("job.preempting", job="build", attempt=1, for_run="r9", for_job="deploy"),
    ]
    assert shown(items, width=60, now_ms=1_000)[0] == "■ build  1s  preempting"


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(
    st.lists(NAMES, unique=True, max_size=30),
    st.binary(max_size=300),
    st.integers(1, 120),
    st.integers(1, 60),
)
def test_a_frame_always_fits(names: list[str], log: bytes, width: int, height: int) -> None:
    items: list[Any] = [*map(job_added, names)]
    for name in names[::2]:
        items += [running(name), step_started(name, 0, name), (name, 0, log)]
    lines = shown(items, width=width, height=height)
    assert len(lines) <= max(1, height - 1)
    assert all(cells(line) < width for line in lines)
    assert not any(character in line for line in lines for character in "\r\n\x1b\t")


def test_why_jobs_wait() -> None:
    state = state_after(
        [
            event("run.accepted", 0, workflow="CI", title="push", trigger="push"),
            *(job_added(job) for job in ("one", "two", "three")),
            event("job.waiting", job="one", group="deploy"),
            event("job.queued", job="two"),
            event("job.queued", job="three"),
        ]
    )
    state.reasons = {"three": "waits for a free slot: the only slot at local is taken"}
    told = render(state, 100, 24, 0, Palette(False))
    assert told[:3] == [
        "· one  waits for concurrency group 'deploy'",
        "· two  queued",
        "· three  waits for a free slot: the only slot at local is taken",
    ]
