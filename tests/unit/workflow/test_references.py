"""Names in expressions that nothing gives a value."""

from __future__ import annotations

import pytest

from relevo.workflow.reader import read

FILE = """\
on:
  push:
  workflow_dispatch: {inputs: {level: {}}}
  workflow_call:
    inputs: {target: {type: string}}
    outputs: {version: {value: "${{ VALUE_OF_OUTPUT }}"}}
jobs:
  build:
    runs-on: x
    outputs: {version: "${{ steps.read.outputs.any }}"}
    steps:
      - {id: read, run: x}
  called: {uses: ./other.yml}
  test:
    needs: [build, called]
    runs-on: "${{ matrix.os }}"
    strategy: {matrix: {os: [a], include: [{extra: 1}]}}
    steps:
      - {id: first, run: x}
      - if: IF
        run: echo ${{ SCRIPT }}
"""


def told(script: str = "1", if_: str = "true", output: str = "1") -> list[tuple[str, str | None]]:
    text = FILE.replace("SCRIPT", script).replace("IF", if_).replace("VALUE_OF_OUTPUT", output)
    return [(one.message, one.hint) for one in read(text.encode(), "f.yml").warnings]


@pytest.mark.parametrize(
    "good",
    [
        "steps.first.outputs.anything",
        "STEPS['First'].outcome",
        "steps.*.conclusion",
        "needs.build.outputs.version",
        "needs.called.outputs.whatever",
        "needs.build.result",
        "needs.*.result",
        "matrix.os",
        "matrix.extra",
        "matrix[inputs.level]",
        "inputs.level",
        "inputs.Target",
        "github.event.anything.at.all",
        "github.repositoryUrl",
        "env.ANYTHING",
        "vars.ANYTHING",
        "secrets.ANYTHING",
        "job.services.db.ports",
        "runner.os",
        "strategy.job-index",
    ],
)
def test_what_has_a_value(good: str) -> None:
    assert told(good) == []


@pytest.mark.parametrize(
    ("bad", "message", "hint"),
    [
        ("steps.frist.outputs.x", "no step of this job has the id 'frist'", "did you mean 'first'?"),
        ("steps.read.outputs.x", "no step of this job has the id 'read'", "known here: first"),
        ("steps.first.output.x", "a step has no 'output'", "did you mean 'outputs'?"),
        ("needs.biuld.result", "'biuld' is not among the `needs`", "did you mean 'build'?"),
        ("needs.test.result", "'test' is not among the `needs`", "add test to `needs:`"),
        ("needs.build.outputs.versoin", "'build' has no output 'versoin'", "did you mean 'version'?"),
        ("needs.build.status", "a job has no 'status'", "known here: outputs, result"),
        ("matrix.oss", "the matrix has no key 'oss'", "did you mean 'os'?"),
        ("inputs.lvel", "no event of this workflow has an input 'lvel'", "did you mean 'level'?"),
        ("github.reff", "there is no github.reff", "did you mean 'ref'?"),
        ("github.repositoryurl2", "there is no github.repositoryurl2", "did you mean 'repositoryUrl'?"),
        ("runner.oss", "there is no runner.oss", "did you mean 'os'?"),
    ],
)
def test_what_has_none(bad: str, message: str, hint: str) -> None:
    ((said, hinted),) = told(bad)
    assert message in said
    assert hinted == hint


def test_conditions_and_outputs_of_the_workflow() -> None:
    ((said, _),) = told(if_="steps.frist.outcome == 'success'")
    assert "'frist'" in said
    ((said, hint),) = told(output="jobs.build.outputs.versoin")
    assert ("'versoin'" in said, hint) == (True, "did you mean 'version'?")
    assert told(output="jobs.build.outputs.version") == []


@pytest.mark.parametrize(
    "strategy",
    [
        "strategy: ${{ fromJSON(inputs.x) }}",
        "strategy: {matrix: '${{ fromJSON(inputs.x) }}'}",
        "strategy: {matrix: {a: [1], include: '${{ fromJSON(inputs.x) }}'}}",
        "strategy: {matrix: {a: [1], include: ['${{ fromJSON(inputs.x) }}']}}",
        "strategy: {matrix: {'${{ inputs.x }}': [1]}}",
    ],
)
def test_a_matrix_made_by_expressions_may_have_any_key(strategy: str) -> None:
    text = (
        "on: {workflow_dispatch: {inputs: {x: {}}}}\njobs:\n  a:\n    runs-on: x\n"
        f"    {strategy}\n    steps: [{{run: 'echo ${{{{ matrix.any }}}}'}}]\n"
    )
    assert read(text.encode(), "f.yml").warnings == ()


def test_a_job_without_a_matrix() -> None:
    text = "on: push\njobs: {a: {runs-on: x, steps: [{run: 'echo ${{ matrix.os }}'}]}}"
    (found,) = read(text.encode(), "f.yml").warnings
    assert "this job has no matrix" in found.message
