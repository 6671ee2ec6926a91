"""Combinations of a matrix: GitHub's documented examples, and properties."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.workflow.matrix import MatrixInvalid, expand


def values(matrix: dict[str, object], limit: int = 10_000) -> list[dict[str, object]]:
    return [combination.values for combination in expand(matrix, limit)]


def names(matrix: dict[str, object]) -> list[str]:
    return [", ".join(combination.segments) for combination in expand(matrix)]


def test_the_last_key_varies_fastest() -> None:
    assert names({"version": [10, 12], "os": ["a", "b"]}) == ["10, a", "10, b", "12, a", "12, b"]


def test_the_documented_example_of_include() -> None:
    matrix = {
        "fruit": ["apple", "pear"],
        "animal": ["cat", "dog"],
        "include": [
            {"color": "green"},
            {"color": "pink", "animal": "cat"},
            {"fruit": "apple", "shape": "circle"},
            {"fruit": "banana"},
            {"fruit": "banana", "animal": "cat"},
        ],
    }
    assert values(matrix) == [
        {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
        {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
        {"fruit": "pear", "animal": "cat", "color": "pink"},
        {"fruit": "pear", "animal": "dog", "color": "green"},
        {"fruit": "banana"},
        {"fruit": "banana", "animal": "cat"},
    ]
    # what include added to a combination is no part of its name
    assert names(matrix) == ["apple, cat", "apple, dog", "pear, cat", "pear, dog", "banana", "banana, cat"]


def test_include_alone() -> None:
    assert values({"include": [{"site": "a"}, {"site": "b", "dc": 1}]}) == [
        {"site": "a"},
        {"site": "b", "dc": 1},
    ]


def test_exclude_matches_in_part_and_before_include_looks() -> None:
    matrix = {
        "os": ["mac", "win"],
        "version": [12, 14],
        "exclude": [{"os": "mac", "version": 12}],
        "include": [{"os": "mac", "version": 12, "extra": True}],
    }
    assert values(matrix) == [
        {"os": "mac", "version": 14},
        {"os": "win", "version": 12},
        {"os": "win", "version": 14},
        {"os": "mac", "version": 12, "extra": True},
    ]
    assert values({"os": ["mac", "win"], "exclude": [{"os": "mac"}]}) == [{"os": "win"}]


def test_filters_compare_as_expressions_do() -> None:
    assert values({"os": ["Linux", "mac"], "v": ["3.10"], "exclude": [{"OS": "LINUX", "v": 3.1}]}) == [
        {"os": "mac", "v": "3.10"}
    ]


def test_objects_and_lists_match_in_depth() -> None:
    matrix = {
        "node": [{"v": 1, "env": "A=1"}, {"v": 2, "env": ""}],
        "list": [[1, 2]],
        "exclude": [{"node": {"v": 2}, "list": [1]}],
    }
    assert names(matrix) == ["1, A=1, 1, 2"]


def test_empty_and_null_values_leave_no_trace_in_names() -> None:
    assert names({"a": ["", None, False, 0]}) == ["", "", "false", "0"]


def test_everything_excluded_leaves_nothing() -> None:
    assert expand({"a": [1], "exclude": [{"a": 1}]}) == []


@pytest.mark.parametrize(
    ("matrix", "part"),
    [
        ({}, "no key with values"),
        ({"include": []}, "no key with values"),
        ({"a": []}, "'a' has no values"),
        ({"a": "x"}, "must hold a list, not 'x'"),
        ({"a": None}, "must hold a list, not an empty value"),
        ({"a": [1], "exclude": [{"b": 1}]}, "names 'b'"),
        ({"a": [1], "exclude": [{}]}, "empty mapping"),
        ({"a": [1], "include": [{}]}, "empty mapping"),
        ({"a": [1], "include": "x"}, "`include` of a matrix must hold a list"),
        ({"a": [1], "include": [1]}, "must hold mappings, not '1'"),
        ({"a": list(range(11))}, "11 combinations, more than the 10 legs"),
        ({"a": list(range(10)), "include": [{"a": 99}]}, "11 combinations"),
        ({f"k{n}": list(range(100)) for n in range(10)}, "combinations"),
    ],
)
def test_refused(matrix: dict[str, object], part: str) -> None:
    with pytest.raises(MatrixInvalid) as caught:
        expand(matrix, 10)
    assert part in str(caught.value)


def test_a_product_over_the_limit_is_fine_when_exclude_leaves_little() -> None:
    assert len(values({"a": list(range(20)), "exclude": [{"a": n} for n in range(15)]}, limit=10)) == 5


vectors = st.dictionaries(
    st.sampled_from("abc"),
    st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True),
    min_size=1,
    max_size=3,
)
entries = st.lists(
    st.dictionaries(st.sampled_from("abcxy"), st.integers(0, 3), min_size=1, max_size=3), max_size=3
)


@given(vectors)
def test_it_is_the_cross_product(matrix: dict[str, list[int]]) -> None:
    keys = list(matrix)
    assert values(dict(matrix)) == [dict(zip(keys, row, strict=True)) for row in product(*matrix.values())]


@given(vectors, entries)
def test_exclude_removes_what_it_matches_and_nothing_else(
    matrix: dict[str, list[int]], found: list[dict[str, int]]
) -> None:
    excluded = [entry for entry in found if set(entry) <= set(matrix)]
    full = values(dict(matrix))
    expected = [row for row in full if not any(entry.items() <= row.items() for entry in excluded)]
    assert values({**matrix, "exclude": excluded}) == expected


@given(vectors, entries)
def test_include_never_changes_original_values_and_loses_nothing(
    matrix: dict[str, list[int]], found: list[dict[str, int]]
) -> None:
    before = values(dict(matrix))
    after = values({**matrix, "include": found})
    for row, extended in zip(before, after, strict=False):
        assert row.items() <= extended.items()
    for entry in found:
        own = {key: value for key, value in entry.items() if key in matrix}
        if any(own.items() <= row.items() for row in before):
            # it extends; its keys are there, though a later entry may have overwritten what it added
            assert any(own.items() <= row.items() and entry.keys() <= row.keys() for row in after)
        else:
            assert entry in after[len(before) :]
