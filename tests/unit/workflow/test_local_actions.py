"""Actions' files: how they are read, what is wrong with them and where, and how a workflow's are looked at before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from relevo.workflow.action_reader import ActionFile, find, read_action, refusal
from relevo.workflow.diagnostics import WorkflowInvalid
from relevo.workflow.local_actions import LocalActions, check_local_actions, in_tree
from relevo.workflow.model import Action, ActionInput
from relevo.workflow.nodes import MAX_BYTES
from relevo.workflow.reader import read


def action(text: str) -> Action:
    return read_action(ActionFile("act/action.yml", text.encode()))


def test_an_action() -> None:
    read = action(
        """\
name: Say
description: says it
author: me
inputs:
  text: {description: what, required: true, default: '${{ github.actor }}', deprecationMessage: old, note: own}
  Other: {}
outputs:
  said: {description: it, value: '${{ steps.a.outputs.b }}'}
branding: {icon: x}
runs:
  using: Composite
  steps:
    - {id: a, name: n, if: 'inputs.text', run: echo, shell: bash, working-directory: d, continue-on-error: true, env: {A: b}}
    - {uses: ./other, with: {a: b}, relevo: {idempotent: false}}
"""
    )
    assert read.using == "composite"
    assert read.inputs == (ActionInput("text", "${{ github.actor }}", True, "old"), ActionInput("Other"))
    assert read.outputs == {"said": "${{ steps.a.outputs.b }}"}
    first, second = read.steps
    assert (first.id, first.name, first.if_, first.run, first.shell) == (
        "a",
        "n",
        "inputs.text",
        "echo",
        "bash",
    )
    assert (first.working_directory, first.continue_on_error, first.env) == ("d", True, {"A": "b"})
    assert (second.uses, second.with_, second.idempotent) == ("./other", {"a": "b"}, False)
    assert (read.marks["steps.1.uses"].line, read.marks["steps.1.uses"].column) == (14, 14)


def step(text: str) -> str:
    return f"runs:\n  using: composite\n  steps:\n    - {text}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [(0, 0, "the file is empty")]),
        ("name: x", [(1, 1, "an action needs the key `runs`")]),
        ("runs: {using: composite}", [(1, 7, "needs the key `steps`")]),
        ("runs: {using: composite, main: x}", [(1, 26, "has no `main`, it has `steps`")]),
        ("runs: {using: node20, steps: []}", [(1, 23, "only an action with `using: composite` has `steps`")]),
        ("runs: {using: python, steps: []}", [(1, 15, "'python' is nothing that an action is made of")]),
        (step("{run: x}"), [(4, 7, "needs the key `shell`")]),
        (step("{shell: sh}"), [(4, 7, "a step needs `run` or `uses`")]),
        (step("{run: x, shell: sh, timeout-minutes: 1}"), [(4, 27, "unknown key 'timeout-minutes'")]),
        (step("{run: '${{ secrets.A }}', shell: sh}"), [(4, 13, "'secrets' is not available here")]),
        (step("{run: '${{ needs.a }} ${{ vars.a }}', shell: sh}"), [(4, 13, "needs"), (4, 13, "vars")]),
        (step("{run: x, shell: sh, if: secrets.A}"), [(4, 31, "'secrets' is not available here")]),
        (step("{run: x, shell: sh, name: '${{ success() }}'}"), [(4, 33, "'success' is not available here")]),
        ("inputs: {a: {default: '${{ inputs.b }}'}}\n" + step("{run: x, shell: sh}"), [(1, 23, "'inputs'")]),
        ("outputs: {a: {value: '${{ secrets.b }}'}}\n" + step("{run: x, shell: sh}"), [(1, 22, "'secrets'")]),
        ("outputs: {a: {valeu: x}}\n" + step("{run: x, shell: sh}"), [(1, 15, "unknown key 'valeu' in an output")]),
        (step("{run: x, shell: sh, id: a}\n    - {run: x, shell: sh, id: A}"), [(5, 31, "used twice in this action")]),
        (step("{run: x, id: 1}\n    - {nothing: x}"), [(4, 7, "shell"), (4, 20, "no valid id"), (5, 7, "`run` or `uses`")]),
    ],
)  # fmt: skip
def test_what_is_wrong_and_where(text: str, expected: list[tuple[int, int, str]]) -> None:
    with pytest.raises(WorkflowInvalid) as caught:
        action(text)
    found = caught.value.diagnostics
    assert len(found) == len(expected), found
    for one, (line, _, words) in zip(found, expected, strict=True):
        assert one.path == "act/action.yml"
        assert one.line == line
        assert words in one.message
    assert [one.column for one in found if not one.excerpt_column] == [
        column for one, (_, column, _) in zip(found, expected, strict=True) if not one.excerpt_column
    ]


def test_a_file_that_is_too_large_is_refused() -> None:
    with pytest.raises(WorkflowInvalid, match="larger"):
        action("#" * (MAX_BYTES + 1))


@pytest.mark.parametrize(
    ("runs", "kind"),
    [
        ("{using: node20, main: x, pre: y, post-if: always()}", "JavaScript action (using: node20)"),
        ("{using: Node16, main: x}", "JavaScript action (using: node16)"),
        (
            "{using: docker, image: x, args: ['${{ inputs.a }}'], env: {A: b}}",
            "container action (using: docker)",
        ),
    ],
)
def test_other_kinds_are_refused_by_name(runs: str, kind: str) -> None:
    refused = refusal(action(f"runs: {runs}"), "./act")
    assert refused is not None
    assert kind in refused.message
    assert (refused.line, refused.column) == (1, 15)
    assert refused.hint


def put(tree: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)


def test_where_a_file_is_found(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    put(
        tree,
        {
            "a/action.yml": "1",
            "a/action.yaml": "2",
            "b/action.yaml": "3",
            "c/Dockerfile": "FROM x",
            "d/x": "",
        },
    )
    put(tmp_path, {"out/action.yml": ""})
    (tree / "link").symlink_to(tmp_path / "out")
    (tree / "within").symlink_to(tree / "b")
    (tree / "e").mkdir()
    (tree / "e" / "action.yml").symlink_to(tmp_path / "out" / "action.yml")

    def found(uses: str) -> Any:
        file = find(str(tree), uses)
        return file and (file.path, file.text)

    assert found("./a") == ("a/action.yml", b"1")
    assert found("./x/../b/") == found("./within") == ("b/action.yaml", b"3")
    assert found("./c")[0] == "c/Dockerfile"
    assert found("./d") is None
    assert found("./none") is None
    for outside in ("./../out", "./link", "./e"):
        with pytest.raises(OSError, match="outside"):
            found(outside)


def looked_at(tree: Path, *uses: str) -> LocalActions:
    steps = "".join(f"      - uses: {one}\n" for one in uses)
    text = f"on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n{steps}"
    return check_local_actions(read(text.encode(), "w.yml"), in_tree(str(tree)))


def test_the_actions_of_a_workflow_are_looked_at(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "good/action.yml": step("{uses: ./deep}"),
            "deep/action.yml": step(
                "{uses: docker/login-action@v3}\n    - uses: ./good\n    - uses: ./wrong"
            ),
            "wrong/action.yml": step("{run: x}"),
            "js/action.yml": "runs: {using: node20, main: x}",
            "strange/action.yml": step("{run: 'echo ${{ github.head_ref }}', shell: sh}"),
        },
    )
    found = looked_at(tmp_path, "./good", "./good", "./js", "./later", "./strange", "./../out")
    assert [str(one).split(": ")[0] for one in found.wrong] == ["w.yml:11:15", "wrong/action.yml:4:7"]
    assert [str(one).partition(": ")[0] for one in found.refused] == [
        "js/action.yml:1:15",
        "deep/action.yml:4:14",
    ]
    assert "docker login" in (found.refused[1].hint or "")
    assert [(one.path, one.severity) for one in found.warnings] == [("strange/action.yml", "warning")]


def test_nothing_is_said_of_what_is_not_there(tmp_path: Path) -> None:
    found = looked_at(tmp_path, "./later", "actions/checkout@v4")
    assert found == LocalActions()
