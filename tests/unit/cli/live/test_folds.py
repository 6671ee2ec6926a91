from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from relevo.cli.live.folds import Folds


def folded(*chunks: bytes, count: int = 5) -> list[str]:
    folds = Folds()
    for chunk in chunks:
        folds.feed(chunk)
    return folds.lines(count)


def test_the_last_lines_are_shown_also_one_without_an_end() -> None:
    assert folded(b"one\ntwo\nthree\nfour", count=3) == ["two", "three", "four"]
    assert folded(b"one\n", count=0) == []


def test_a_closed_group_is_one_line() -> None:
    log = b"before\n::group::Install\none\ntwo\n::endgroup::\nafter\n"
    assert folded(log) == ["before", "▸ Install (2 lines)", "after"]


def test_the_next_group_closes_the_one_before() -> None:
    assert folded(b"::group::A\none\n::group::B\ntwo\n") == ["▸ A (1 line)", "▾ B", "two"]


def test_the_name_of_an_open_group_stays_above_its_last_lines() -> None:
    log = b"before\n::group::Install\n" + b"".join(b"line %d\n" % number for number in range(2_000))
    assert folded(log, count=3) == ["▾ Install", "line 1998", "line 1999"]
    assert folded(log, count=1) == ["▾ Install"]


def test_annotations_may_be_left_to_others() -> None:
    folds = Folds()
    folds.feed(b"one\n::error file=a.py,line=3::no\n")
    assert folds.lines(5) == ["one", "error a.py:3: no"]
    assert folds.lines(5, annotations=False) == ["one"]


def test_nothing_of_a_log_moves_the_cursor() -> None:
    assert folded(b"10%\r20%\r30%\n\x1b[2J\x1b[31mred\x1b[0m\x07\n") == ["30%", "red"]


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_how_the_bytes_come_in_pieces_does_not_matter(tail: bytes, cuts: list[int]) -> None:
    log = b"x\n::group::A\ninner\n::endgroup::\n" + tail
    places = sorted({0, len(log), *(cut for cut in cuts if cut < len(log))})
    pieces = [log[a:b] for a, b in pairwise(places)]
    assert folded(*pieces) == folded(log)


def test_memory_is_bounded() -> None:
    folds = Folds()
    for _ in range(100):
        folds.feed(b"x" * 100_000)
        folds.feed(b"\n::group::" + b"y" * 100_000 + b"\nz\n")
    assert sum(len(part) for part in (folds._tail, folds._rest, folds._outside, folds._group or b"")) < 40_000
