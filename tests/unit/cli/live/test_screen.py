from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relevo.cli.cells import clipped
from relevo.cli.live.screen import Screen
from tests.unit.cli.terminal import Terminal

LINE = (
    st.lists(st.sampled_from(["a", "b", " ", "模", "✨", "e\u0301"]), max_size=12)
    .map("".join)
    .map(lambda text: clipped(text, 19).rstrip())
)
STEPS = st.lists(st.tuples(st.lists(LINE, max_size=3), st.lists(LINE, max_size=7)), max_size=8)


@given(STEPS)
def test_what_stays_stands_above_what_is_drawn_whatever_was_drawn_before(
    steps: list[tuple[list[str], list[str]]],
) -> None:
    terminal, screen = Terminal(20, 8), Screen()
    stayed: list[str] = []
    for above, frame in steps:
        terminal.feed(screen.paint(above, frame, 20))
        stayed += above
        shown = [*stayed, *frame]
        while shown and not shown[-1]:
            shown.pop()
        assert _without_end(terminal.everything) == shown
        assert terminal.cursor_shown
    terminal.feed(screen.paint([], [], 20))
    assert _without_end(terminal.everything) == _without_end(stayed)


def _without_end(lines: list[str]) -> list[str]:
    while lines and not lines[-1]:
        lines = lines[:-1]
    return lines


def test_what_has_not_changed_is_not_sent() -> None:
    screen = Screen()
    screen.paint(["heading"], ["one", "two", "three"], 20)
    assert screen.paint([], ["one", "two", "three"], 20) == ""
    changed = screen.paint([], ["one", "2", "three"], 20)
    assert "one" not in changed
    assert "2" in changed


def test_what_was_typed_goes_with_the_next_change() -> None:
    terminal, screen = Terminal(20, 8), Screen()
    terminal.feed(screen.paint([], ["one", "two"], 20))
    terminal.feed("^C")
    terminal.feed(screen.paint([], ["1", "two"], 20))
    assert terminal.lines == ["1", "two"]


def test_a_window_that_became_narrower_has_wrapped_what_was_drawn() -> None:
    screen = Screen()
    screen.paint([], ["a" * 30, "b" * 11, "c"], 40)
    # The first line takes three rows now, the second two.
    assert "\x1b[5A" in screen.paint([], ["new"], 10)


def test_after_somebody_else_has_written_drawing_begins_anew() -> None:
    screen = Screen()
    screen.paint([], ["one", "two"], 20)
    screen.forget()
    text = screen.paint([], ["one", "two"], 20)
    assert "one" in text
    assert "\x1b[1A" not in text
