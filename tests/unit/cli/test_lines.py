from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relevo.cli.lines import PIECE, Lines
from relevo.cli.log_commands import readable


def all_lines(chunks: list[bytes], *, annotations: bool = True) -> list[str]:
    lines = Lines(colours=False, annotations=annotations)
    told: list[str] = []
    for chunk in chunks:
        told += lines.feed(chunk)
    return told + lines.feed(b"", final=True)


@given(
    st.lists(st.sampled_from([b"a", "é".encode(), b"\n", b"\r\n", b"\xff", b"::group::x\n", b" "])), st.data()
)
def test_any_chunking_gives_the_same_lines(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)))))
    chunks = [whole[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert all_lines(chunks) == all_lines([whole])


def test_an_empty_line_is_a_line() -> None:
    assert all_lines([b"a\n\nb"]) == ["a", "", "b"]


def test_a_line_without_an_end_takes_no_memory() -> None:
    lines = Lines(colours=False, annotations=True)
    shown = sum(len(line) for _ in range(100) for line in lines.feed(b"x" * 10_000))
    assert shown >= 1_000_000 - PIECE
    assert all(len(line) <= PIECE for line in lines.feed(b"y" * 50_000))


def test_commands_to_the_runner_are_shown_as_what_they_say() -> None:
    log = b"::group::Build\nworks\n::endgroup::\n::error file=a.py,line=3,title=Bad::it broke%0Abadly\n::add-mask::x\n"
    assert all_lines([log]) == ["▾ Build", "works", "error a.py:3: Bad: it broke"]
    assert all_lines([log], annotations=False) == ["▾ Build", "works"]


def test_what_only_looks_like_a_command_is_text() -> None:
    for line in ("::", "a ::error::b", "::no such thing", "std::vector", "::unknown::x"):
        assert readable(line, annotations=True) == line
