"""Reusable workflows: what is handed over fits what is taken, at any depth."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.workflow import calls
from relevo.workflow.calls import Limits, absolute, local_files
from relevo.workflow.language import PERMISSION_SCOPES
from relevo.workflow.model import Workflow
from relevo.workflow.permissions import excess, level
from relevo.workflow.reader import WorkflowInvalid, read

JOB = "{runs-on: x, steps: [{run: x}]}"
CALLED = f"""\
on:
  workflow_call:
    inputs:
      name: {{type: string, required: true}}
      fast: {{type: boolean}}
      count: {{type: number}}
    secrets:
      token: {{required: true}}
      other:
jobs:
  inner: {JOB}
"""


def files(**texts: str) -> calls.Load:
    def load(reference: str) -> bytes | None:
        name = reference.removeprefix("./").removesuffix(".yml")
        if reference.startswith("./") and name not in texts:
            raise FileNotFoundError(2, "No such file or directory")
        return texts[name].encode() if name in texts else None

    return load


def caller(job: str, head: str = "") -> bytes:
    return f"on: push\n{head}jobs:\n  a:\n    {job}\n".encode()


def places(text: bytes, load: calls.Load, limits: Limits | None = None) -> list[tuple[str, int, int, str]]:
    with pytest.raises(WorkflowInvalid) as raised:
        read(text, "w.yml", load, limits or Limits())
    assert all(found.excerpt for found in raised.value.diagnostics)
    return [(found.path, found.line, found.column, found.message) for found in raised.value.diagnostics]


def good(text: bytes, load: calls.Load, limits: Limits | None = None) -> Workflow:
    return read(text, "w.yml", load, limits or Limits())


def test_called_jobs_are_in_the_model() -> None:
    job = "{uses: ./c.yml, with: {NAME: n, fast: true, count: 2}, secrets: {Token: x}}"
    found = good(caller(job).replace(b"{uses", b"  {uses"), files(c=CALLED)).jobs["a"]
    assert found.called is not None
    assert list(found.called.jobs) == ["inner"]
    assert found.called.path == "c.yml"


def test_without_a_loader_calls_are_left_alone() -> None:
    assert read(caller("uses: ./nowhere.yml"), "w.yml").jobs["a"].called is None


def test_another_repository_is_left_alone_where_it_is_not_to_be_had() -> None:
    assert good(caller("uses: o/r/c.yml@v1"), files()).jobs["a"].called is None


@pytest.mark.parametrize(
    ("job", "at", "said"),
    [
        ("{uses: ./c.yml, secrets: inherit}", "./c.yml", "needs the input 'name'"),
        ("{uses: ./c.yml, with: {name: n}}", "./c.yml", "needs the secret 'token'"),
        ("{uses: ./c.yml, secrets: inherit, with: {name: n, nam: 2}}", "2}", "has no input 'nam'"),
        ("{uses: ./c.yml, with: {name: n}, secrets: {token: t, x: y}}", "y}", "has no secret 'x'"),
        (
            "{uses: ./c.yml, secrets: inherit, with: {name: n, fast: 'true'}}",
            "'true'",
            "must be true or false",
        ),
        ("{uses: ./c.yml, secrets: inherit, with: {name: n, count: '1'}}", "'1'", "must be a number"),
        ("{uses: ./gone.yml}", "./", "./gone.yml cannot be read: No such file or directory"),
        ("{uses: ./push.yml}", "./", "has no `workflow_call`"),
        ("{uses: ./wrong.yml}", "./", "in the called workflow wrong.yml:2:1: unknown key 'job'"),
    ],
)
def test_what_does_not_fit_stands_at_the_call(job: str, at: str, said: str) -> None:
    texts = {"c": CALLED, "push": f"on: push\njobs: {{a: {JOB}}}\n", "wrong": "on: workflow_call\njob: 1\n"}
    text = f"on: push\njobs:\n  a: {job}\n".encode()
    found = places(text, files(**texts))
    assert [place[:3] for place in found if said in place[3]] == [
        ("w.yml", 3, len("  a: ") + job.index(at) + 1)
    ], found


def test_expressions_are_not_looked_at_before_they_have_values() -> None:
    job = "{uses: ./c.yml, secrets: inherit, with: {name: n, fast: '${{ 1 }}', count: '${{ 1 }}'}}"
    good(f"on: push\njobs:\n  a: {job}\n".encode(), files(c=CALLED))


def test_all_calls_are_told_of_in_one_pass() -> None:
    text = b"on: push\njobs:\n  a: {uses: ./x.yml}\n  b: {uses: ./y.yml}\n"
    assert [place[1] for place in places(text, files())] == [3, 4]


# --- permissions ----------------------------------------------------------------------------------------------

PERMISSIONS = st.one_of(
    st.none(),
    st.sampled_from(("read-all", "write-all")),
    st.dictionaries(st.sampled_from(list(PERMISSION_SCOPES)), st.sampled_from(("none", "read", "write"))),
)


@given(PERMISSIONS)
def test_whoever_asks_for_what_he_has_does_not_exceed(permissions: object) -> None:
    assert excess(permissions, permissions) == []
    assert excess(permissions, None) == []
    assert excess(None, permissions) == []


@given(PERMISSIONS, PERMISSIONS)
def test_excess_is_exactly_the_scopes_that_rank_higher(asked: object, granted: object) -> None:
    ranks = ("none", "read", "write")
    higher = [
        scope
        for scope in PERMISSION_SCOPES
        if asked is not None and ranks.index(level(asked, scope)) > ranks.index(level(granted, scope))
    ]
    assert [scope for scope, _, _ in excess(asked, granted)] == higher


def test_a_called_workflow_may_not_ask_for_more_than_its_caller_has() -> None:
    inner = "on: workflow_call\njobs: {i: {permissions: {contents: write}, runs-on: x, steps: [{run: x}]}}\n"
    text = caller("uses: ./c.yml", "permissions: {contents: read}\n")
    [(path, line, column, said)] = places(text, files(c=inner))
    assert (path, line, column) == ("w.yml", 4, 3)
    assert "its job 'i' wants contents: write, granted is contents: read" in said
    good(caller("uses: ./c.yml", "permissions: {contents: write}\n"), files(c=inner))
    good(caller("uses: ./c.yml"), files(c=inner))
    assert places(caller("uses: ./c.yml"), files(c=inner), Limits(permissions={"contents": "read"}))


def test_what_was_granted_at_the_top_binds_all_levels() -> None:
    middle = "on: workflow_call\njobs:\n  m: {uses: ./c.yml}\n"
    inner = f"on: workflow_call\npermissions: write-all\njobs: {{i: {JOB}}}\n"
    [(path, line, column, _)] = places(
        caller("uses: ./m.yml", "permissions: read-all\n"), files(m=middle, c=inner)
    )
    assert (path, line, column) == ("m.yml", 3, 3)


# --- limits ---------------------------------------------------------------------------------------------------


def chain(length: int) -> dict[str, str]:
    texts = {
        f"f{at}": f"on: workflow_call\njobs: {{a: {{uses: ./f{at + 1}.yml}}}}\n" for at in range(1, length)
    }
    return {**texts, f"f{length}": f"on: workflow_call\njobs: {{a: {JOB}}}\n"}


@pytest.mark.parametrize("depth", [1, 3, 10])
def test_levels_are_limited(depth: int) -> None:
    good(caller("uses: ./f1.yml"), files(**chain(depth)), Limits(depth=depth))
    [(path, _, _, said)] = places(caller("uses: ./f1.yml"), files(**chain(depth + 1)), Limits(depth=depth))
    assert path == f"f{depth}.yml"
    assert f"deeper than {depth} levels" in said


def test_a_circle_is_named() -> None:
    texts = {
        "a": "on: workflow_call\njobs: {x: {uses: ./b.yml}}\n",
        "b": "on: workflow_call\njobs: {x: {uses: ./a.yml}}\n",
    }
    [(path, _, _, said)] = places(caller("uses: ./a.yml"), files(**texts))
    assert path == "b.yml"
    assert "./a.yml → ./b.yml → ./a.yml" in said


def test_files_are_limited() -> None:
    texts = {f"f{at}": f"on: workflow_call\njobs: {{a: {JOB}}}\n" for at in range(4)}
    text = "on: push\njobs:\n" + "".join(f"  j{at}: {{uses: ./f{at}.yml}}\n" for at in range(4))
    good(text.encode(), files(**texts), Limits(files=4))
    assert [place[1] for place in places(text.encode(), files(**texts), Limits(files=3))] == [6]


def test_calls_that_double_at_each_level_end_at_the_size_limit() -> None:
    # 8 levels of 8 calls each: 16 million jobs, were they all followed
    texts = {
        f"f{at}": "on: workflow_call\njobs:\n"
        + "".join(f"  j{job}: {{uses: ./f{at + 1}.yml}}\n" for job in range(8))
        for at in range(1, 9)
    }
    read_files = []

    def load(reference: str) -> bytes | None:
        read_files.append(reference)
        return texts.get(reference[2:-4], f"on: workflow_call\njobs: {{a: {JOB}}}\n").encode()

    found = places(caller("uses: ./f1.yml"), load, Limits(size_bytes=200_000))
    assert len(found) == 1
    assert "larger than 200000 bytes" in found[0][3]
    assert len(read_files) <= 9


def test_a_file_is_limited_without_calls_too() -> None:
    text = f"on: push\njobs: {{a: {JOB}}}\n".encode()
    size = read(text, "w.yml").size_bytes
    read(text, "w.yml", None, Limits(size_bytes=size))
    with pytest.raises(WorkflowInvalid, match=f"larger than {size - 1} bytes"):
        read(text, "w.yml", None, Limits(size_bytes=size - 1))


# --- files ----------------------------------------------------------------------------------------------------


def test_a_working_tree_gives_its_own_files_only(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a.yml").write_bytes(b"inside")
    (tmp_path / "b.yml").write_bytes(b"outside")
    (tree / "link.yml").symlink_to(tmp_path / "b.yml")
    os.mkfifo(tree / "pipe.yml")
    load = local_files(str(tree))
    assert load("./a.yml") == b"inside"
    assert load("owner/repository/a.yml@v1") is None
    for reference, said in (
        ("./../b.yml", "outside"),
        ("./link.yml", "outside"),
        ("./pipe.yml", "no such file"),
    ):
        with pytest.raises(OSError, match=said):
            load(reference)


def test_a_local_file_of_another_repository_is_that_repositorys() -> None:
    assert absolute("./w/x.yml", "o/r/w/c.yml@v1") == "o/r/w/x.yml@v1"
    assert absolute("./w/x.yml", "./w/c.yml") == "./w/x.yml"
    assert absolute("o/r/x.yml@v2", "p/q/c.yml@v1") == "o/r/x.yml@v2"


def test_what_a_calling_job_cannot_have_done_for_it_is_warned_of() -> None:
    text = """\
on: push
jobs:
  a:
    uses: ./c.yml
    relevo: {priority: 3, resources: {cpu: 1}, retry: {max: 1}, deadline: 1h, preemptible: true}
"""
    warnings = read(text.encode(), "w.yml").warnings
    assert [(one.line, one.column, one.message.partition(" ")[0]) for one in warnings] == [
        (5, 27, "`resources`"),
        (5, 48, "`retry`"),
        (5, 79, "`preemptible`"),
    ]
