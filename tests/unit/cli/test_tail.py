from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relevo.cli.tail import Tail


def test_lines_are_those_of_the_step() -> None:
    tail = Tail()
    for step, data in [(0, b"a\nb\n"), (1, b"c"), (1, b"d\ne\n"), (2, b"f\n")]:
        tail.feed(step, data)
    assert tail.lines(1, 20) == ["cd", "e"]
    assert tail.lines(None, 2) == ["e", "f"]


@given(st.lists(st.binary(max_size=9_000), max_size=40))
def test_the_end_is_kept_in_bounded_memory(chunks: list[bytes]) -> None:
    tail = Tail()
    for chunk in chunks:
        tail.feed(0, chunk)
    kept = b"".join(data for _, data in tail._parts)
    whole = b"".join(chunks)
    assert whole.endswith(kept)
    assert len(kept) >= min(len(whole), Tail.BYTES)
    assert len(kept) <= 2 * Tail.BYTES + 9_000


def test_one_giant_piece_is_cut_as_well() -> None:
    tail = Tail()
    tail.feed(0, b"x" * 1_000_000 + b"\nlast\n")
    assert sum(len(data) for _, data in tail._parts) <= 2 * Tail.BYTES
    assert tail.lines(0, 1) == ["last"]
