from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relevo.cli.markdown import LIMIT, plain


def test_a_summary_reads_well_without_looks() -> None:
    source = "\n".join(
        [
            "## Tests **passed**",
            "",
            "| project | tests |",
            "|:--|--:|",
            "| `attrs` | [12](http://x/y) |",
            "",
            "- *all* of <b>them</b>",
            "```",
            "| not | a table |",
            "```",
        ]
    )
    assert plain(source) == [
        ("Tests passed", True),
        ("", False),
        ("  project  tests", False),
        ("  attrs    12 (http://x/y)", False),
        ("", False),
        ("- all of them", False),
        ("    | not | a table |", False),
    ]


def test_what_is_no_markup_stays() -> None:
    assert plain("a_b_c 2 * 3 * 4 <5 > 4") == [("a_b_c 2 * 3 * 4 <5 > 4", False)]


def test_a_long_summary_is_cut_and_says_so() -> None:
    lines = plain("\n".join(f"- {number}" for number in range(1000)))
    assert len(lines) == LIMIT + 1
    assert lines[-1] == (f"… and {1000 - LIMIT} more lines", False)


@given(st.text(alphabet="|`#*_[]()!<>- \n\x1bab\\", max_size=200))
def test_any_text_is_rendered_without_escapes(source: str) -> None:
    assert all("\x1b" not in line and "\n" not in line for line, _ in plain(source))
