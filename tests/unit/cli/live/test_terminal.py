from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TextIO

import pytest

from relevo.cli.live import terminal


@pytest.fixture
def tty() -> Iterator[TextIO]:
    leader, follower = os.openpty()
    with open(follower, "w") as stream:
        yield stream
    os.close(leader)


@pytest.mark.parametrize(
    ("environ", "redraws"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "CI": "false"}, True),
        ({"TERM": "xterm", "CI": "true"}, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": ""}, False),
        ({}, False),
    ],
)
def test_where_lines_are_drawn_again(tty: TextIO, environ: dict[str, str], redraws: bool) -> None:
    assert terminal.redraws(tty, environ) is redraws


def test_a_file_is_no_terminal() -> None:
    with open(os.devnull, "w") as file:
        assert not terminal.redraws(file, {"TERM": "xterm"})


@pytest.mark.parametrize(
    ("environ", "links"),
    [
        ({"TERM": "xterm"}, False),
        ({"TERM": "linux"}, False),
        ({"TERM": "xterm-kitty"}, True),
        ({"TERM": "xterm-256color", "VTE_VERSION": "6800"}, True),
        ({"TERM": "xterm-256color", "VTE_VERSION": "4800"}, False),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "vscode"}, True),
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "tmux", "TERM_PROGRAM_VERSION": "3.4a"}, True),
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "tmux", "TERM_PROGRAM_VERSION": "3.3a"}, False),
        ({"TERM": "screen", "VTE_VERSION": "6800"}, False),
    ],
)
def test_links_are_for_terminals_that_are_known_to_show_them(environ: dict[str, str], links: bool) -> None:
    assert terminal.links(environ) is links


def test_a_terminal_without_a_size_is_an_ordinary_one(tty: TextIO) -> None:
    assert terminal.size(tty.fileno()) == (80, 24)
    with open(os.devnull) as file:
        assert terminal.size(file.fileno()) == (80, 24)


def test_a_terminal_with_a_size(tty: TextIO) -> None:
    import termios

    termios.tcsetwinsize(tty.fileno(), (10, 40))
    assert terminal.size(tty.fileno()) == (40, 10)
