"""From a file to the model, or to everything that is wrong with it."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relevo.workflow.model import JobNode, Position, StepSpec
from relevo.workflow.reader import WorkflowInvalid, read

FULL = """\
name: CI
run-name: Run by ${{ github.actor }}
on:
  push:
    branches: [main, 'release/**']
  workflow_dispatch:
    inputs:
      level: {type: choice, options: [a, b], default: a}
env: {ALL: 1}
defaults:
  run: {shell: bash, working-directory: src}
relevo: {priority: 2}
jobs:
  build:
    runs-on: ubuntu-latest
    outputs:
      version: ${{ steps.v.outputs.version }}
    steps:
      - uses: actions/checkout@v4
        with: {fetch-depth: 0}
      - id: v
        name: Version 3.10
        run: echo version=1 >> "$GITHUB_OUTPUT"
        if: github.ref == 'refs/heads/main'
        env: {A: "${{ runner.os }}"}
        shell: sh
        working-directory: sub
        continue-on-error: true
        timeout-minutes: 5
        relevo: {idempotent: false}
  test:
    name: Test ${{ matrix.python }}
    needs: [build]
    if: ${{ always() }}
    runs-on: [self-hosted, linux]
    strategy:
      fail-fast: false
      max-parallel: 2
      matrix:
        python: [3.11, '3.12']
    env: {ALL: 2}
    defaults: {run: {shell: python}}
    timeout-minutes: 10
    continue-on-error: ${{ matrix.python == '3.12' }}
    relevo:
      resources: {cpu: 500m, memory: 512Mi, disk: 1Gi, gpu: 1, Board: 0.5}
      retry: {max: 2, on: [infra, 75], backoff: 30s}
      preemptible: true
      deadline: 1.5h
    steps:
      - run: |
          a
          b
