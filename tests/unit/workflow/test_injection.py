"""Scripts that would run text of strangers."""

from __future__ import annotations

import pytest

from relevo.workflow.diagnostics import Diagnostic
from relevo.workflow.reader import read


def warnings(step: str, head: str = "") -> tuple[Diagnostic, ...]:
    text = f"on: push\n{head}\njobs:\n  a:\n    runs-on: x\n    steps:\n      - {step}\n"
    return read(text.encode(), "f.yml").warnings


def named(script: str) -> list[str]:
    return [one.message.split()[2] for one in warnings(f"run: {script!r}".replace("\\n", "\n\n"))]


#: As GitHub's guide lists them.
LISTED = [
    "github.event.issue.title",
    "github.event.issue.body",
    "github.event.pull_request.title",
    "github.event.pull_request.body",
    "github.event.comment.body",
    "github.event.review.body",
    "github.event.pages.*.page_name",
    "github.event.commits.*.message",
    "github.event.head_commit.message",
    "github.event.head_commit.author.email",
    "github.event.head_commit.author.name",
    "github.event.commits.*.author.email",
    "github.event.commits.*.author.name",
    "github.event.pull_request.head.ref",
    "github.event.pull_request.head.label",
    "github.event.pull_request.head.repo.default_branch",
    "github.head_ref",
]


@pytest.mark.parametrize("path", LISTED)
def test_all_that_the_guide_lists(path: str) -> None:
    assert named(f"echo ${{{{ {path} }}}}") == [path]


@pytest.mark.parametrize(
    ("expression", "path"),
    [
        ('github["EVENT"].issue.Title', "github.event.issue.title"),
        ("github.event.commits[0].message", "github.event.commits.*.message"),
        ("github.event.commits[github.run_number].message", "github.event.commits.*.message"),
        ("github.event.*.title", "github.event.*.title"),
        ("join(github.event.commits.*.message)", "github.event.commits.*.message"),
        ("join(github.event.issue.*)", "github.event.issue.*"),
        ('format("{0}", github.head_ref)', "github.head_ref"),
        ('github.head_ref || "main"', "github.head_ref"),
        ("github.event_name && github.head_ref", "github.head_ref"),
        ("case(true, github.head_ref, 1)", "github.head_ref"),
        ("toJSON(github.event.issue.title)", "github.event.issue.title"),
        ("toJSON(github.event)", "toJSON(github.event)"),
        ("toJSON(github)", "toJSON(github)"),
        ("toJSON(github.event.pull_request.head)", "toJSON(github.event.pull_request.head)"),
        ("toJSON(github.event.commits)", "toJSON(github.event.commits)"),
        ("fromJSON(toJSON(github.event)).issue.title", "toJSON(github.event)"),
    ],
)
def test_however_it_is_asked_for(expression: str, path: str) -> None:
    assert named("echo ${{ " + expression.replace('"', "'") + " }}") == [path]


@pytest.mark.parametrize(
    "expression",
    [
        "github.sha",
        "github.event.number",
        "github.event.issue",  # Object
        "github.event.pull_request.head.sha",
        "contains(github.event.issue.title, 1)",
        "startsWith(github.head_ref, 1)",
        "github.head_ref == 1",
        "!github.head_ref",
        "github.head_ref && 1",
        "case(github.head_ref == 1, 2, 3)",
        "toJSON(github.event.number)",
        "toJSON(github.ref)",
        "toJSON(matrix)",
    ],
)
def test_what_lets_nothing_through(expression: str) -> None:
    assert "can run commands" not in str(warnings(f"run: echo ${{{{ {expression} }}}}"))


def test_each_value_is_told_once_with_its_place_and_the_safe_form() -> None:
    script = """run: |
          echo hello
          echo ${{ github.event.issue.title }} ${{ github.head_ref }}
          echo ${{ github.event.issue.title }}"""
    title, ref = warnings(script)
    assert (title.line, title.excerpt_line, ref.excerpt_line) == (7, 9, 9)
    assert title.excerpt[title.excerpt_column - 1 :].startswith("github.event.issue.title }}")
    assert ref.excerpt[ref.excerpt_column - 1 :].startswith("github.head_ref }}")
    assert title.hint == (
        "hand it over by `env: {ISSUE_TITLE: ${{ github.event.issue.title }}}` "
        'and use "$ISSUE_TITLE" in the script'
    )


def test_the_safe_form_is_not_warned_of_but_putting_the_variable_into_the_script_is() -> None:
    env = "env: {TITLE: '${{ github.event.issue.title }}', OTHER: x}"
    assert warnings(f'run: echo "$TITLE" ${{{{ env.OTHER }}}}\n        {env}') == ()
    for step, head in (
        (f"run: echo ${{{{ env.Title }}}}\n        {env}", ""),
        ("run: echo ${{ env.TITLE }}", env),
    ):
        (found,) = warnings(step, head)
        assert "env.TITLE" in found.message
        assert found.hint == 'use "$TITLE" in the script'


def test_a_nearer_variable_hides_a_farther_one() -> None:
    head = "env: {TITLE: '${{ github.event.issue.title }}'}"
    assert warnings("run: echo ${{ env.TITLE }}\n        env: {TITLE: mine}", head) == ()


def test_inputs_of_actions_that_are_scripts() -> None:
    step = "uses: actions/github-script@v7\n        with: {script: 'log(`${{ github.event.comment.body }}`)'}"
    (found,) = warnings(step)
    assert found.hint is not None
    assert "use process.env.COMMENT_BODY" in found.hint
    step = "uses: some/action@v1\n        with: {title: '${{ github.event.issue.title }}'}"
    assert warnings(step) == ()
