"""A source that was gathered and sent means to an engine what the tree itself means."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relevo.agent.actions.git_layout import Request, lay_out
from relevo.assembly.admission import Admission, Admitted
from relevo.assembly.gathering import gather
from relevo.assembly.joining import join
from relevo.assembly.snapshot import Taken, taking
from relevo.blobs.memory import MemoryBlobs
from relevo.domain.errors import UserError
from relevo.orchestrator.api import PartsMissing, Submission
from relevo.orchestrator.plans import HeldContexts, PlanCache, RunContexts
from relevo.protocol.snapshot import MAGIC
from relevo.scheduler.capacity import AgentCapacity
from relevo.scheduler.reach import Reach
from relevo.workflow.labels import local_labels

REACH = Reach([AgentCapacity("local", local_labels("x86_64"), 1, 1.0, 1 << 30)])
CHECKOUT = """
name: CI
on:
  push:
    paths: ["src/**"]
  pull_request:
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: ./tools/build
  more:
    uses: ./.github/workflows/called.yml
"""
CALLED = "on: workflow_call\njobs:\n  in:\n    runs-on: ubuntu-latest\n    steps: [{run: 'true'}]\n"
ACTION = "runs: {using: composite, steps: [{run: 'true', shell: bash}]}\n"


class Direct:
    """Sends into a store at hand."""

    def __init__(self, blobs: MemoryBlobs) -> None:
        self.blobs = blobs

    async def send(self, taken: Taken) -> Sequence[str]:
        return [await taken.store(self.blobs)]


@pytest.fixture
def project(repository: Path, git: Any) -> Path:
    files = {
        ".github/workflows/ci.yml": CHECKOUT,
        ".github/workflows/called.yml": CALLED,
        "tools/build/action.yml": ACTION,
        "src/main.c": "int main;\n",
    }
    for name, text in files.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "Second")
    (repository / "src" / "new.c").write_text("int two;\n")
    return repository


def submission(directory: Path, **given: Any) -> Submission:
    given = {"workflow_path": ".github/workflows/ci.yml", "workflow_text": CHECKOUT.encode(), **given}
    return Submission(directory=str(directory), **given)


async def admitted(asked: Submission, blobs: MemoryBlobs) -> Admitted:
    return await Admission(blobs, PlanCache(), REACH).admit(asked, run_id="r1", run_number="1")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"event": "push"},
        {"event": "pull_request:opened"},
        {"committed": True},
        {"jobs": ("more",)},
        {"env": {"A": "b"}, "skip_unmatched": True},
    ],
)
async def test_an_engine_elsewhere_accepts_the_same(project: Path, given: dict[str, Any]) -> None:
    blobs = MemoryBlobs()
    here = await admitted(submission(project, **given), blobs)
    told = await gather(submission(project, **given), Direct(blobs))
    assert told.source is not None
    assert str(project) not in str(told)
    sent = msgspec.json.decode(msgspec.json.encode(told), type=Submission)
    project.rename(project.with_name("elsewhere"))
    there = await admitted(sent, blobs)
    assert there.workflow == here.workflow
    ours, theirs = (
        RunContexts(HeldContexts.of(each.digest, each.contexts), "7001", "1").decoded
        for each in (here, there)
    )
    assert msgspec.structs.replace(theirs, directory=ours.directory) == ours
    assert (there.title, there.warnings) == (here.title, here.warnings)


async def test_nothing_is_sent_that_nobody_needs(project: Path) -> None:
    text = b"on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps: [{run: 'true'}]\n"
    told = await gather(submission(project, workflow_text=text), Direct(MemoryBlobs()))
    assert told.source is not None
    assert (told.source.workflows, told.source.actions, told.source.changed, told.source.snapshot) == (
        {},
        {},
        None,
        (),
    )


async def test_what_is_wrong_is_told_before_anything_is_sent(project: Path) -> None:
    blobs = MemoryBlobs()
    for given in (
        {"workflow_text": b"on: push\njobs: {}\n"},
        {"event": "schedule"},
        {"jobs": ("nobody",)},
    ):
        with pytest.raises(UserError):
            await gather(submission(project, **given), Direct(blobs))
    (project / "tools/build/action.yml").write_text("runs: {using: nothing}\n")
    with pytest.raises(UserError, match=r"tools/build/action\.yml"):
        await gather(submission(project), Direct(blobs))
    assert blobs.held == {}


# --- parts ----------------------------------------------------------------------------------------------------------


async def _parts(folder: Path, blobs: MemoryBlobs, *, history: bool) -> tuple[str, str]:
    """A snapshot as it was, then with changes, as what the first one lacks."""
    async with taking(str(folder), committed=False, history=history) as taken:
        known = set(taken.objects())
        first = await taken.store(blobs)
    (folder / "src" / "main.c").write_text("int changed;\n")
    (folder / "src" / "new.c").unlink()
    async with taking(str(folder), committed=False, history=history) as taken:
        new = [name for name in taken.objects() if name not in known]
        assert len(new) == 4  # a commit, two trees, a file
        return first, await taken.store(blobs, new)


@pytest.mark.parametrize("history", [False, True])
@pytest.mark.parametrize("kind", ["sha1", "sha256"])
async def test_parts_are_joined_to_what_the_tree_holds_now(
    tmp_path: Path, git: Any, tree: Any, history: bool, kind: str
) -> None:
    folder = tmp_path / "work"
    (folder / "src").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main", f"--object-format={kind}")
    for name in ("main.c", "new.c", "other.c"):
        (folder / "src" / name).write_text(f"int {name[:-2]};\n" * 50)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "First")
    blobs = MemoryBlobs()
    first, changes = await _parts(folder, blobs, history=history)
    assert len(blobs.held[changes]) < len(blobs.held[first]) * 2
    joined = await join([first, changes], blobs)
    pack = blobs.held[joined.digest].split(b"\n", 2)[2]
    size = hashlib.new(kind).digest_size
    assert hashlib.new(kind, pack[:-size]).digest() == pack[-size:]
    blob = tmp_path / "blob"
    blob.write_bytes(blobs.held[joined.digest])
    out = tmp_path / "out"
    layout = lay_out(str(blob), Request(target=str(out)))
    assert layout.commit == joined.commit
    assert tree(out) == tree(folder)
    git(out, "fsck", "--strict")
    assert (await join([first], blobs)).digest == first


async def test_parts_that_are_none_are_refused(project: Path) -> None:
    blobs = MemoryBlobs()
    first, changes = await _parts(project, blobs, history=False)

    async def put(data: bytes) -> str:
        writer = await blobs.create()
        await writer.write(data)
        return await writer.commit()

    header = blobs.held[first][: blobs.held[first].index(b"\n", len(MAGIC)) + 1]
    strange = (b"", b"PACK", MAGIC, MAGIC + b"{}\n", MAGIC + b'{"commit": 1}\n', header, header + b"PACK" * 9)
    for data in strange:
        digest = await put(data)
        for parts in ([digest], [first, digest], [digest, changes]):
            with pytest.raises(UserError):
                await join(parts, blobs)
    for parts in ([], [first] * 9):
        with pytest.raises(UserError, match="1 to 8 parts"):
            await join(parts, blobs)
    with pytest.raises(PartsMissing) as missing:
        await join([first, "0" * 64, "../etc/passwd"], blobs)
    assert missing.value.digests == ("0" * 64, "../etc/passwd")
    assert os.listdir(project)  # it was never looked at
