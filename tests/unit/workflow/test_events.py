"""Which events start a workflow, and the patterns of their filters."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.domain.errors import UserError
from relevo.workflow.events import GitFacts, decide_event, split_event, usual_activity, usual_event
from relevo.workflow.globs import matches, selects
from relevo.workflow.model import Workflow
from relevo.workflow.reader import read


@pytest.mark.parametrize(
    ("pattern", "text", "holds"),
    [
        # GitHub's filter pattern cheat sheet
        ("feature/*", "feature/my-branch", True),
        ("feature/*", "feature/a/b", False),
        ("feature/**", "feature/beta-a/my-branch", True),
        ("main", "main", True),
        ("main", "Main", False),
        ("*", "main", True),
        ("*", "a/b", False),
        ("**", "all/the/branches", True),
        ("*feature", "mona-feature", True),
        ("v2*", "v2.0", True),
        ("v[12].[0-9]+.[0-9]+", "v1.10.1", True),
        ("v[12].[0-9]+.[0-9]+", "v3.0.0", False),
        ("*.jsx?", "page.js", True),
        ("*.jsx?", "page.jsx", True),
        ("**.js", "src/js/app.js", True),
        ("docs/*", "docs/README.md", True),
        ("docs/*", "docs/a/b.md", False),
        ("docs/**/*.md", "docs/README.md", True),
        ("docs/**/*.md", "docs/a/markdown/file.md", True),
        ("**/docs/**", "dir/docs/my-file.txt", True),
        ("**/docs/**", "docs/hello.md", True),
        ("**/README.md", "README.md", True),
        ("**/README.md", "js/README.md", True),
        ("**/README.md", "jsREADME.md", False),
        ("**/*src/**", "a/src/app.js", True),
        ("**/*src/**", "my-src/code/js/app.js", True),
        ("**/*-post.md", "path/their-post.md", True),
        ("**/migrate-*.sql", "migrate-10909.sql", True),
        ("a+b", "aaab", True),
        ("a+b", "b", False),
        ("\\*x", "*x", True),
        ("\\*x", "ax", False),
        ("[*]", "*", True),
        ("a.b", "axb", False),
        ("", "", True),
        ("", "a", False),
    ],
)
def test_patterns(pattern: str, text: str, holds: bool) -> None:
    assert matches(pattern, text) is holds


def test_later_patterns_decide() -> None:
    patterns = ["releases/**", "!releases/**-alpha", "releases/9-alpha"]
    assert selects(patterns, "releases/10")
    assert not selects(patterns, "releases/10-alpha")
    assert selects(patterns, "releases/9-alpha")
    assert not selects(["!x"], "y")


def test_no_pattern_is_slow() -> None:
    # a backtracking matcher would need more steps than there are atoms
    assert not matches("**a" * 40 + "b", "a" * 300)


@given(st.text(alphabet="ab/*", max_size=8), st.text(alphabet="ab/", max_size=8))
def test_stars_mean_what_regular_expressions_say(pattern: str, text: str) -> None:
    simple = re.sub(r"\*{2,}", "*", pattern)
    translated = re.compile("".join("[^/]*" if char == "*" else re.escape(char) for char in simple))
    assert matches(simple, text) is bool(translated.fullmatch(text))


def workflow(on: str) -> Workflow:
    return read(f"on: {on}\njobs: {{a: {{runs-on: x}}}}".encode(), "w.yml")


def starts(on: str, event: str, facts: GitFacts) -> bool:
    try:
        decide_event(workflow(on), event, {}, facts)
    except UserError:
        return False
    return True


def push(branch: str = "", *changed: str, tag: str = "") -> GitFacts:
    return GitFacts(ref=f"refs/tags/{tag}" if tag else f"refs/heads/{branch}", changed_paths=changed or None)


PUSH_INCLUDES = "{push: {branches: [main, 'mona/octocat', 'releases/**'], tags: [v2, v1.*]}}"
PUSH_EXCLUDES = "{push: {branches-ignore: ['mona/octocat', 'releases/**-alpha'], tags-ignore: [v2, v1.*]}}"
PUSH_BOTH = "{push: {branches: ['releases/**', '!releases/**-alpha']}}"
NOTHING_CHANGED = GitFacts(ref="refs/heads/main", changed_paths=())


@pytest.mark.parametrize(
    ("on", "facts", "expected"),
    [
        ("push", push("main"), True),
        ("[push]", push("main"), True),
        ("pull_request", push("main"), False),
        ("{push: {branches: [main]}}", push("main"), True),
        ("{push: {branches: main}}", push("dev"), False),
        ("{push: {branches: ['**', '!dev']}}", push("dev"), False),
        ("{push: {branches-ignore: [dev]}}", push("dev"), False),
        ("{push: {branches-ignore: [dev]}}", push("main"), True),
        ("{push: {tags: ['v*']}}", push("main"), False),
        ("{push: {tags: ['v*']}}", push(tag="v1"), True),
        ("{push: {tags: ['v*']}}", push(tag="x1"), False),
        ("{push: {branches: [main]}}", push(tag="v1"), False),
        ("{push: {branches: [main], tags: ['v*']}}", push(tag="v1"), True),
        ("{push: {tags-ignore: ['v*']}}", push(tag="x"), True),
        ("{push: {paths: ['src/**']}}", push("main", "src/a", "b"), True),
        ("{push: {paths: ['src/**', '!src/doc/**']}}", push("main", "src/doc/a"), False),
        ("{push: {paths-ignore: ['doc/**']}}", push("main", "doc/a", "doc/b"), False),
        ("{push: {paths-ignore: ['doc/**']}}", push("main", "doc/a", "src/b"), True),
        ("{push: {paths: ['src/**']}}", push("main"), True),  # not known what changed
        ("{push: {paths: ['src/**']}}", push("", "doc/a", tag="v1"), True),  # not looked at for tags
        ("{push: {branches: [a], branches-ignore: [b]}}", push("a"), False),
        # GitHub, Workflow syntax: including and excluding branches and tags
        (PUSH_INCLUDES, push("main"), True),
        (PUSH_INCLUDES, push("mona/octocat"), True),
        (PUSH_INCLUDES, push("releases/10"), True),
        (PUSH_INCLUDES, push("releases/a/b"), True),
        (PUSH_INCLUDES, push("other"), False),
        (PUSH_INCLUDES, push(tag="v2"), True),
        (PUSH_INCLUDES, push(tag="v1.9.1"), True),
        (PUSH_INCLUDES, push(tag="v3"), False),
        (PUSH_INCLUDES, push(tag="main"), False),  # a tag is no branch, whatever its name
        (PUSH_EXCLUDES, push("mona/octocat"), False),
        (PUSH_EXCLUDES, push("releases/beta/3-alpha"), False),
        (PUSH_EXCLUDES, push("main"), True),
        (PUSH_EXCLUDES, push(tag="v2"), False),
        (PUSH_EXCLUDES, push(tag="v1.9"), False),
        (PUSH_EXCLUDES, push(tag="v3"), True),
        (PUSH_BOTH, push("releases/10"), True),
        (PUSH_BOTH, push("releases/beta/mona"), True),
        (PUSH_BOTH, push("releases/10-alpha"), False),
        (PUSH_BOTH, push("releases/beta/3-alpha"), False),
        ("{push: {branches: ['!dev']}}", push("main"), False),  # nothing is taken that could be excluded from
        ("{push: {branches: ['**', '!a/**', a/b]}}", push("a/b"), True),
        ("{push: {tags-ignore: ['v*']}}", push("main"), False),  # only tags are filtered: no branch starts it
        ("{push: {branches-ignore: ['v*']}}", push(tag="x"), False),
        # paths, and both filters at once
        ("{push: {paths: ['**.js']}}", push("main", "a/b.js", "c"), True),
        ("{push: {paths: ['**.js']}}", push("main", "a/b.py"), False),
        ("{push: {paths-ignore: ['docs/**']}}", push("main", "docs/a"), False),
        ("{push: {paths: ['sub/**', '!sub/docs/**']}}", push("main", "sub/index.js"), True),
        ("{push: {paths: ['sub/**', '!sub/docs/**']}}", push("main", "sub/docs/a.md"), False),
        ("{push: {paths: ['sub/**', '!sub/docs/**', 'sub/docs/keep']}}", push("main", "sub/docs/keep"), True),
        ("{push: {branches: [main], paths: ['**.js']}}", push("main", "a.js"), True),
        ("{push: {branches: [main], paths: ['**.js']}}", push("main", "a.py"), False),
        ("{push: {branches: [main], paths: ['**.js']}}", push("dev", "a.js"), False),
        ("{push: {branches: [main], tags: ['v*'], paths: ['**.js']}}", push("", "a.py", tag="v1"), True),
        ("{push: {paths: ['**']}}", NOTHING_CHANGED, False),
        ("{push: {paths-ignore: [x]}}", NOTHING_CHANGED, False),
        ("push", NOTHING_CHANGED, True),
        # a detached HEAD is neither a branch nor a tag
        ("push", GitFacts(), True),
        ("{push: {paths: [x]}}", GitFacts(changed_paths=("x",)), True),
        ("{push: {branches: ['**']}}", GitFacts(), False),
        ("{push: {tags-ignore: [x]}}", GitFacts(), False),
    ],
)
def test_push(on: str, facts: GitFacts, expected: bool) -> None:
    assert starts(on, "push", facts) is expected


@pytest.mark.parametrize(
    ("on", "facts", "expected"),
    [
        ("pull_request", GitFacts(base_branch="main"), True),
        ("{pull_request: {branches: [main]}}", GitFacts(base_branch="main", ref="refs/heads/x"), True),
        ("{pull_request: {branches: [main]}}", GitFacts(base_branch="dev", ref="refs/heads/main"), False),
        ("{pull_request: {types: [closed]}}", GitFacts(activity="opened"), False),
        ("{pull_request: {types: closed}}", GitFacts(activity="closed"), True),
        ("{pull_request: {branches: ['**']}}", GitFacts(base_branch="m", activity="closed"), False),
        ("{pull_request: {paths: ['*.py']}}", GitFacts(base_branch="m", changed_paths=("a.md",)), False),
    ],
)
def test_pull_request(on: str, facts: GitFacts, expected: bool) -> None:
    assert starts(on, "pull_request", facts) is expected


def activity(kind: str) -> GitFacts:
    return GitFacts(ref="refs/heads/x", base_branch="main", activity=kind)


@pytest.mark.parametrize(
    ("on", "event", "facts", "expected"),
    [
        # without `types` a pull request starts by these three alone
        ("pull_request", "pull_request", activity("opened"), True),
        ("[push, pull_request]", "pull_request", activity("reopened"), True),
        ("{pull_request: }", "pull_request", activity("synchronize"), True),
        ("pull_request", "pull_request", activity("labeled"), False),
        ("pull_request_target", "pull_request_target", activity("closed"), False),
        ("{pull_request: {types: [labeled]}}", "pull_request", activity("synchronize"), False),
        # all other events by any
        ("issues", "issues", activity("pinned"), True),
        ("{issues: {types: [opened, labeled]}}", "issues", activity("labeled"), True),
        ("{issues: {types: [opened, labeled]}}", "issues", activity("closed"), False),
        ("{release: {types: published}}", "release", activity("created"), False),
        # where branches are looked at, and whose
        ("{merge_group: {branches: [main]}}", "merge_group", activity("checks_requested"), True),
        ("{merge_group: {branches: [dev]}}", "merge_group", activity("checks_requested"), False),
        ("{workflow_run: {workflows: [a], branches: [x]}}", "workflow_run", activity("completed"), True),
        ("{workflow_run: {workflows: [a], branches: [main]}}", "workflow_run", activity("completed"), False),
        (
            "{workflow_run: {workflows: [a], branches-ignore: [x]}}",
            "workflow_run",
            activity("completed"),
            False,
        ),
        (
            "{pull_request_target: {branches-ignore: [main]}}",
            "pull_request_target",
            activity("opened"),
            False,
        ),
        (
            "{pull_request: {branches: ['releases/**', '!releases/**-alpha']}}",
            "pull_request",
            GitFacts(base_branch="releases/1-alpha"),
            False,
        ),
    ],
)
def test_types_and_branches_of_other_events(on: str, event: str, facts: GitFacts, expected: bool) -> None:
    assert starts(on, event, facts) is expected


@pytest.mark.parametrize(
    ("message", "event", "expected"),
    [
        ("Fix [skip ci]", "push", False),
        ("[ci skip] x", "push", False),
        ("x\n\n[no ci]", "push", False),
        ("[skip actions]", "pull_request", False),
        ("[actions skip]", "pull_request", False),
        ("[skip ci]", "pull_request_target", True),
        ("[skip ci]", "workflow_dispatch", True),
        ("[skip ci]", "schedule", True),
        ("skip ci", "push", True),
        ("x\n\n\nskip-checks: true", "push", False),
        ("x\n\n\nReviewed-by: a\nskip-checks:true\n", "push", False),
        ("x\n\n\nskip-checks: true\nReviewed-by: a", "push", True),  # it must be the last trailer
        ("x\n\n\nskip-checks: false", "push", True),
    ],
)
def test_a_message_can_keep_a_push_from_starting_anything(message: str, event: str, expected: bool) -> None:
    on = "{push: , pull_request: , pull_request_target: , workflow_dispatch: , schedule: [{cron: '0 0 * * *'}]}"
    assert starts(on, event, GitFacts("refs/heads/x", "main", message=message)) is expected


@pytest.mark.parametrize(
    ("on", "event", "expected"),
    [
        ("pull_request", "pull_request", "synchronize"),
        ("{pull_request: {types: [labeled, opened]}}", "pull_request", "opened"),
        ("{pull_request: {types: [closed, labeled]}}", "pull_request", "closed"),
        ("release", "release", "published"),
        ("{release: {types: [created]}}", "release", "created"),
        ("issues", "issues", "opened"),
        ("{repository_dispatch: {types: [deploy]}}", "repository_dispatch", "deploy"),
        ("watch", "watch", "started"),
        ("push", "push", ""),
        ("workflow_dispatch", "workflow_dispatch", ""),
    ],
)
def test_the_type_that_is_meant_when_none_is_named(on: str, event: str, expected: str) -> None:
    assert usual_activity(workflow(on), event) == expected


def test_an_event_may_be_named_with_its_type() -> None:
    assert split_event("push") == ("push", "")
    assert split_event("pull_request:closed") == ("pull_request", "closed")
    assert split_event("repository_dispatch:anything") == ("repository_dispatch", "anything")
    with pytest.raises(UserError, match="pull_request has no activity type 'close'") as caught:
        split_event("pull_request:close")
    assert "did you mean 'closed'" in str(caught.value.hint)
    with pytest.raises(UserError, match="push has no activity type 'x'"):
        split_event("push:x")


def test_refusals_say_why() -> None:
    with pytest.raises(UserError, match="the branch 'dev' is none of main, v\\*"):
        decide_event(workflow("{push: {branches: [main, 'v*']}}"), "push", {}, push("dev"))
    with pytest.raises(UserError, match="does not start on 'push'") as caught:
        decide_event(workflow("[schedule, fork]".replace("schedule", "watch")), "push", {}, push("x"))
    assert caught.value.hint is not None
    assert "watch, fork" in caught.value.hint
    with pytest.raises(UserError, match="only workflow_dispatch takes them"):
        decide_event(workflow("push"), "push", {"a": "1"}, push("x"))
    with pytest.raises(UserError, match="by itself"):
        decide_event(workflow("workflow_call"), "workflow_call", {}, GitFacts())


INPUTS = """{workflow_dispatch: {inputs: {
  text: {}, Flag: {type: boolean}, on: {type: boolean, default: true}, count: {type: number, default: 3},
  pick: {type: choice, options: [a, b]}, must: {required: true, description: how}, plain: }}}"""


def inputs(**given: str) -> dict[str, object]:
    return decide_event(workflow(INPUTS), "workflow_dispatch", given, GitFacts())


def test_inputs_are_typed_and_defaulted() -> None:
    assert inputs(must="m") == {
        "text": "",
        "Flag": False,
        "on": True,
        "count": 3,
        "pick": "a",
        "must": "m",
        "plain": "",
    }
    found = inputs(must="m", flag="TRUE", on="false", count="1.5", pick="b", text="1")
    assert (found["Flag"], found["on"], found["count"], found["pick"], found["text"]) == (
        True,
        False,
        1.5,
        "b",
        "1",
    )


@pytest.mark.parametrize(
    ("given_inputs", "part"),
    [
        ({}, "needs the input 'must' \\(how\\)"),
        ({"must": "", "flga": "1"}, "no input 'flga'"),
        ({"must": "", "flag": "yes"}, "must be true or false"),
        ({"must": "", "count": "many"}, "must be a number"),
        ({"must": "", "count": ""}, "must be a number"),
        ({"must": "", "pick": "c"}, "cannot be 'c'"),
    ],
)
def test_inputs_refused(given_inputs: dict[str, str], part: str) -> None:
    with pytest.raises(UserError, match=part):
        inputs(**given_inputs)


def test_no_inputs_declared() -> None:
    found = workflow("workflow_dispatch")
    assert decide_event(found, "workflow_dispatch", {}, GitFacts()) == {}
    with pytest.raises(UserError, match="no input 'x'"):
        decide_event(found, "workflow_dispatch", {"x": "1"}, GitFacts())


@pytest.mark.parametrize(
    ("on", "event"),
    [
        ("[push, workflow_dispatch]", "workflow_dispatch"),
        ("[pull_request, push]", "push"),
        ("[schedule_nothing, pull_request]", "pull_request"),
        ("{workflow_call: , release: }", "release"),
    ],
)
def test_the_event_that_is_meant_by_hand(on: str, event: str) -> None:
    flow = Workflow(
        "ci.yml", None, None, {name.strip(" :"): None for name in on.strip("[]{}").split(",")}, {}, None, {}
    )
    assert usual_event(flow, {}) == event
    assert usual_event(flow, {"a": "b"}) == "workflow_dispatch"


def test_what_is_only_called_cannot_be_started_by_hand() -> None:
    flow = Workflow("ci.yml", None, None, {"workflow_call": None}, {}, None, {})
    with pytest.raises(UserError, match="only called by other workflows"):
        usual_event(flow, {})


@pytest.mark.parametrize(
    ("on", "warned"),
    [
        ("{push: {branches: ['!dev']}}", ["branches"]),
        ("{push: {branches: '!dev', tags: ['!a', '!b'], paths: ['!x', y]}}", ["branches", "tags"]),
        ("{pull_request: {paths: ['!docs/**']}}", ["paths"]),
        ("{push: {branches: [main, '!dev'], branches-ignore: []}}", []),
        ("{push: {branches-ignore: ['!dev']}}", []),
    ],
)
def test_filters_that_hold_nothing_but_exclusions_are_warned_of(on: str, warned: list[str]) -> None:
    said = [one.message for one in workflow(on).warnings if "begin with !" in one.message]
    assert [message.split("`")[1] for message in said] == warned
