"""Rules for where jobs may run: what contradicts itself or `runs-on` is told, and nothing else is."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.workflow.diagnostics import WorkflowInvalid
from relevo.workflow.label_expressions import (
    LENGTH_LIMIT,
    Expression,
    holds,
    lacking,
    never_holds,
    parse,
    text,
)
from relevo.workflow.model import PlaceRules
from relevo.workflow.reader import read

NAMES = ["a", "b", "pool:x", "pool:y", "x64", "arm64"]
EXPRESSIONS: st.SearchStrategy[Expression] = st.recursive(
    st.sampled_from(NAMES),
    lambda inner: st.one_of(
        inner.map(lambda one: ("not", one)),
        st.tuples(st.sampled_from(["all", "any"]), inner, inner),
        st.tuples(st.sampled_from(["all", "any"]), inner, inner, inner),
    ),
    max_leaves=8,
)


def nodes() -> list[frozenset[str]]:
    """All that a node can answer to: one pool at most, one architecture at most."""
    found = []
    for a, b, pool, machine in product(
        ([], ["a"]), ([], ["b"]), ([], ["pool:x"], ["pool:y"]), ([], ["x64"], ["arm64"])
    ):
        found.append(frozenset([*a, *b, *pool, *machine]))
    return found


@given(EXPRESSIONS, st.sets(st.sampled_from(["a", "pool:x", "x64"])))
def test_what_never_holds_is_what_holds_of_no_node(expression, given_names):
    possible = [names for names in nodes() if given_names <= names]
    assert never_holds(expression, given_names) == (not any(holds(expression, names) for names in possible))


@given(EXPRESSIONS, st.sets(st.sampled_from(NAMES)))
def test_the_part_that_lacks_does_not_hold_and_is_enough(expression, names):
    if not holds(expression, names):
        part = lacking(expression, names)
        assert not holds(part, names)
        assert len(text(part)) <= len(text(expression))


def test_expressions_are_read_as_labels_are():
    assert parse("Ubuntu-22.04 && !group:Big") == ("all", "ubuntu-*", ("not", "pool:big"))


def test_a_long_search_is_given_up_and_nothing_is_claimed():
    pigeons = " && ".join(f"(a{number} || b{number})" for number in range(100))
    one_of = " && ".join(f"!(a{number} && b{number})" for number in range(40))
    assert not never_holds(parse(pigeons))
    assert not never_holds(("all", parse(pigeons), parse(one_of)))


@pytest.mark.parametrize("operator", ["&&", "||"])
def test_as_many_names_as_an_expression_can_have_are_looked_at(operator):
    names = [
        f"{first}{second}" for first in "abcdefghijklmnopqrstuvwxyz" for second in "abcdefghijklmnopqrst"
    ]
    longest = operator.join(names[: (LENGTH_LIMIT + 2) // 4])
    assert len(longest) >= LENGTH_LIMIT - 4
    assert not never_holds(parse(longest))


def file(own: str, runs_on: str = "ubuntu-latest", more: str = "") -> bytes:
    return f"on: push\njobs:\n  a:\n    runs-on: {runs_on}\n    relevo: {own}\n    steps: [{{run: x}}]\n{more}".encode()


def place(own: str) -> PlaceRules | None:
    return read(file(own), "w.yml").jobs["a"].place


def test_what_is_said_is_kept():
    assert place("{priority: 3}") is None
    assert place(
        "{where: gpu, prefers: fast, tolerates: [x, y], near: k, apart: {key: p, over: zone}}"
    ) == PlaceRules("gpu", "fast", ("x", "y"), "k", "p", "zone")
    assert place("{apart: p, tolerates: x}") == PlaceRules(tolerates=("x",), apart="p")


def test_a_job_takes_what_it_does_not_say_from_the_file():
    text = (
        b"on: push\nrelevo: {where: gpu, near: k}\njobs:\n  a:\n    runs-on: linux\n    relevo: {near: own}\n"
        b"    steps: [{run: x}]\n  b:\n    runs-on: linux\n    steps: [{run: x}]\n"
    )
    jobs = read(text, "w.yml").jobs
    assert jobs["a"].place == PlaceRules(where="gpu", near="own")
    assert jobs["b"].place == PlaceRules(where="gpu", near="k")


@pytest.mark.parametrize(
    ("own", "runs_on", "says"),
    [
        ('{where: "a && !a"}', "linux", "w.yml:5:21: `where` contradicts itself: no agent is like that"),
        ("{where: zone:a && zone:b}", "linux", "w.yml:5:21: `where` contradicts itself"),
        ("{where: node:x && pool:a && pool:b}", "linux", "`where` contradicts itself"),
        ("{where: arm64}", "[linux, x64]", "no agent that answers to linux, x64 is like that"),
        ('{where: "!linux"}', "linux", "`where` contradicts `runs-on`"),
        ("{where: pool:b}", "{group: a}", "no agent that answers to pool:a is like that"),
        ("{where: a &&}", "linux", "'a &&': a label is missing at its end"),
        ("{where: a b}", "linux", "'a b': 'b' is not expected there"),
        ('{prefers: "(a"}', "linux", "'(a': a parenthesis is not closed"),
        ("{where: ''}", "linux", "w.yml:5:21"),
        ("{tolerates: [x, a b]}", "linux", "w.yml:5:29: 'a b' is no name"),
        ("{near: [k]}", "linux", "w.yml:5:20"),
        ("{apart: {over: zone}}", "linux", "apart needs the key `key`"),
        ("{apart: {key: k, over: rack}}", "linux", "'rack' is not a place known here"),
        ('{where: "${{ inputs.x }}"}', "linux", "expressions (${{ }}) are not available here"),
        ("{where: !gpu }", "linux", "the tag !gpu is not known"),
        (f"{{near: {'k' * 201}}}", "linux", "a key may have 200 characters"),
    ],
)
def test_what_is_wrong_is_told_where_it_stands(own, runs_on, says):
    with pytest.raises(WorkflowInvalid) as raised:
        read(file(own, runs_on), "w.yml")
    told = [f"{one.path}:{one.line}:{one.column}: {one.message}" for one in raised.value.diagnostics]
    assert any(says in one for one in told), told


@pytest.mark.parametrize(
    ("own", "runs_on", "says"),
    [
        ("{prefers: x64 && arm64}", "linux", "`prefers` does nothing"),
        ("{where: gpu, prefers: '!gpu'}", "linux", "`prefers` does nothing"),
        ("{near: k, apart: k}", "linux", "`near` and `apart` both say 'k'"),
        ("{near: k, apart: {key: k}}", "linux", "`near` and `apart` both say 'k'"),
        ("{priority: 1}", "[x64, arm64]", "`runs-on` asks for arm64 and x64 together: no machine is both"),
    ],
)
def test_what_is_odd_is_a_warning(own, runs_on, says):
    (found,) = read(file(own, runs_on), "w.yml").warnings
    assert says in found.message


@pytest.mark.parametrize(
    ("own", "runs_on"),
    [
        ("{where: gpu || !gpu, prefers: fast, near: k, apart: other}", "linux"),
        ("{where: 'pool:a || pool:b'}", "[self-hosted, linux, x64]"),
        ("{where: arm64}", "'${{ vars.os }}'"),
    ],
)
def test_what_may_be_is_not_told_of(own, runs_on):
    assert read(file(own, runs_on), "w.yml").warnings == ()


def test_rules_of_a_call_do_nothing():
    text = b"on: push\njobs:\n  a:\n    uses: ./.github/workflows/b.yml\n    relevo: {where: gpu}\n"
    found = [one.message for one in read(text, "w.yml").warnings]
    assert any("`where` of a job that calls a workflow does nothing" in one for one in found)