"""


def test_the_whole_model() -> None:
    workflow = read(FULL.encode(), "ci.yml")
    assert workflow.name == "CI"
    assert workflow.run_name == "Run by ${{ github.actor }}"
    assert list(workflow.on) == ["push", "workflow_dispatch"]
    assert workflow.on["push"] == {"branches": ["main", "release/**"]}
    build, test = workflow.jobs["build"], workflow.jobs["test"]
    assert build.spec.steps == (
        StepSpec(Position(19, 9), uses="actions/checkout@v4", with_={"fetch-depth": 0}),
        StepSpec(
            Position(21, 9),
            id="v",
            name="Version 3.10",
            if_="github.ref == 'refs/heads/main'",
            run='echo version=1 >> "$GITHUB_OUTPUT"',
            env={"A": "${{ runner.os }}"},
            shell="sh",
            working_directory="sub",
            continue_on_error=True,
            timeout_minutes=5,
            idempotent=False,
        ),
    )
    assert build.spec.checks_out
    assert not test.spec.checks_out
    assert build.spec.outputs == {"version": "${{ steps.v.outputs.version }}"}
    assert (build.spec.defaults_shell, build.spec.defaults_working_directory) == ("bash", "src")
    assert (test.spec.defaults_shell, test.spec.defaults_working_directory) == ("python", "src")
    assert (test.spec.workflow_env, test.spec.env) == ({"ALL": 1}, {"ALL": 2})
    assert test.needs == ("build",)
    assert test.if_ == "always()"
    assert test.matrix == {"python": [3.11, "3.12"]}
    assert (test.fail_fast, test.max_parallel, test.timeout_minutes) == (False, 2, 10)
    assert (test.cpus, test.memory_bytes, test.priority) == (0.5, 512 << 20, 2)
    assert test.resources == {"disk": 1 << 30, "gpu": 1.0, "board": 0.5}
    assert (test.retry.max, test.retry.on, test.retry.backoff_s) == (2, ("infra", 75), 30.0)
    assert (test.preemptible, test.may_be_preempted, test.deadline_s) == (True, True, 5_400.0)
    assert (build.preemptible, build.may_be_preempted, build.deadline_s) == (False, False, None)
    assert test.spec.steps[0].run == "a\nb\n"
    assert workflow.marks["jobs.test.runs-on"] == Position(35, 5)
    assert workflow.marks["jobs.build.steps.0.uses"] == Position(19, 15)
    assert workflow.warnings == ()


def test_the_same_text_is_read_once() -> None:
    assert read(FULL.encode(), "ci.yml") is read(FULL.encode(), "ci.yml")


def job(text: str = "", steps: str = "[{run: x}]") -> str:
    body = textwrap.indent(textwrap.dedent(text).strip(), "    ")
    return f"on: push\njobs:\n  a:\n    runs-on: x\n    steps: {steps}\n{body}\n"


def model(text: str) -> JobNode:
    return read(job(text).encode(), "f.yml").jobs["a"]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("if: true", "true"),
        ("if: ''", None),
        ("if:", None),
        ("if: ${{ a }}".replace("a", "github.ref"), "github.ref"),
        ("if: github.ref", "github.ref"),
        ("if: ${{ github.ref }} == 'x'", "format('{0} == ''x''', github.ref)"),
    ],
)
def test_conditions(condition: str, expected: str | None) -> None:
    assert model(condition).if_ == expected


def test_a_strategy_may_be_one_expression() -> None:
    found = model("strategy: ${{ fromJSON(vars.s) }}")
    assert found.strategy == "${{ fromJSON(vars.s) }}"
    assert found.matrix is None


def errors(text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(WorkflowInvalid) as caught:
        read(text.encode(), "f.yml")
    return [
        (one.line, one.column, one.message) for one in caught.value.diagnostics if one.severity == "error"
    ]


@pytest.mark.parametrize(
    ("text", "line", "column", "part"),
    [
        ("jobs: {a: {runs-on: x}}", 1, 1, "needs the key `on`"),
        ("on: push", 1, 1, "needs the key `jobs`"),
        ("on: push\njobs: {}", 2, 7, "holds nothing"),
        ("on: push\njobs:", 2, 6, "expected a mapping, not an empty value"),
        ("[on]", 1, 1, "expected a mapping, not a list"),
        ("on: pusch\njobs: {a: {runs-on: x}}", 1, 5, "'pusch' is not an event"),
        ("on: {push: {branch: x}}\njobs: {a: {runs-on: x}}", 1, 13, "unknown key 'branch'"),
        ("on: {issues: {types: [open]}}\njobs: {a: {runs-on: x}}", 1, 23, "'open' is not"),
        ("on: push\njob: 1\njobs: {a: {runs-on: x}}", 2, 1, "unknown key 'job'"),
        (job("runs_on: x"), 6, 5, "unknown key 'runs_on'"),
        (job("RUNS-ON: y"), 6, 5, "stands here twice"),
        (job("needs: b"), 6, 12, "needs 'b', which does not exist"),
        (job("needs: a"), 6, 12, "in a circle: a → a"),
        (job("timeout-minutes: '5'"), 6, 22, "expected a number"),
        (job("timeout-minutes: 5${{ 1 }}"), 6, 22, "not a text with expressions"),
        (job("continue-on-error: yes"), 6, 24, "expected true or false, not the text 'yes'"),
        (job("strategy: {matrix: {os: []}}"), 6, 29, "has no values"),
        (job("strategy: {matrix: {os: x}}"), 6, 29, "expected a list"),
        (job("strategy: {matrix: {os: [x], exclude: [{o: x}]}}"), 6, 45, "no key of this matrix"),
        (job("if: ${{ secrets.x }}"), 6, 9, "'secrets' is not available here"),
        (job("if: nope("), 6, 9, "unknown function 'nope'"),
        (job("name: ${{ steps.x }}"), 6, 11, "'steps' is not available here"),
        (job("env: {A: '${{ x }}'}"), 6, 14, "unknown context 'x'"),
        (job("permissions: {contents: all}"), 6, 29, "'all' is not a permission"),
        (job("concurrency: {cancel-in-progress: true}"), 6, 18, "needs the key `group`"),
        (job("container: {options: x}"), 6, 16, "needs the key `image`"),
        (job("relevo: {resources: {memory: lots}}"), 6, 34, "no amount of memory"),
        (job("relevo: {resources: {disk: lots}}"), 6, 32, "no amount of memory"),
        (job("relevo: {resources: {gpu: -1}}"), 6, 31, "no amount of gpu"),
        (job("relevo: {resources: {board: many}}"), 6, 33, "no amount of board"),
        (job("relevo: {resources: {jobs: 1}}"), 6, 32, "it counts jobs"),
        (job("relevo: {retry: {on: [maybe]}}"), 6, 27, "no reason to retry"),
        (job("relevo: {retry: {backoff: soon}}"), 6, 31, "no time"),
        (job("relevo: {deadline: soon}"), 6, 24, "no time"),
        (job("relevo: {preemptible: often}"), 6, 27, "expected true or false"),
        (job("relevo: {idempotent: true}"), 6, 14, "unknown key 'idempotent'"),
        (job(steps="[{name: x}]"), 5, 13, "a step needs `run` or `uses`"),
        (job(steps="[{run: x, with: {}}]"), 5, 22, "unknown key 'with'"),
        (job(steps="[{uses: checkout}]"), 5, 20, "is no action"),
        (job(steps="[{run: x, id: 1a}]"), 5, 26, "no valid id"),
        (job(steps="[{run: x, id: __a}]"), 5, 26, "reserved"),
        (job(steps="[{run: x, id: a}, {run: y, id: A}]"), 5, 43, "used twice"),
        (job(steps="{run: x}"), 5, 12, "expected a list, not a mapping"),
        (job(steps="[{run: x, shell: '${{ env.S }}'}]"), 5, 29, "not available here"),
        ("on: push\njobs: {1a: {runs-on: x}}", 2, 8, "no valid id"),
        ("on: push\njobs: {a: {steps: []}}", 2, 11, "a job needs `runs-on`"),
        ("on: push\njobs: {a: {uses: x.yml}}", 2, 18, "no reusable workflow"),
    ],
)
def test_refused_where(text: str, line: int, column: int, part: str) -> None:
    found = errors(text)
    assert [(at_line, at_column) for at_line, at_column, _ in found] == [(line, column)], found
    assert part in found[0][2]


def test_all_of_a_file_in_one_pass_in_order() -> None:
    text = "on: pusch\nnmae: x\njobs:\n  a:\n    runs-on: x\n    needs: b\n    steps: [{run: '${{ }}'}, {}]\n"
    assert [(line, column) for line, column, _ in errors(text)] == [(1, 5), (2, 1), (6, 12), (7, 19), (7, 30)]


def test_a_circle_is_told_once_with_its_way() -> None:
    text = "on: push\njobs:\n" + "".join(
        f"  {name}: {{runs-on: x, needs: [{need}]}}\n"
        for name, need in (("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"))
    )
    assert [message for _, _, message in errors(text)] == ["jobs need each other in a circle: a → b → c → a"]


def test_how_it_is_shown() -> None:
    with pytest.raises(WorkflowInvalid) as caught:
        read(job("neds: b").encode(), "f.yml")
    assert str(caught.value) == (
        "f.yml:6:5: unknown key 'neds' in a job\n    6 |     neds: b\n      |     ^^^^\n  hint: did you mean 'needs'?"
    )


def test_a_long_line_is_cut_around_the_place() -> None:
    with pytest.raises(WorkflowInvalid) as caught:
        read(job(f"env: {{{', '.join(f'A{n}: 1' for n in range(200))}, B: [x]}}").encode(), "f.yml")
    _, shown, caret, *_ = str(caught.value).split("\n")
    assert len(shown) < 200
    assert shown[caret.index("^")] == "["


def test_warnings_do_not_refuse() -> None:
    workflow = read(job("if: ${{ github.ref }} == 'x'").encode(), "f.yml")
    (warning,) = workflow.warnings
    assert (warning.severity, warning.line) == ("warning", 6)
    assert "always true" in str(warning)


@pytest.mark.parametrize(
    ("definition", "part"),
    [
        ("{type: boolean, default: 'true'}", "must be true or false"),
        ("{type: number, default: x}", "must be a number"),
        ("{type: string, default: true}", "must be a text"),
        ("{type: choice}", "needs `options`"),
        ("{type: choice, options: [a], default: b}", "none of the options"),
        ("{type: text}", "'text' is not a type"),
    ],
)
def test_inputs(definition: str, part: str) -> None:
    text = f"on: {{workflow_dispatch: {{inputs: {{x: {definition}}}}}}}\njobs: {{a: {{runs-on: x}}}}"
    ((_, _, message),) = errors(text)
    assert part in message


# --- whatever is done to a good file, it is read or refused with places, never a traceback ------------------------

_LINES = FULL.splitlines(keepends=True)
_PIECES = st.sampled_from(
    [
        "${{ x }}",
        "${{",
        "[",
        "{",
        "- ",
        ":",
        "&a ",
        "*a",
        "<<: x\n",
        "null",
        "'",
        "!!int ",
        "\t",
        "é",
        "  ",
        "\n",
        "? ",
    ]
)


@settings(max_examples=150)
@given(st.data())
def test_a_broken_file_is_refused_with_places(data: st.DataObject) -> None:
    lines = list(_LINES)
    for _ in range(data.draw(st.integers(1, 4))):
        index = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.sampled_from(["delete", "insert", "swap", "indent"])):
            case "delete":
                lines[index] = ""
            case "insert":
                at = data.draw(st.integers(0, len(lines[index])))
                lines[index] = lines[index][:at] + data.draw(_PIECES) + lines[index][at:]
            case "swap":
                other = data.draw(st.integers(0, len(lines) - 1))
                lines[index], lines[other] = lines[other], lines[index]
            case "indent":
                lines[index] = "  " + lines[index]
    text = "".join(lines)
    refusal: WorkflowInvalid | None = None
    try:
        read(text.encode(), "f.yml")
    except WorkflowInvalid as error:
        refusal = error
    if refusal is not None:
        count = text.count("\n") + 2
        assert refusal.diagnostics
        assert all(0 <= one.line <= count and one.column >= 0 for one in refusal.diagnostics)
        assert all(one.message for one in refusal.diagnostics)
        assert str(refusal)


def test_steps_in_the_background_are_kept() -> None:
    steps = one_job(
        """\
        - {id: one, run: x, background: true}
        - wait: one
        - {wait: [ONE], name: Both}
        - wait-all:
        - cancel: one
        - parallel: [{run: a}, {id: two, uses: o/r@v1}]
        """
    )
    assert steps[0].background
    assert [(step.wait, step.name) for step in steps[1:3]] == [(("one",), "Wait"), (("ONE",), "Both")]
    assert (steps[3].wait_all, steps[4].cancel) == (True, "one")
    assert [step.run or step.uses for step in steps[5].parallel] == ["a", "o/r@v1"]


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ("[{wait: one}, {id: one, run: x, background: true}]", "no step 'one' runs in the background before"),
        ("[{id: one, run: x}, {cancel: one}]", "no step 'one' runs in the background before"),
        ("[{id: one, run: x}, {parallel: [{id: one, run: x}]}]", "'one' is used twice"),
    ],
)
def test_steps_in_the_background_hang_together(steps: str, said: str) -> None:
    text = f"on: push\njobs: {{a: {{runs-on: x, steps: {steps}}}}}\n"
    with pytest.raises(WorkflowInvalid, match=said):
        read(text.encode(), "w.yml")


def one_job(steps: str) -> tuple[StepSpec, ...]:
    indented = textwrap.indent(textwrap.dedent(steps), "      ")
    text = f"on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n{indented}"
    return read(text.encode(), "w.yml").jobs["a"].spec.steps


# --- expressions: every one that is wrong, where it stands ------------------------------------------------------


def found(text: str) -> list[tuple[int, int, str, str | None]]:
    with pytest.raises(WorkflowInvalid) as caught:
        read(text.encode(), "f.yml")
    return [(one.excerpt_line, one.excerpt_column, one.message, one.hint) for one in caught.value.diagnostics]


def test_all_expressions_of_a_text_are_told_each_at_its_place() -> None:
    text = (
        "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: |\n"
        "          one ${{ githb.ref }} ${{ contans('a', 'b') }}\n"
        "          two ${{ 'fine' }}\n"
        "          three ${{   env.x && secrts.y && nedds.z  }}\n"
    )
    assert [(line, column, hint) for line, column, _, hint in found(text)] == [
        (7, 19, "did you mean 'github'?"),
        (7, 36, "did you mean 'contains'?"),
        (9, 32, "did you mean 'secrets'?"),
        (9, 44, "did you mean 'needs'?"),
    ]


@pytest.mark.parametrize(
    ("line", "column", "hint"),
    [
        ("if: secrets.x", 9, "put the secret into `env:`"),
        ("if: ${{ matrix.x }}", 13, "put it on a step"),
        ("if: \"github.ref == 'x' && steps.y\"", 31, "outputs"),
        ("name: ${{ success() }}", 15, "success() stands in `if:` only"),
        ("name: ${{ hashFiles('x') }}", 15, "use it in a step"),
        ("name: ${{ toJson2(1) }}", 15, "did you mean 'toJSON'?"),
    ],
)
def test_what_to_do_about_names_that_are_elsewhere(line: str, column: int, hint: str) -> None:
    ((_, at, _, said),) = found(f"on: push\njobs:\n  a:\n    {line}\n    runs-on: x\n")
    assert said is not None
    assert hint in said
    assert at == column


def test_where_the_file_writes_it_otherwise_the_value_is_shown() -> None:
    text = 'on: push\nenv:\n  A: &a "${{ \\x67ithb.ref }}"\n  B: *a\njobs: {a: {runs-on: x}}\n'
    assert [(line, column) for line, column, *_ in found(text)] == [(3, 6), (4, 6)]


def test_a_step_with_a_misspelt_key_is_told_what_was_meant() -> None:
    ((_, _, _, hint),) = found("on: push\njobs: {a: {runs-on: x, steps: [{rn: make}]}}")
    assert hint == "did you mean `run` by 'rn' in line 2?"


def test_very_many_mistakes_are_counted_and_the_rest_of_the_file_is_not_taken_for_good() -> None:
    text = "on: push\njobs: {a: {runs-on: x}}\n" + "".join(f"k{n}: 1\n" for n in range(1500))
    with pytest.raises(WorkflowInvalid) as caught:
        read(text.encode(), "f.yml")
    *_, last = caught.value.diagnostics
    assert len(caught.value.diagnostics) == 1001
    assert (last.severity, last.message) == ("error", "there are 500 more mistakes and warnings")


def test_the_same_mistake_of_a_value_is_told_once() -> None:
    assert len(found(job("env: {A: '${{ no.x }} ${{ no.x }} ${{ no.y }}'}"))) == 2


def test_a_job_that_must_not_be_repeated_and_says_that_it_may_be_ended_is_warned_of() -> None:
    text = """\
on: push
jobs:
  a:
    runs-on: linux
    relevo: {preemptible: true}
    steps:
      - run: x
      - run: y
        relevo: {idempotent: false}
"""
    workflow = read(text.encode(), "w.yml")
    assert workflow.jobs["a"].preemptible
    assert not workflow.jobs["a"].may_be_preempted
    (warning,) = workflow.warnings
    assert (warning.line, warning.column) == (5, 14)
    assert "marked `idempotent: false`" in warning.message
