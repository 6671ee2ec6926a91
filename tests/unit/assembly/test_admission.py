"""Admission: what it remembers of texts, and where it reads."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from relevo.assembly import admission, git_facts
from relevo.assembly.admission import Admission, Admitted
from relevo.blobs.memory import MemoryBlobs
from relevo.domain.errors import UserError
from relevo.orchestrator.api import Submission
from relevo.orchestrator.plans import HeldContexts, PlanCache, RunContexts, SharedContexts, digest_of
from relevo.scheduler.capacity import AgentCapacity
from relevo.scheduler.reach import Reach
from relevo.workflow.diagnostics import WorkflowInvalid
from relevo.workflow.labels import local_labels

PLAIN = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo\n"
LOCAL = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: ./tool\n"
TWO = f"{PLAIN}  b:\n    uses: ./.github/workflows/other.yml\n"
ACTION = "name: t\nruns:\n  using: composite\n  steps:\n    - run: echo\n      shell: bash\n"
REACH = Reach([AgentCapacity("local", local_labels("x86_64"), 1, 1.0, 1 << 30)])


@pytest.fixture
def made() -> Admission:
    return Admission(MemoryBlobs(), PlanCache(), REACH)


def asked(text: str, folder: Path, **given: Any) -> Submission:
    return Submission("w.yml", text.encode(), directory=str(folder), **given)


def shared(admitted: Admitted) -> SharedContexts:
    return RunContexts(HeldContexts.of(admitted.digest, admitted.contexts), "7001", "1").decoded


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads in which workflows were read."""
    threads: list[str] = []
    real = admission.read_meant

    def noted(*asked: Any) -> Any:
        threads.append(threading.current_thread().name)
        return real(*asked)

    monkeypatch.setattr(admission, "read_meant", noted)
    return threads


async def test_a_text_that_uses_nothing_of_its_tree_is_read_once(
    made: Admission, tmp_path: Path, read: list[str]
) -> None:
    first = await made.admit(asked(PLAIN, tmp_path), run_id="r1", run_number="1")
    second = await made.admit(
        asked(PLAIN, tmp_path, treeless=True, env={"A": "b"}), run_id="r2", run_number="2"
    )
    assert first.plan is second.plan
    assert len(read) == 1
    assert shared(second).env == {"A": "b"}
    await made.admit(asked(PLAIN, tmp_path, jobs=("a",)), run_id="r3", run_number="3")
    await made.admit(asked(PLAIN.replace("echo", "true"), tmp_path), run_id="r4", run_number="4")
    assert len(read) == 3


