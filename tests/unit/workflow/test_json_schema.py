"""The JSON Schema agrees with the checker."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from relevo.workflow import grammar
from relevo.workflow.check import Findings, check
from relevo.workflow.expressions import ExpressionError, to_text
from relevo.workflow.json_schema import action_json_schema, json_schema
from relevo.workflow.language import WORKFLOW
from relevo.workflow.language_action import ACTION
from relevo.workflow.nodes import Mapping, Node, Scalar, Sequence
from relevo.workflow.templates import condition

SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)

#: Values of every kind, to be put where they do not belong.
JUNK = st.sampled_from(
    [
        *(None, True, 0, 7, -1, 1.5, "", "x", "a b", "__x", "a/b@v1", "./w.yml", "${{ 1 }}", "x ${{ 1 }}"),
        *([], ["x"], [None], [["x"]], {}, {"x": 1}, {"": 1}, {"${{ 1 }}": 1}, {"${{ insert }}": {}}),
        *({"run": "x"}, {"uses": "a/b@v1"}, {"group": "x"}, {"name": "x"}, [{"wait-all": None}]),
    ]
)
RULED = {
    "a cron expression": ("0 5 * * 1-5", "*/15 0 1,15 JAN sun"),
    "an id": ("one", "a-b"),
    "an action": ("a/b@v1", "./x", "docker://alpine"),
    "what the action is made of": ("composite", "Composite", "node20", "docker"),
    "a workflow": ("./w.yml", "o/r/w.yml@v1"),
}


def values(shape: grammar.Shape) -> st.SearchStrategy[Any]:
    """Values of a shape, without expressions."""
    if isinstance(shape, grammar.Text):
        if shape.choices:
            return st.sampled_from(shape.choices)
        if shape.rule is not None and shape.says in RULED:
            return st.sampled_from(RULED[shape.says])
        return st.sampled_from(("x", "a b", "1", 1, 1.5, True))
    if isinstance(shape, grammar.Condition):
        return st.sampled_from(("1 == 1", "true", True, None))
    if isinstance(shape, grammar.Flag):
        return st.booleans()
    if isinstance(shape, grammar.Number):
        return st.integers(1, 9)
    if isinstance(shape, grammar.Nothing):
        return st.none()
    if isinstance(shape, grammar.Anything):
        return JUNK.filter(lambda value: "${{" not in str(value) and value != {"": 1})
    if isinstance(shape, grammar.Items):
        item = st.deferred(lambda: values(shape.item))
        return st.lists(item, max_size=2)
    if isinstance(shape, grammar.OneOf):
        return st.one_of([st.deferred(lambda option=option: values(option)) for option in shape.options])
    assert isinstance(shape, grammar.Fields)
    return fields(shape)


@st.composite
def fields(draw: st.DrawFn, shape: grammar.Fields) -> dict[str, Any]:
    chosen = draw(st.sets(st.sampled_from(sorted(shape.known)), max_size=3)) if shape.known else set()
    found = {key: draw(values(shape.known[key])) for key in sorted({*chosen, *shape.required})}
    if shape.others is not None and draw(st.booleans()):
        found["other"] = draw(values(shape.others))
    return found


@st.composite
def spoiled(draw: st.DrawFn, value: Any) -> Any:
    """A value with one part of it, at any depth, changed into something else, or with a key too many."""
    if isinstance(value, dict) and value and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: draw(spoiled(value[key]))}
    if isinstance(value, list) and value and draw(st.integers(0, 4)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], draw(spoiled(value[at])), *value[at + 1 :]]
    if isinstance(value, dict) and draw(st.booleans()):
        return {**value, draw(st.sampled_from(("unknown", "", "${{ 1 }}", "a b"))): draw(JUNK)}
    return draw(JUNK)


def tree(value: Any) -> Node:
    if isinstance(value, dict):
        return Mapping(1, 1, 1, [(Scalar(1, 1, 1, key, key), tree(inner)) for key, inner in value.items()])
    if isinstance(value, list):
        return Sequence(1, 1, 1, [tree(inner) for inner in value])
    return Scalar(1, 1, 1, value, "" if value is None else to_text(value))


def problems(value: Any, shape: grammar.Shape = WORKFLOW) -> list[str]:
    findings = Findings("w.yml", [""])
    check(tree(value), shape, findings)
    return [found.message for found in findings.diagnostics if found.severity == "error"]


def complaint(source: str) -> str:
    try:
        condition(source).check(())
    except ExpressionError as error:
        return str(error)
    return ""


#: What is said of texts of JUNK where an `if:` stands: to the schema any text is one.
NO_CONDITIONS = frozenset(filter(None, map(complaint, ("x", "a b", "__x", "a/b@v1", "./w.yml"))))


def only_the_checker_says_so(problem: str) -> bool:
    # what code can tell and a pattern cannot
    beyond = ("a cron expression has", "is no version of an image")
    return problem in NO_CONDITIONS or any(words in problem for words in beyond)


#: The rules of inputs are more than shape; the checker of shapes does not know them.
SHAPES = Draft202012Validator(
    {
        **SCHEMA,
        "$defs": {
            name: {
                key: part
                for key, part in definition.items()
                if key != "allOf" or "properties" not in definition
            }
            for name, definition in SCHEMA["$defs"].items()
        },
    }
)
FILES = values(WORKFLOW)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@settings(max_examples=60, deadline=None)
@given(FILES)
def test_files_of_the_language_are_valid(value: Any) -> None:
    assume(not problems(value))
    assert not [error.message for error in SHAPES.iter_errors(value)]


@settings(max_examples=200, deadline=None)
@given(FILES.flatmap(spoiled))
def test_schema_and_checker_agree_on_spoiled_files(value: Any) -> None:
    wrong = [problem for problem in problems(value) if not only_the_checker_says_so(problem)]
    assert SHAPES.is_valid(value) == (not wrong), wrong or [
        error.message for error in SHAPES.iter_errors(value)
    ]


ACTIONS = Draft202012Validator(action_json_schema())
ACTION_FILES = values(ACTION)


@settings(max_examples=40, deadline=None)
@given(ACTION_FILES)
def test_actions_of_the_language_are_valid(value: Any) -> None:
    assume(not problems(value, ACTION))
    assert not [error.message for error in ACTIONS.iter_errors(value)]


@settings(max_examples=80, deadline=None)
@given(ACTION_FILES.flatmap(spoiled))
def test_schema_and_checker_agree_on_spoiled_actions(value: Any) -> None:
    # any value may stand under a key that is not known, but no expression in it: beyond a schema
    assume("expressions (${{ }}) are not available here" not in problems(value, ACTION))
    wrong = [problem for problem in problems(value, ACTION) if not only_the_checker_says_so(problem)]
    assert ACTIONS.is_valid(value) == (not wrong), wrong or [
        error.message for error in ACTIONS.iter_errors(value)
    ]


def test_inputs_have_defaults_of_their_type() -> None:
    def of(definition: dict[str, Any]) -> dict[str, Any]:
        return {"on": {"workflow_dispatch": {"inputs": {"a": definition}}}, "jobs": {"a": {"runs-on": "x"}}}

    assert VALIDATOR.is_valid(of({"type": "boolean", "default": True}))
    assert not VALIDATOR.is_valid(of({"type": "boolean", "default": "true"}))
    assert not VALIDATOR.is_valid(of({"type": "choice"}))
    assert VALIDATOR.is_valid(of({"type": "choice", "options": ["a"]}))
