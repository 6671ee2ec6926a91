from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.cli.cells import cells, clipped, fitted, padded


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("abc", 3), ("模块", 4), ("e\u0301", 1), ("✨", 2), ("ﬁ", 1), ("a\u200db", 2), ("❤\ufe0f", 2)],
)
def test_cells(text: str, count: int) -> None:
    assert cells(text) == count


def test_fitted_keeps_both_ends() -> None:
    assert fitted("test (ubuntu-latest, 3.11)", 15) == "test (u…, 3.11)"
    assert fitted("short", 15) == "short"


def test_clipped_shows_that_something_is_missing() -> None:
    assert clipped("a long name", 6) == "a lon…"
    assert clipped("模块编译", 6) == "模块…"
    assert clipped("模块编译", 0) == ""


@given(st.text(), st.integers(0, 40))
def test_what_is_cut_never_takes_more(text: str, width: int) -> None:
    assert cells(clipped(text, width)) <= width
    assert cells(fitted(text, width)) <= width
    if cells(text) <= width:
        assert clipped(text, width) == fitted(text, width) == text
        assert cells(padded(text, width)) == width
