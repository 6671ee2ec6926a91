"""`concurrency:`: what it comes to, what it cannot be, and deadlocks that are seen before anything runs."""

from __future__ import annotations

import pytest

from relevo.workflow.concurrency import ConcurrencyWrong, evaluate
from relevo.workflow.diagnostics import WorkflowInvalid
from relevo.workflow.evaluate import evaluate_job
from relevo.workflow.expressions import Scope
from relevo.workflow.model import Concurrency, Verdict
from relevo.workflow.reader import read
from relevo.workflow.support import unsupported

SCOPE = Scope({"github": {"ref": "refs/heads/main"}, "inputs": {"stop": True}, "vars": {}})


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("deploy", Concurrency("deploy")),
        (7, Concurrency("7")),
        ("ci-${{ github.ref }}", Concurrency("ci-refs/heads/main")),
        ({"group": "x", "cancel-in-progress": True}, Concurrency("x", cancel=True)),
        ({"group": "x", "cancel-in-progress": "${{ inputs.stop }}"}, Concurrency("x", cancel=True)),
        ({"group": "x", "cancel-in-progress": "${{ github.ref == 'x' }}"}, Concurrency("x")),
        ({"group": "x", "cancel-in-progress": None, "queue": "single"}, Concurrency("x")),
        ({"group": "x", "cancel-in-progress": False, "queue": "max"}, Concurrency("x", queues=True)),
        ('${{ fromJSON(\'{"group": "x", "queue": "max"}\') }}', Concurrency("x", queues=True)),
    ],
)
def test_what_it_comes_to(written, expected):
    assert evaluate(written, SCOPE) == expected


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("${{ github.nothing }}", "the name of the concurrency group is empty"),
        ({"group": "${{ github }}"}, "must be a text"),
        ("${{ format('{0}{0}', github.ref) }}" + "x" * 390, "may have 400 characters"),
        ({"group": "x", "cancel-in-progress": "${{ github.ref }}"}, "true or false, not 'refs/heads/main'"),
        ({"group": "x", "cancel-in-progress": "${{ inputs.stop }}", "queue": "max"}, "exclude each other"),
    ],
)
def test_what_it_cannot_be(written, said):
    with pytest.raises(ConcurrencyWrong, match=said):
        evaluate(written, SCOPE)


def verdict(text: str, called: str = "", **contexts) -> Verdict:
    workflow = read(text.encode(), "w.yml", {"./c.yml": called.encode()}.get)
    return evaluate_job(
        workflow.jobs["a"], workflow=workflow, github={"ref": "main"}, inputs={}, vars={}, needs={},
        ancestors_ok=True, ancestors_failed=False, run_cancelled=False, **contexts,
    )  # fmt: skip


JOB = "on: push\njobs:\n  a:\n    runs-on: linux\n    steps: [{run: x}]\n"


def test_each_leg_has_its_group():
    found = verdict(
        JOB + "    strategy: {matrix: {to: [one, two]}}\n"
        "    concurrency: {group: '${{ matrix.to }}-${{ strategy.job-index }}', queue: max}\n"
    )
    assert [leg.groups for leg in found.legs] == [
        (Concurrency("one-0", queues=True),),
        (Concurrency("two-1", queues=True),),
    ]


def test_a_job_whose_group_only_differs_by_context_is_evaluated_each_time():
    text = JOB + "    concurrency: ${{ github.ref }}\n"
    workflow = read(text.encode(), "w.yml")
    for ref in ("main", "other"):
        found = evaluate_job(
            workflow.jobs["a"], workflow=workflow, github={"ref": ref}, inputs={}, vars={}, needs={},
            ancestors_ok=True, ancestors_failed=False, run_cancelled=False,
        )  # fmt: skip
        assert found.legs[0].groups == (Concurrency(ref),)


def test_a_call_has_its_own_group_and_that_of_the_file():
    found = verdict(
        "on: push\njobs:\n  a:\n    uses: ./c.yml\n    with: {to: prod}\n    concurrency: mine\n",
        "on: {workflow_call: {inputs: {to: {type: string}}}}\nconcurrency: 'deploy-${{ inputs.to }}'\n"
        "jobs: {x: {runs-on: linux, steps: [{run: x}]}}\n",
    )
    assert found.legs[0].groups == (Concurrency("mine"), Concurrency("deploy-prod"))


def test_a_group_that_cannot_be_fails_the_job_with_its_place():
    found = verdict(JOB + "    concurrency: ${{ github.nothing }}\n")
    assert found.error == "w.yml:6:5: jobs.a.concurrency: the name of the concurrency group is empty"


def test_queue_max_and_cancelling_exclude_each_other():
    for place in ("concurrency: {group: g, cancel-in-progress: true, queue: max}\n", ""):
        text = place + JOB
        if not place:
            text += "    concurrency:\n      group: g\n      cancel-in-progress: true\n      queue: max\n"
        with pytest.raises(WorkflowInvalid, match="exclude each other"):
            read(text.encode(), "w.yml")
    read((JOB + "    concurrency: {group: g, cancel-in-progress: false, queue: max}\n").encode(), "w.yml")


CALLER = "on: push\n{group}jobs:\n  a:\n    uses: ./c.yml\n{own}"
CALLED = "on: workflow_call\n{group}jobs:\n  x:\n    runs-on: linux\n    steps: [{{run: x}}]\n{own}"
SAME = "${{ github.workflow }}-${{ github.ref }}"


def test_a_job_with_the_group_of_its_workflow_is_a_deadlock():
    for group, other in (("deploy", "Deploy"), (SAME, SAME), ("x${{inputs.a}}", "X${{ inputs.A }}")):
        text = f"concurrency: {{group: '{group}'}}\n{JOB}    concurrency: '{other}'\n"
        [found] = unsupported(read(text.encode(), "w.yml"))
        assert (found.line, found.column, found.severity) == (7, 5, "error")
        assert found.message.startswith(
            "a deadlock: job 'a' asks for the concurrency group that the workflow of w.yml has"
        )


@pytest.mark.parametrize(
    ("caller", "own", "called", "inner", "place"),
    [
        (SAME, "", SAME, "", (2, 1)),
        ("", "g", "G", "", (2, 1)),
        ("", "g", "", "g", (7, 5)),
        ("g", "", "", "g", (7, 5)),
        ("", "", "g", "g", (7, 5)),
        ("g", "", "", "h", None),
        ("${{ inputs.x }}", "", "${{ inputs.x }}", "", None),  # other inputs
        ("", "${{ matrix.x }}", "", "${{ matrix.x }}", None),  # another matrix
    ],
)
def test_deadlocks_through_calls(caller, own, called, inner, place):
    def line(text: str, indent: str = "") -> str:
        return f"{indent}concurrency: '{text}'\n" if text else ""

    first = CALLER.format(group=line(caller), own=line(own, "    "))
    second = CALLED.format(group=line(called), own=line(inner, "    "))
    found = unsupported(read(first.encode(), "w.yml", {"./c.yml": second.encode()}.get))
    place = place and ("c.yml", place[0] + bool(called) * (place[0] > 2) - (place[0] > 2), place[1])
    assert [(one.path, one.line, one.column) for one in found] == ([place] if place else [])
    assert all("(called by w.yml:" in one.message for one in found)
