from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.cli import text

PIECES = st.lists(
    st.sampled_from(
        [
            "a",
            "\n",
            "\r",
            "\r\n",
            "\t",
            "\x1b",
            "\x1b[31m",
            "\x1b[2J",
            "\x1b[1;1H",
            "\x1b]0;t\x07",
            "[",
            "31m",
            "\x00",
            "\x9b",
            "é",
            "\x07",
        ]
    )
).map("".join)


@pytest.mark.parametrize(
    ("ms", "told"),
    [
        (None, ""),
        (0, "0.0s"),
        (49, "0.0s"),
        (1234, "1.2s"),
        (59_940, "59.9s"),
        (59_999, "1m00s"),
        (184_000, "3m04s"),
        (3_599_600, "1h00m"),
        (7_500_000, "2h05m"),
    ],
)
def test_duration(ms: int | None, told: str) -> None:
    assert text.duration(ms) == told


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (5_000_000_000, "5.0 GB"),
        (7_000_000_000_000, "7.0 TB"),
    ],
)
def test_size(count: int, told: str) -> None:
    assert text.size(count) == told


@given(PIECES)
def test_safe_leaves_nothing_that_acts(given_text: str) -> None:
    plain = text.safe(given_text, colours=False)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", plain)
    coloured = text.safe(given_text, colours=True)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", re.sub(r"\x1b\[[0-9;:]*m", "", coloured))


@given(PIECES)
def test_safe_twice_is_safe_once(given_text: str) -> None:
    once = text.safe(given_text, colours=True)
    assert text.safe(once, colours=True) == once


def test_safe_shows_what_a_carriage_return_leaves() -> None:
    assert text.safe("10%\r50%\r100%\r\nnext\r\n", colours=False) == "100%\nnext\n"


def test_safe_keeps_colours_only_where_there_are_any() -> None:
    assert text.safe("\x1b[1;31mred\x1b[0m \x1b[2Jgone", colours=True) == "\x1b[1;31mred\x1b[0m gone"
    assert text.safe("\x1b[1;31mred\x1b[0m", colours=False) == "red"


def test_table_aligns_what_is_seen() -> None:
    rows = [("job", "time"), ("\x1b[32mbuild\x1b[0m", "1.2s"), ("a", "12.0s")]
    assert text.table(rows, right=frozenset({1})) == [
        "job     time",
        "\x1b[32mbuild\x1b[0m   1.2s",
        "a      12.0s",
    ]
