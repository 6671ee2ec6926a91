"""What a call hands over, and what it gives back."""

from __future__ import annotations

from typing import Any

import pytest

from relevo.workflow.expressions import ExpressionError, Scope
from relevo.workflow.handover import NotHandedOver, inputs_of, outputs_of, secrets_of
from relevo.workflow.model import Workflow
from relevo.workflow.reader import read

CONTEXTS: dict[str, Any] = {
    "github": {"ref_name": "main"},
    "vars": {"V": "v"},
    "inputs": {"mine": "caller's"},
    "needs": {"a": {"result": "success", "outputs": {"n": "3", "empty": ""}}},
    "matrix": {"os": "linux"},
    "strategy": {"job-index": 1},
}


def called_with(takes: str, with_: str = "{}", secrets: str | None = None) -> Workflow:
    """A caller whose job `call` calls a workflow that takes such inputs."""
    called = f"on: {{workflow_call: {takes}}}\njobs: {{x: {{runs-on: linux, steps: [{{run: x}}]}}}}\n"
    passes = f"\n    secrets: {secrets}" if secrets else ""
    text = f"on: push\njobs:\n  call:\n    uses: ./c.yml\n    with: {with_}{passes}\n"
    return read(text.encode(), "w.yml", {"./c.yml": called.encode()}.get)


def inputs(takes: str, with_: str) -> dict[str, Any]:
    job = called_with(f"{{inputs: {takes}}}", with_).jobs["call"]
    assert job.called is not None
    return inputs_of(job, job.called, Scope(CONTEXTS))


@pytest.mark.parametrize(
    ("takes", "with_", "seen"),
    [
        ("{s: {type: string}}", "{}", {"s": ""}),
        ("{b: {type: boolean}}", "{}", {"b": False}),
        ("{n: {type: number}}", "{}", {"n": 0}),
        ("{s: {type: string, default: x}}", "{}", {"s": "x"}),
        ("{s: {type: string, default: x}}", "{s: ''}", {"s": ""}),
        ("{b: {type: boolean, default: true}}", "{b: false}", {"b": False}),
        ("{n: {type: number, default: 3}}", "{n: 1.5}", {"n": 1.5}),
        ("{Name: {type: string}}", "{name: x}", {"Name": "x"}),
        ("{s: {type: string}}", "{s: 3}", {"s": "3"}),
        ("{s: {type: string}}", "{s: true}", {"s": "true"}),
        ("{s: {type: string}}", "{s: '${{ needs.a.outputs.n }} ${{ matrix.os }}'}", {"s": "3 linux"}),
        ("{n: {type: number}}", "{n: '${{ strategy.job-index }}'}", {"n": 1}),
        ("{n: {type: number}}", "{n: '${{ fromJSON(needs.a.outputs.n) }}'}", {"n": 3}),
        ("{b: {type: boolean}}", "{b: '${{ needs.a.result == ''success'' }}'}", {"b": True}),
        ("{s: {type: string}}", "{s: '${{ inputs.mine }} ${{ vars.V }}'}", {"s": "caller's v"}),
        ("{s: {type: string}}", "{s: '${{ needs.a.outputs.none }}'}", {"s": ""}),
        ("{s: {type: string, default: '${{ github.ref_name }}'}}", "{}", {"s": "main"}),
        (
            "{a: {type: string}, b: {type: string, default: '${{ inputs.a }}${{ inputs.mine }}'}}",
            "{a: x}",
            {"a": "x", "b": "x"},
        ),
    ],
)
def test_inputs(takes: str, with_: str, seen: dict[str, Any]) -> None:
    found = inputs(takes, with_)
    assert found == seen
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in seen.items()
    }


@pytest.mark.parametrize(
    ("takes", "with_", "key", "said"),
    [
        ("{b: {type: boolean}}", "{b: '${{ needs.a.result }}'}", "with.b", "not 'success'; fromJSON()"),
        ("{b: {type: boolean}}", "{b: '${{ needs.a.outputs.empty }}'}", "with.b", "not an empty value"),
        ("{b: {type: boolean}}", "{b: '${{ inputs.none }}'}", "with.b", "not an empty value"),
        ("{b: {type: boolean}}", "{b: '${{ strategy.job-index }}'}", "with.b", "true or false, not '1'"),
        ("{n: {type: number}}", "{n: '${{ needs.a.outputs.n }}'}", "with.n", "a number, not '3'"),
        ("{n: {type: number}}", "{n: '${{ true }}'}", "with.n", "a number, not 'true'"),
        ("{s: {type: string}}", "{s: '${{ needs.a }}'}", "with.s", "a text, not a mapping; toJSON()"),
        ("{s: {type: string}}", "{s: '${{ fromJSON(''['') }}'}", "with.s", "fromJSON"),
        (
            "{n: {type: number, default: '${{ github.ref_name }}'}}",
            "{}",
            "",
            "the default of the input 'n' of ./c.yml",
        ),
    ],
)
def test_inputs_that_cannot_be_handed_over(takes: str, with_: str, key: str, said: str) -> None:
    with pytest.raises(NotHandedOver) as refused:
        inputs(takes, with_)
    assert refused.value.key == key
    assert said.replace("./c.yml", "c.yml") in str(refused.value)


def test_outputs() -> None:
    takes = """{inputs: {i: {type: string}}, outputs: {
        a: {value: "${{ jobs.x.outputs.word }} ${{ jobs.x.result }}"},
        b: {value: "${{ inputs.i }}${{ github.ref_name }}"}, c: {value: "${{ jobs.x.outputs.none }}"},
        d: {value: 3}}}"""
    called = called_with(takes).jobs["call"].called
    assert called is not None
    contexts = {
        "github": {"ref_name": "main"},
        "inputs": {"i": "of the call "},
        "jobs": {"x": {"result": "failure", "outputs": {"word": "w"}}},
    }
    assert outputs_of(called, contexts) == {"a": "w failure", "b": "of the call main", "c": "", "d": "3"}
    with pytest.raises(ExpressionError, match=r"c\.yml: on\.workflow_call\.outputs\.e: "):
        outputs_of(
            called_with("{outputs: {e: {value: \"${{ fromJSON('{') }}\"}}}").jobs["call"].called, contexts
        )


@pytest.mark.parametrize(
    ("passes", "seen"),
    [
        (None, {"github_token": "t"}),
        ("inherit", {"A": "1", "B": "2", "github_token": "t"}),
        (
            "{a: '${{ secrets.A }}', b: '${{ matrix.os }}-${{ secrets.b }}'}",
            {"github_token": "t", "a": "1", "b": "linux-2"},
        ),
        ("{a: '${{ secrets.NONE }}'}", {"github_token": "t", "a": ""}),
    ],
)
def test_secrets(passes: str | None, seen: dict[str, str]) -> None:
    job = called_with("{secrets: {a: {}, b: {}}}", secrets=passes).jobs["call"]
    assert secrets_of(job, {"A": "1", "B": "2", "github_token": "t"}, CONTEXTS) == seen


def test_a_secret_that_cannot_be_passed_on_is_not_told() -> None:
    job = called_with("{secrets: {a: {}}}", secrets="{a: '${{ fromJSON(secrets.A) }}'}").jobs["call"]
    with pytest.raises(NotHandedOver) as refused:
        secrets_of(job, {"A": "hidden"}, CONTEXTS)
    assert "hidden" not in str(refused.value)
    assert refused.value.key == "secrets.a"
