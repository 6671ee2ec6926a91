"""The expression language: what it yields, and what it refuses."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.workflow.expressions import ExactDict, ExpressionError, Scope, compile, to_text, truthy
from relevo.workflow.expressions.values import fold, parse_number


def value(source: str, **contexts: object) -> object:
    return compile(source).evaluate(Scope(dict(contexts)))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", None),
        ("'it''s'", "it's"),
        ("0x1F", 31),
        ("0o17", 15),
        ("-1.5e2", -150),
        ("0xffffffff", -1),
        # precedence: ! over < over == over && over ||
        ("!false == true", True),
        ("1 < 2 == true", True),
        ("false && true || true", True),
        ("true || false && false", True),
        ("(true || false) && false", False),
        ("1 == 1 == true", True),
        ("!(1 > 2)", True),
        # values, not truths
        ("'' || 'default'", "default"),
        ("'a' && 'b'", "b"),
        ("0 || null", None),
        # comparison
        ("'ABC' == 'abc'", True),
        ("'a' < 'B'", True),
        ("null == 0", True),
        ("'' == 0", True),
        ("'x' == 0", False),
        ("NaN == NaN", False),
        ("true > false", True),
        ("'10' > 9", True),
        ("null >= null", True),
        # access
        ("github.Event.NAME", "push"),
        ("github['event']['name']", "push"),
        ("github.nothing.at.all", None),
        ("github.list[1]", "b"),
        ("github.list['1']", "b"),
        ("github.list[1.9]", "b"),
        ("github.list[-1]", None),
        ("github.list[99]", None),
        ("join(github.objects.*.n, '-')", "1-2"),
        ("join(github.objects.*.missing)", ""),
        ("join(github.nested.*.items.*)", "1,2,3"),
        ("join(github.name.*)", ""),
        ('fromJSON(\'{"a": [1, {"b": 2}]}\').a[1].b', 2),
        # functions, whatever their case
        ("CONTAINS('Hello', 'ELL')", True),
        ("contains(github.list, 'B')", True),
        ("contains(github.objects, 'a')", False),
        ("startsWith('Hello', 'he')", True),
        ("endsWith('Hello', 'LO')", True),
        ("format('{0} {{x}} {1}{0}', 'a', 1)", "a {x} 1a"),
        ("join(github.list)", "a,b"),
        ("join('x', '+')", "x"),
        ("case(false, 1, true, 2, 3)", 2),
        ("fromJSON('1e2')", 100),
        ("fromJSON('\"x\"')", "x"),
        ("fromJSON('123456789012345678901234567890') > 1", True),
        ("format('{0}', 1234567890123456789)", "1.23456789012346E+18"),
        ("format('{0}', 0.1)", "0.1"),
        ("format('{0}', -0)", "0"),
        ("toJSON(github.list)", '[\n  "a",\n  "b"\n]'),
    ],
)
def test_value(source: str, expected: object) -> None:
    github = {
        "event": {"name": "push"},
        "name": "x",
        "list": ["a", "b"],
        "objects": [{"n": 1}, {"n": 2}, {"m": 3}, "text"],
        "nested": {"p": {"items": [1, 2]}, "q": {"items": [3]}},
    }
    found = value(source, github=github)
    assert found == expected
    assert isinstance(found, bool) == isinstance(expected, bool)


def test_short_circuit_leaves_the_rest_unevaluated() -> None:
    assert value("true || fromJSON('not json')") is True
    assert value("case(true, 1, fromJSON('not json'))") == 1


def test_an_object_is_equal_to_itself_alone() -> None:
    one: dict[str, object] = {}
    assert value("github.a == github.a && github.a != github.b", github={"a": one, "b": {}}) is True


def test_environment_names_are_told_apart_by_case() -> None:
    env = ExactDict({"Path": "x"})
    assert value("env.PATH", env=env) is None
    assert value("env.Path", env=env) == "x"
    assert value("join(github.*.PATH)", github=[env]) == ""


def test_status_functions_answer_from_the_scope() -> None:
    scope = Scope({}, success=False, failure=True, cancelled=True)
    sources = ("success()", "failure()", "cancelled()", "always()")
    assert [compile(source).evaluate(scope) for source in sources] == [False, True, True, True]


def test_hash_files_gets_texts() -> None:
    asked = []

    def hash_files(patterns: object) -> str:
        asked.append(patterns)
        return "abc"

    assert compile("hashFiles('**/x', 1)").evaluate(Scope({}, hash_files=hash_files)) == "abc"
    assert asked == [["**/x", "1"]]
    with pytest.raises(ExpressionError, match="not available"):
        value("hashFiles('x')")


@pytest.mark.parametrize(
    ("source", "stage", "column"),
    [
        ("github.", "parsing", 8),
        ("1 +", "lexing", 3),
        ("'open", "lexing", 1),
        ('"double"', "lexing", 1),
        ("a = b", "lexing", 3),
        ("nosuch(1)", "parsing", 1),
        ("github ref", "parsing", 8),
        ("'a'.b", "parsing", 4),
        ("'a'[0]", "parsing", 4),
        ("a & b", "lexing", 3),
        ("contains('a')", "parsing", 1),
        ("case(true, 1, 2, 3)", "parsing", 1),
        ("()", "parsing", 2),
        ("(1", "parsing", 3),
        ("a[", "parsing", 3),
        ("a,b", "parsing", 2),
        ("*", "parsing", 1),
        ("a.*b", "parsing", 4),
        ("always(1)", "parsing", 1),
    ],
)
def test_refused_where(source: str, stage: str, column: int) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile(source)
    assert (caught.value.stage, caught.value.column) == (stage, column)


@pytest.mark.parametrize(
    "source",
    [
        "fromJSON('{')",
        "fromJSON('')",
        "fromJSON(github)",
        "format('{1}', 0)",
        "format('{')",
        "format('}')",
        "format('{0:x}', 1)",
        "case('yes', 1, 2)",
        "format('{99999999999999999999}', 1)",
    ],
)
def test_fails_when_evaluated(source: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        value(source, github={})
    assert caught.value.stage == "evaluation"
    assert source in str(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        "(" * 5000 + "1" + ")" * 5000,
        "!" * 20000 + "1",
        "a" + ".b" * 10000,
        "a[" * 5000 + "1" + "]" * 5000,
        "1" + " == 1" * 4000,
        "contains(" * 3000 + "1",
        "x" * 30_000,
        "fromJSON('" + "[" * 20_000 + "')",
        "fromJSON('" + "[" * 200 + "]" * 200 + "')",
    ],
)
def test_hostile_sources_get_an_error(source: str) -> None:
    with pytest.raises(ExpressionError):
        compile(source).evaluate(Scope({}))


def test_long_chains_of_one_operator_are_no_nesting() -> None:
    assert value(" && ".join(["true"] * 500)) is True
    assert value(" || ".join(["false"] * 500)) is False


def test_growing_texts_are_bounded() -> None:
    big = "x" * 3_000_000
    with pytest.raises(ExpressionError, match="longer than"):
        value("format('{0}{0}{0}{0}', inputs)", inputs=big)
    with pytest.raises(ExpressionError, match="longer than"):
        value("join(inputs)", inputs=[big] * 4)
    with pytest.raises(ExpressionError, match="longer than"):
        value("toJSON(inputs)", inputs=[big] * 4)


def test_names_are_checked_where_they_are_allowed() -> None:
    expression = compile("github.ref == Secrets.x && hashFiles('y') && success()")
    expression.check({"github", "secrets", "hashFiles", "success"})
    with pytest.raises(ExpressionError, match="'secrets' is not available here") as caught:
        expression.check({"github", "hashfiles", "success"})
    assert caught.value.column == 15
    with pytest.raises(ExpressionError, match="'hashFiles' is not available here"):
        expression.check({"github", "secrets", "success"})
    with pytest.raises(ExpressionError, match="unknown context 'nonsense'"):
        compile("a.b[nonsense.x]").check({"a"})


def test_a_known_context_that_is_absent_is_null_an_unknown_one_an_error() -> None:
    assert value("matrix.x") is None
    with pytest.raises(ExpressionError, match="unknown context"):
        value("nonsense.x")


# --- properties -------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_json_goes_there_and_back(data: object) -> None:
    text = value("toJSON(inputs)", inputs=data)
    assert value("fromJSON(inputs)", inputs=text) == data


@given(st.text(max_size=20))
def test_any_text_can_be_quoted(text: str) -> None:
    quoted = text.replace("'", "''")
    assert value(f"'{quoted}'") == text


@given(st.text(max_size=20))
def test_any_text_survives_format(text: str) -> None:
    escaped = text.replace("{", "{{").replace("}", "}}")
    assert value("format(inputs.t, 1)", inputs={"t": escaped}) == text


@given(st.text(max_size=20))
def test_folding_keeps_length_and_is_stable(text: str) -> None:
    assert len(fold(text)) == len(text)
    assert fold(fold(text)) == fold(text)


@given(json_values, json_values)
def test_comparison_is_coherent(left: object, right: object) -> None:
    scope = Scope({"inputs": {"l": left, "r": right}})

    def holds(source: str) -> object:
        return compile(source).evaluate(scope)

    assert holds("inputs.l == inputs.r") == holds("inputs.r == inputs.l")
    assert holds("inputs.l != inputs.r") == (not holds("inputs.l == inputs.r"))
    assert holds("inputs.l < inputs.r") == holds("inputs.r > inputs.l")
    assert holds("inputs.l <= inputs.r") == (holds("inputs.l < inputs.r") or holds("inputs.l == inputs.r"))
    assert not (holds("inputs.l < inputs.r") and holds("inputs.l > inputs.r"))


@given(st.floats(-1e300, 1e300, allow_subnormal=False))
def test_numbers_survive_as_text_to_15_digits(number: float) -> None:
    assert math.isclose(parse_number(to_text(number)), number, rel_tol=1e-14)


@given(json_values)
def test_not_not_is_the_truth(data: object) -> None:
    assert value("!!inputs", inputs=data) is truthy(data)


@given(st.text(alphabet="githubref.[]()'!=<>&|*,{} \n0123456789xeE+-\"", max_size=60))
def test_no_source_breaks_the_compiler(source: str) -> None:
    column = 0
    try:
        compile(source).evaluate(Scope({}))
    except ExpressionError as error:
        column = error.column
    assert 0 <= column <= len(source) + 1


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("fromJSON('" + "9" * 400 + "')", math.inf),
        ("fromJSON('123456789012345678901234567890')", 1.2345678901234568e29),
        ("fromJSON('1e999')", math.inf),
        ("fromJSON('-123456789012345')", -123456789012345),
    ],
)
def test_numbers_of_json_are_doubles(source: str, wanted: float) -> None:
    assert value(source) == wanted
