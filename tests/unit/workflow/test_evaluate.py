"""Verdicts on jobs."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import pytest

from relevo.workflow.evaluate import evaluate_job, known_verdict
from relevo.workflow.model import Verdict, Workflow
from relevo.workflow.reader import read


def workflow(job: str) -> Workflow:
    body = textwrap.indent(textwrap.dedent(job).strip(), "    ")
    return read(f"on: push\njobs:\n  before: {{runs-on: x}}\n  job:\n{body}\n".encode(), "w.yml")


def verdict(job: str, **given: Any) -> Verdict:
    return judge(workflow(job), **given)


def judge(found: Workflow, **given: Any) -> Verdict:
    asked: dict[str, Any] = {
        "github": {"ref": "refs/heads/main", "event_name": "push"},
        "inputs": {},
        "vars": {},
        "needs": {"before": {"result": "success", "outputs": {"list": '["a", "b"]', "n": "2"}}},
        "ancestors_ok": True,
        "ancestors_failed": False,
        "run_cancelled": False,
    }
    return evaluate_job(found.jobs["job"], workflow=found, **{**asked, **given})


def names(job: str, **given: Any) -> list[str]:
    found = verdict(job, **given)
    assert found.error is None
    return [leg.name for leg in found.legs]


def test_a_plain_job_is_one_leg() -> None:
    (leg,) = verdict("runs-on: ubuntu-latest").legs
    assert (leg.name, leg.matrix, leg.index, leg.total) == ("job", {}, 0, 1)
    assert (leg.labels, leg.timeout_s, leg.continue_on_error) == (("ubuntu-latest",), 360 * 60, False)
    assert (leg.fail_fast, leg.max_parallel) == (True, None)


def test_what_is_known_of_a_job_is_what_evaluating_it_comes_to() -> None:
    for job, constant in [
        ("runs-on: x", True),
        ("runs-on: x\nif: success()", False),
        ("runs-on: x\nname: ${{ github.ref }}", False),
        ("runs-on: x\nstrategy: {matrix: {a: [1]}}", False),
        ("runs-on: x\nconcurrency: ${{ github.ref }}", False),
    ]:
        found = workflow(job)
        node = found.jobs["job"]
        assert known_verdict(node, ()) is None  # nobody asked before
        told = judge(found)
        known = known_verdict(node, ())
        assert (known is not None) is constant, job
        if known is not None:
            assert known == told == judge(workflow(job))
            assert known_verdict(node, {"job"}) is None  # it needs another name
            assert known_verdict(found.jobs["before"], ()) is None


OK = {"ancestors_ok": True, "ancestors_failed": False, "run_cancelled": False}
FAILED = {"ancestors_ok": False, "ancestors_failed": True, "run_cancelled": False}
ANCESTOR_SKIPPED = {"ancestors_ok": False, "ancestors_failed": False, "run_cancelled": False}
CANCELLED = {"ancestors_ok": True, "ancestors_failed": False, "run_cancelled": True}


@pytest.mark.parametrize(
    ("condition", "runs"),
    [
        # runs when: all well, an ancestor failed, an ancestor was skipped, the run was cancelled
        (None, (True, False, False, False)),
        ("success()", (True, False, False, False)),
        ("failure()", (False, True, False, False)),
        ("always()", (True, True, True, True)),
        ("cancelled()", (False, False, False, True)),
        ("'!cancelled()'", (True, True, True, False)),
        ("success() || failure()", (True, True, False, False)),
        ("github.ref == 'refs/heads/main'", (True, False, False, False)),
        ("github.ref == 'other'", (False, False, False, False)),
        ("always() && github.ref == 'other'", (False, False, False, False)),
        ("${{ always() }}", (True, True, True, True)),
        ("needs.before.result == 'success'", (True, False, False, False)),
        ("always() && needs.before.outputs.n == 2", (True, True, True, True)),
        ("true", (True, False, False, False)),
        ("false", (False, False, False, False)),
    ],
)
def test_when_it_runs(condition: str | None, runs: tuple[bool, ...]) -> None:
    job = "needs: before\nruns-on: x\n" + (f"if: {condition}\n" if condition else "")
    found = workflow(job)
    for _ in range(2):  # the second time a job without expressions comes from the cache
        cases = (OK, FAILED, ANCESTOR_SKIPPED, CANCELLED)
        assert tuple(judge(found, **case).run for case in cases) == runs


def test_the_condition_comes_before_the_matrix() -> None:
    job = """
        if: false
        runs-on: x
        strategy: {matrix: "${{ fromJSON('no json') }}"}
    """
    assert verdict(job) == Verdict(run=False)


def test_names_and_contexts_of_legs() -> None:
    job = """
        runs-on: [self-hosted, '${{ matrix.os }}']
        timeout-minutes: ${{ matrix.n * 1 }}
        strategy: {matrix: {os: [linux, mac], n: [1, 2]}}
    """.replace(" * 1", "")
    legs = verdict(job).legs
    assert [leg.name for leg in legs] == ["job (linux, 1)", "job (linux, 2)", "job (mac, 1)", "job (mac, 2)"]
    assert [leg.labels[1] for leg in legs] == ["linux", "linux", "mac", "mac"]
    assert [leg.timeout_s for leg in legs] == [60, 120, 60, 120]
    assert [(leg.index, leg.total) for leg in legs] == [(0, 4), (1, 4), (2, 4), (3, 4)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Unit", ["Unit (a)", "Unit (b)"]),
        ("Unit ${{ matrix.k }}", ["Unit a", "Unit b"]),
        ("${{ strategy.job-index }}/${{ strategy.job-total }}", ["0/2", "1/2"]),
        ("${{ github.event_name }}", ["push", "push #2"]),
        ("${{ matrix.nothing }}", ["job (a)", "job (b)"]),
    ],
)
def test_names(name: str, expected: list[str]) -> None:
    assert names(f"name: {name}\nruns-on: x\nstrategy: {{matrix: {{k: [a, b]}}}}") == expected


def test_names_are_unique_in_the_run() -> None:
    found = workflow("runs-on: x")
    for _ in range(2):  # with and without the cache
        assert judge(found, taken={"other"}).legs[0].name == "job"
        assert judge(found, taken={"job", "job #2"}).legs[0].name == "job #3"
    assert names("runs-on: x\nstrategy: {matrix: {k: ['', '', x]}}") == ["job", "job #2", "job (x)"]


def test_long_names_are_cut_and_still_unique() -> None:
    found = names(f"runs-on: x\nstrategy: {{matrix: {{k: ['{'y' * 200}1', '{'y' * 200}2']}}}}")
    assert found[0] == f"job ({'y' * 92}..."
    assert found[1] == found[0] + " #2"


def test_a_dynamic_matrix() -> None:
    job = """
        needs: before
        runs-on: ${{ matrix.k }}
        strategy:
          fail-fast: ${{ github.event_name != 'push' }}
          max-parallel: ${{ fromJSON(needs.before.outputs.n) }}
          matrix: {k: "${{ fromJSON(needs.before.outputs.list) }}"}
    """
    legs = verdict(job).legs
    assert [leg.labels for leg in legs] == [("a",), ("b",)]
    assert {(leg.fail_fast, leg.max_parallel) for leg in legs} == {(False, 2)}


def test_a_dynamic_strategy() -> None:
    text = json.dumps({"fail-fast": False, "matrix": {"k": [1, 2]}})
    legs = verdict("runs-on: x\nstrategy: ${{ fromJSON(vars.s) }}", vars={"s": text}).legs
    assert [(leg.name, leg.fail_fast) for leg in legs] == [("job (1)", False), ("job (2)", False)]


@pytest.mark.parametrize(
    ("runs_on", "labels"),
    [
        ('${{ fromJSON(\'["a", "b"]\') }}', ("a", "b")),
        ("{group: big, labels: [x]}", ("x", "group:big")),
        ("{labels: x}", ("x",)),
        ("[x, x]", ("x",)),
        ("${{ github.event_name == 'push' && 'p' || 'q' }}", ("p",)),
    ],
)
def test_labels(runs_on: str, labels: tuple[str, ...]) -> None:
    (leg,) = verdict(f"runs-on: {runs_on}").legs
    assert leg.labels == labels


@pytest.mark.parametrize(
    ("value", "holds"),
    [("true", True), ("${{ true }}", True), ("${{ matrix.k }}", False), ("${{ 'true' }}", True)],
)
def test_continue_on_error(value: str, holds: bool) -> None:
    (leg,) = verdict(f"runs-on: x\ncontinue-on-error: {value}").legs
    assert leg.continue_on_error is holds


@pytest.mark.parametrize(
    ("job", "place", "part"),
    [
        ("runs-on: x\nif: fromJSON('x')", "w.yml:6:5: jobs.job.if:", "no JSON"),
        ("runs-on: ${{ matrix.k }}", "w.yml:5:5: jobs.job.runs-on:", "an empty value"),
        ("runs-on: x\ntimeout-minutes: ${{ 'soon' }}", "w.yml:6:5: jobs.job.timeout-minutes:", "'soon'"),
        ("runs-on: x\ntimeout-minutes: -1", "w.yml:6:5: jobs.job.timeout-minutes:", "above 0"),
        (
            "runs-on: x\ncontinue-on-error: ${{ 'x' }}",
            "w.yml:6:5: jobs.job.continue-on-error:",
            "true or false",
        ),
        (
            "runs-on: x\nstrategy: {matrix: {k: '${{ vars.k }}'}}",
            "w.yml:6:5: jobs.job.strategy:",
            "an empty value",
        ),
        (
            "runs-on: x\nstrategy: {matrix: '${{ vars.k }}'}",
            "w.yml:6:5: jobs.job.strategy:",
            "must be a mapping",
        ),
        ("runs-on: x\nstrategy: {max-parallel: '${{ 0 }}'}", "w.yml:6:5: jobs.job.strategy:", "at least 1"),
        ("runs-on: x\nname: ${{ fromJSON('x') }}", "w.yml:6:5: jobs.job.name:", "no JSON"),
        ("runs-on: x\nstrategy: {matrix: {k: [1, 2, 3, 4]}}", "w.yml:6:5: jobs.job.strategy:", "limit"),
    ],
)
def test_what_cannot_be_fails_the_job_with_its_place(job: str, place: str, part: str) -> None:
    found = verdict(job, max_legs=3)
    assert found.run
    assert found.legs == ()
    assert found.error is not None
    assert found.error.startswith(place)
    assert part in found.error


def test_a_matrix_with_nothing_left_skips_the_job() -> None:
    found = verdict("runs-on: x\nstrategy: {matrix: {k: [1], exclude: [{k: 1}]}}")
    assert not found.run
    assert "nothing is left" in found.warnings[0]


def test_the_cache_does_not_confuse_jobs() -> None:
    one, other = workflow("runs-on: one"), workflow("runs-on: other")
    for _ in range(2):
        assert judge(one).legs[0].labels == ("one",)
        assert judge(other).legs[0].labels == ("other",)


def test_ten_thousand_legs() -> None:
    items = json.dumps(list(range(100)))
    job = "runs-on: x\nstrategy: {matrix: {a: '${{ fromJSON(vars.l) }}', b: '${{ fromJSON(vars.l) }}'}}"
    found = verdict(job, vars={"l": items})
    assert len({leg.name for leg in found.legs}) == 10_000
