"""YAML with positions and bounds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.workflow.diagnostics import WorkflowInvalid
from relevo.workflow.nodes import MAX_BYTES, Mapping, Scalar, Sequence, compose, plain, resolve


def load(text: str | bytes) -> object:
    return plain(compose(text.encode() if isinstance(text, str) else text, "f.yml")[0])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("No", "No"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("Null", None),
        ("0755", 755),
        ("0o17", 15),
        ("0xff", 255),
        ("-0", 0),
        ("+12", 12),
        ("1_000", "1_000"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("3.10", 3.1),
        ("12e03", 12000.0),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("-", "-"),
        (".", "."),
        ("-.inf", -math.inf),
        ("inf", "inf"),
        ("123456789012345678901234567890", 1.2345678901234568e29),
        ("1" * 5000, math.inf),
        ("٣", "٣"),
    ],
)
def test_scalars_of_the_core_schema(text: str, value: object) -> None:
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)


def test_not_a_number() -> None:
    assert math.isnan(resolve(".NaN"))


def test_structure_and_positions() -> None:
    root, _ = compose(b"on: push\njobs:\n  a:\n    - x\n    - 'y'\n", "f.yml")
    assert isinstance(root, Mapping)
    jobs = root.get("jobs")
    assert isinstance(jobs, Mapping)
    key, items = jobs.entries[0]
    assert (key.line, key.column, key.text) == (3, 3, "a")
    assert isinstance(items, Sequence)
    assert [(item.line, item.column) for item in items.items] == [(4, 7), (5, 7)]


def test_tags_and_styles() -> None:
    assert load("a: !!str 1\nb: '1'\nc: !!float 1\nd: !!null\ne: ! 5\nf: |\n  x\n  y\n") == {
        "a": "1",
        "b": "1",
        "c": 1,
        "d": None,
        "e": "5",
        "f": "x\ny\n",
    }


def test_aliases_stand_for_their_anchor_where_they_are() -> None:
    root, _ = compose(b"a: &x {k: [1]}\nb: *x\n", "f.yml")
    assert isinstance(root, Mapping)
    assert plain(root) == {"a": {"k": [1]}, "b": {"k": [1]}}
    alias = root.get("b")
    assert alias is not None
    assert (alias.line, alias.column) == (2, 4)


@pytest.mark.parametrize(
    ("text", "line", "column", "part"),
    [
        (b"a: &a [*a]", 1, 8, "own anchor"),
        (b"a: *x", 1, 4, "no anchor"),
        (b"a: 1\n<<: {b: 2}", 2, 1, "merge keys"),
        (b"a: \x01", 1, 4, "not allowed"),
        (b"a: 1\nb: \xff", 2, 4, "UTF-8"),
        (b"a: b: c", 1, 5, "not allowed"),
        (b"a: 1\n---\nb: 2", 2, 1, "second document"),
        (b"? [a]\n: b", 1, 3, "key must be"),
        (b"a: !!bool test", 1, 4, "no value of the tag !!bool"),
        (b"a: !!python/object x", 1, 4, "!!python/object"),
        (b"a: !mine {}", 1, 4, "tag !mine"),
        (b"", 0, 0, "empty"),
        (b"# only a comment\n", 0, 0, "empty"),
        (b"x" * (MAX_BYTES + 1), 0, 0, "larger"),
        (b"{a: " * 100_000, 1, 201, "nested deeper"),
        (b"- " * 100_000, 1, 101, "nested deeper"),
    ],
)
def test_refused_where(text: bytes, line: int, column: int, part: str) -> None:
    with pytest.raises(WorkflowInvalid) as caught:
        load(text)
    (found,) = caught.value.diagnostics
    assert (found.line, found.column) == (line, column)
    assert part in str(found)


def test_brackets_are_bounded_by_whichever_limit_comes_first() -> None:
    # newer parsers have a limit of their own and look further ahead than this one
    with pytest.raises(WorkflowInvalid, match="nested deeper than 50 levels"):
        load(b"[" * 100_000)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028"])
def test_excerpts_agree_with_lines_whatever_ends_them(end: str) -> None:
    with pytest.raises(WorkflowInvalid) as caught:
        load(end.join(["a: 1", "b: *x"]).encode())
    (found,) = caught.value.diagnostics
    assert (found.line, found.column, found.excerpt) == (2, 4, "b: *x")


def test_an_alias_bomb_is_refused_before_it_goes_off() -> None:
    lines = ["a0: &a0 [1,1,1,1,1,1,1,1,1,1]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(WorkflowInvalid, match="aliases written out"):
        load("\n".join(lines))


texts = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), max_size=10)
yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=15,
)


@given(yaml_values)
def test_json_is_yaml(value: object) -> None:
    import json

    found, _ = compose(json.dumps([value], ensure_ascii=False).encode(), "f.yml")
    assert plain(found) == [value]


@given(
    st.binary(max_size=60) | st.text(alphabet="a:-[]{}&*!|>'\"#%@`\n\t ,?0.~<", max_size=60).map(str.encode)
)
def test_no_bytes_break_it(text: bytes) -> None:
    said = ""
    try:
        root, _ = compose(text, "f.yml")
    except WorkflowInvalid as error:
        said = str(error)
    assert said or isinstance(root, (Scalar, Sequence, Mapping))
