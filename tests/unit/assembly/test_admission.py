"""Admission: what it remembers of texts, and where it reads."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from relevo.assembly import admission, git_facts
from relevo.assembly.admission import Admission
from relevo.blobs.memory import MemoryBlobs
from relevo.domain.errors import UserError
from relevo.orchestrator.api import Submission
from relevo.orchestrator.plans import PlanCache
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
    first = await made.admit(asked(PLAIN, tmp_path), run="r1", number=1)
    second = await made.admit(asked(PLAIN, tmp_path, treeless=True, env={"A": "b"}), run="r2", number=2)
    assert first.plan is second.plan
    assert len(read) == 1
    assert second.shared.env == {"A": "b"}
    assert (first.shared.github["run_number"], second.shared.github["run_number"]) == ("1", "2")
    await made.admit(asked(PLAIN, tmp_path, jobs=("a",)), run="r3", number=3)
    await made.admit(asked(PLAIN.replace("echo", "true"), tmp_path), run="r4", number=4)
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
        await made.admit(asked(PLAIN, tmp_path), run="r1", number=1)
    assert len(looked) == 2
    assert threading.main_thread() not in looked
    assert threading.main_thread().name not in read


async def test_what_a_text_uses_of_its_tree_is_looked_at_each_time(made: Admission, tmp_path: Path) -> None:
    (tmp_path / "tool").mkdir()
    action = tmp_path / "tool" / "action.yml"
    action.write_text(ACTION)
    await made.admit(asked(LOCAL, tmp_path), run="r1", number=1)
    action.write_text("name: t\nruns:\n  using: node99\n")
    with pytest.raises(WorkflowInvalid):
        await made.admit(asked(LOCAL, tmp_path), run="r2", number=2)
    other = tmp_path / ".github" / "workflows" / "other.yml"
    other.parent.mkdir(parents=True)
    other.write_text(PLAIN.replace("push", "workflow_call"))
    await made.admit(asked(TWO, tmp_path, jobs=("a",)), run="r3", number=3)
    other.unlink()
    with pytest.raises(WorkflowInvalid):  # a job that is not asked for is checked all the same
        await made.admit(asked(TWO, tmp_path, jobs=("a",)), run="r4", number=4)


async def test_what_is_remembered_is_bounded(
    made: Admission, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "REMEMBERED_BYTES", 3 * len(PLAIN))
    for number in range(5):
        await made.admit(asked(PLAIN.replace("echo", f"ech{number}"), tmp_path), run="r", number=1)
    assert len(made._known) == 3
    assert made._known_bytes == 3 * len(PLAIN)
    long = PLAIN + "#" * 3 * len(PLAIN)
    await made.admit(asked(long, tmp_path), run="r", number=1)
    assert len(made._known) == 3


async def test_a_run_without_a_tree_is_not_one_of_the_repository_that_its_folder_lies_in(
    made: Admission, tmp_path: Path
) -> None:
    await asyncio.to_thread(_commit, tmp_path)
    (tmp_path / "nowhere").mkdir()
    theirs = await made.admit(asked(PLAIN, tmp_path / "nowhere"), run="r1", number=1)
    assert (theirs.title, theirs.shared.github["ref_name"]) == ("Theirs", "theirs")
    nobodys = await made.admit(asked(PLAIN, tmp_path / "nowhere", treeless=True), run="r2", number=2)
    assert (nobodys.title, nobodys.shared.github["ref_name"]) == ("push", "main")
    assert nobodys.shared.github["repository"] == "local/nowhere"
    checks_out = PLAIN.replace("run: echo", "uses: actions/checkout@v4")
    with pytest.raises(UserError, match="has no working tree"):
        await made.admit(asked(checks_out, tmp_path / "nowhere", treeless=True), run="r3", number=3)


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
        await made.admit(asked(gpu, tmp_path), run="r1", number=1)
    reach.met(AgentCapacity("g", frozenset({"gpu"}), 1, 1.0, 1 << 30))
    await made.admit(asked(gpu, tmp_path), run="r2", number=2)
    reach.met(AgentCapacity("g", frozenset({"fast"}), 1, 1.0, 1 << 30))
    with pytest.raises(UserError, match="runs on GPU, and no agent here does"):
        await made.admit(asked(gpu, tmp_path), run="r3", number=3)


async def test_where_jobs_may_wait_no_label_is_refused(tmp_path: Path) -> None:
    made = Admission(MemoryBlobs(), PlanCache(), None)
    admitted = await made.admit(
        asked(PLAIN.replace("ubuntu-latest", "{group: x}"), tmp_path), run="r1", number=1
    )
    assert list(admitted.workflow.jobs) == ["a"]