async def test_nothing_is_read_on_the_loop(
    made: Admission, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[threading.Thread] = []
    real = git_facts.read

    def noted(directory: str) -> Any:
        looked.append(threading.current_thread())
        return real(directory)

    monkeypatch.setattr(git_facts, "read", noted)
    for _ in range(2):  # also when the text is known: git is asked of each tree
        await made.admit(asked(PLAIN, tmp_path), run_id="r1", run_number="1")
    assert len(looked) == 2
    assert threading.main_thread() not in looked
    assert threading.main_thread().name not in read


async def test_what_a_text_uses_of_its_tree_is_looked_at_each_time(made: Admission, tmp_path: Path) -> None:
    (tmp_path / "tool").mkdir()
    action = tmp_path / "tool" / "action.yml"
    action.write_text(ACTION)
    await made.admit(asked(LOCAL, tmp_path), run_id="r1", run_number="1")
    action.write_text("name: t\nruns:\n  using: node99\n")
    with pytest.raises(WorkflowInvalid):
        await made.admit(asked(LOCAL, tmp_path), run_id="r2", run_number="2")
    other = tmp_path / ".github" / "workflows" / "other.yml"
    other.parent.mkdir(parents=True)
    other.write_text(PLAIN.replace("push", "workflow_call"))
    await made.admit(asked(TWO, tmp_path, jobs=("a",)), run_id="r3", run_number="3")
    other.unlink()
    with pytest.raises(WorkflowInvalid):  # a job that is not asked for is checked all the same
        await made.admit(asked(TWO, tmp_path, jobs=("a",)), run_id="r4", run_number="4")


async def test_what_is_remembered_is_bounded(
    made: Admission, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "REMEMBERED_BYTES", 3 * len(PLAIN))
    for number in range(5):
        await made.admit(asked(PLAIN.replace("echo", f"ech{number}"), tmp_path), run_id="r", run_number="1")
    assert len(made._known) == 3
    assert made._known_bytes == 3 * len(PLAIN)
    long = PLAIN + "#" * 3 * len(PLAIN)
    await made.admit(asked(long, tmp_path), run_id="r", run_number="1")
    assert len(made._known) == 3


async def test_a_run_without_a_tree_is_not_one_of_the_repository_that_its_folder_lies_in(
    made: Admission, tmp_path: Path
) -> None:
    await asyncio.to_thread(_commit, tmp_path)
    (tmp_path / "nowhere").mkdir()
    theirs = await made.admit(asked(PLAIN, tmp_path / "nowhere"), run_id="r1", run_number="1")
    assert (theirs.title, shared(theirs).github["ref_name"]) == ("Theirs", "theirs")
    nobodys = await made.admit(asked(PLAIN, tmp_path / "nowhere", treeless=True), run_id="r2", run_number="2")
    assert (nobodys.title, shared(nobodys).github["ref_name"]) == ("push", "main")
    assert shared(nobodys).github["repository"] == "local/nowhere"
    checks_out = PLAIN.replace("run: echo", "uses: actions/checkout@v4")
    with pytest.raises(UserError, match="has no working tree"):
        await made.admit(asked(checks_out, tmp_path / "nowhere", treeless=True), run_id="r3", run_number="3")


TREELESS = {
    "plain": PLAIN,
    "named": f"name: All\n{PLAIN}",
    "of its number": f"run-name: the ${{{{ github.run_number }}}}th\n{PLAIN}",
    "in a group": f"concurrency: g-${{{{ github.run_id }}}}\n{PLAIN}",
    "by hand": PLAIN.replace(
        "on: push", "on: {workflow_dispatch: {inputs: {level: {default: low}}}, push: }"
    ),
}


@pytest.mark.parametrize("text", TREELESS.values(), ids=list(TREELESS))
@pytest.mark.parametrize("given", [{}, {"event": "push"}, {"keep": True}, {"env": {"A": "b"}}])
async def test_what_is_remembered_of_runs_without_a_tree_is_what_each_of_them_has(
    tmp_path: Path, text: str, given: dict[str, Any]
) -> None:
    remembering = Admission(MemoryBlobs(), PlanCache(), REACH)
    for run, number in (("r1", 1), ("01m8f7wrqq5mat61td", 127), ("01m8f7wrqq5mat61te", 100_000)):
        submission = asked(text, tmp_path, treeless=True, **given)
        found = await remembering.admit(submission, run_id=run, run_number=str(number))
        fresh = await Admission(MemoryBlobs(), PlanCache(), REACH).admit(
            submission, run_id=run, run_number=str(number)
        )
        assert (found.contexts, found.digest) == (fresh.contexts, digest_of(found.contexts))
        assert (found.title, found.event, found.group) == (fresh.title, fresh.event, fresh.group)


async def test_what_is_asked_otherwise_is_not_taken_from_what_is_remembered(
    made: Admission, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = TREELESS["by hand"]
    usual: dict[str, Any] = {"treeless": True}
    for _ in range(2):
        assert shared(
            await made.admit(asked(text, tmp_path, **usual), run_id="r", run_number="1")
        ).inputs == {"level": "low"}
    high = await made.admit(
        asked(text, tmp_path, inputs={"level": "high"}, **usual), run_id="r", run_number="1"
    )
    assert shared(high).inputs == {"level": "high"}
    pushed = await made.admit(asked(text, tmp_path, event="push", **usual), run_id="r", run_number="1")
    assert (pushed.event, shared(pushed).github["event_name"]) == ("push", "push")
    assert shared(
        await made.admit(asked(text, tmp_path, keep=True, **usual), run_id="r", run_number="1")
    ).keep
    monkeypatch.setenv("RELEVO_JOB_LIMIT", "7")
    assert shared(await made.admit(asked(text, tmp_path, **usual), run_id="r", run_number="1")).job_limit == 7


def _commit(folder: Path) -> None:
    for command in ("init -q -b theirs", "-c user.name=n -c user.email=e commit -q --allow-empty -m Theirs"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True)


async def test_what_agents_answer_to_counts_also_for_texts_that_are_known(
    tmp_path: Path, read: list[str]
) -> None:
    reach = Reach(REACH.agents.values())
    made = Admission(MemoryBlobs(), PlanCache(), reach)
    gpu = PLAIN.replace("ubuntu-latest", "GPU")
    with pytest.raises(UserError, match="runs on GPU, and no agent here does"):
        await made.admit(asked(gpu, tmp_path), run_id="r1", run_number="1")
    reach.met(AgentCapacity("g", frozenset({"gpu"}), 1, 1.0, 1 << 30))
    await made.admit(asked(gpu, tmp_path), run_id="r2", run_number="2")
    reach.met(AgentCapacity("g", frozenset({"fast"}), 1, 1.0, 1 << 30))
    with pytest.raises(UserError, match="runs on GPU, and no agent here does"):
        await made.admit(asked(gpu, tmp_path), run_id="r3", run_number="3")


async def test_where_jobs_may_wait_no_label_is_refused(tmp_path: Path) -> None:
    made = Admission(MemoryBlobs(), PlanCache(), None)
    admitted = await made.admit(
        asked(PLAIN.replace("ubuntu-latest", "{group: x}"), tmp_path), run_id="r1", run_number="1"
    )
    assert list(admitted.workflow.jobs) == ["a"]
