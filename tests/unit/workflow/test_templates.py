"""Texts with `${{ }}`, and conditions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.workflow import templates
from relevo.workflow.expressions import ExpressionError, Scope

SCOPE = Scope(
    {"inputs": {"list": [1, 2], "map": {"A": "1"}, "text": "t", "yes": True, "none": None, "n": 3.0}}
)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("plain", "plain"),
        ("${{ inputs.list }}", [1, 2]),
        ("${{inputs.yes}}", True),
        ("${{ inputs.none }}", None),
        (" ${{ inputs.list }}", " Array"),
        ("a ${{ inputs.text }} b ${{ inputs.n }}", "a t b 3"),
        ("${{ inputs.map }}${{ inputs.yes }}", "Objecttrue"),
        ("${{ '}}' }}", "}}"),
        ("${{ 'it''s }}' }}!", "it's }}!"),
        ("$ {{ x }}", "$ {{ x }}"),
        (["${{ inputs.n }}", {"k": "${{ inputs.text }}"}], [3.0, {"k": "t"}]),
        ({"x-${{ inputs.text }}": 1}, {"x-t": 1}),
        ({"Z": "0", "${{ insert }}": "${{ inputs.map }}"}, {"Z": "0", "A": "1"}),
        (5, 5),
        (None, None),
    ],
)
def test_evaluate(source: object, expected: object) -> None:
    assert templates.evaluate(source, SCOPE) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (None, ""),
        (True, "true"),
        (3.10, "3.1"),
        ("${{ inputs.list }}", "Array"),
        ("${{ inputs.none }}", ""),
        ("x", "x"),
    ],
)
def test_evaluate_text(source: object, expected: str) -> None:
    assert templates.evaluate_text(source, SCOPE) == expected


@pytest.mark.parametrize(
    "source", ["${{ x", "${{ }}", "a ${{ 'open }}", "${{ 1 2 }}", "${{ x }} ${{", {"${{ insert }}": "text"}]
)
def test_refused(source: object) -> None:
    with pytest.raises(ExpressionError):
        templates.evaluate(source, SCOPE)


@pytest.mark.parametrize(
    ("source", "ok", "holds"),
    [
        (None, True, True),
        (None, False, False),
        ("", False, False),
        ("true", True, True),
        ("true", False, False),  # success() && true
        ("always()", False, True),
        ("always() && false", False, False),
        ("failure()", False, True),
        ("!cancelled()", False, True),
        ("inputs.text == 'T'", True, True),
        ("${{ inputs.text == 'T' }}", True, True),
        ("${{ inputs.yes }}", False, False),
        ("'success()'", False, False),  # a text that only looks like a status function
        ("0", True, False),
        ("''", True, False),
        ("inputs.list", True, True),
        ("${{ false }} ", True, True),  # text around it makes a text, which is true
        ("${{ false }} && false", True, True),
        ("SUCCESS() || false", True, True),
    ],
)
def test_condition(source: str | None, ok: bool, holds: bool) -> None:
    scope = Scope(SCOPE.contexts, success=ok, failure=not ok)
    assert templates.evaluate_condition(source, scope) is holds


def test_a_condition_that_cannot_hold_is_not_evaluated() -> None:
    failed = Scope({}, success=False)
    assert templates.evaluate_condition("fromJSON('bad')", failed) is False
    with pytest.raises(ExpressionError):
        templates.evaluate_condition("fromJSON('bad')", Scope({}))


def test_what_needs_evaluation() -> None:
    assert templates.has_expression([{"a": ["${{ x }}"]}])
    assert templates.has_expression({"${{ x }}": 1})
    assert not templates.has_expression({"a": ["$x", 1, None, "{{ }}"]})


@given(st.text(max_size=30).filter(lambda text: "${{" not in text))
def test_texts_without_expressions_stay(text: str) -> None:
    assert templates.evaluate(text, SCOPE) is text


@given(st.lists(st.text(alphabet="a${}' ", max_size=8), max_size=4))
def test_concatenation(parts: list[str]) -> None:
    literals = [part.replace("${{", "") for part in parts]
    source = "${{ inputs.text }}".join(literals)
    if source.count("${{") == max(0, len(literals) - 1) and len(literals) > 2:
        assert templates.evaluate_text(source, SCOPE) == "t".join(literals)


@given(st.text(alphabet="${} 'ax.", max_size=40))
def test_no_text_breaks_it(text: str) -> None:
    try:
        templates.evaluate(text, SCOPE)
    except ExpressionError:
        pass
