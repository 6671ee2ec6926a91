"""What the terminal on the other end can do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, TextIO

#: Variables that terminals with links set, and what TERM begins with in others.
_LINKING: Final = ("KITTY_WINDOW_ID", "WT_SESSION", "KONSOLE_VERSION", "DOMTERM", "ALACRITTY_WINDOW_ID")
_LINKING_PROGRAMS: Final = frozenset({"iTerm.app", "WezTerm", "vscode", "ghostty", "Hyper", "Tabby", "rio"})
_LINKING_TERMS: Final = ("xterm-kitty", "alacritty", "foot", "xterm-ghostty", "contour", "wezterm")
#: VTE 0.50 (GNOME's and many other terminals) has links that do not crash it.
_VTE: Final = 5000
#: When a terminal does not know its size.
_COLUMNS, _ROWS = 80, 24


def redraws(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether lines can be drawn again there: a terminal with a cursor, that nobody wants plain, and not of another CI."""
    return (
        environ.get("TERM", "dumb") not in ("dumb", "")
        and not environ.get("NO_COLOR")
        and environ.get("CI", "").lower() in ("", "0", "false")
        and stream.isatty()
    )


def links(environ: Mapping[str, str]) -> bool:
    """Whether the terminal is known to show OSC 8 links: others might show them as rubbish."""
    if environ.get("TERM", "").startswith(("screen", "tmux")):
        return environ.get("TERM_PROGRAM") == "tmux" and _version(environ) >= (3, 4)
    return (
        any(environ.get(name) for name in _LINKING)
        or environ.get("TERM_PROGRAM") in _LINKING_PROGRAMS
        or environ.get("TERM", "").startswith(_LINKING_TERMS)
        or (environ.get("VTE_VERSION", "").isdecimal() and int(environ["VTE_VERSION"]) >= _VTE)
    )


def _version(environ: Mapping[str, str]) -> tuple[int, int]:
    major, _, minor = environ.get("TERM_PROGRAM_VERSION", "").partition(".")
    digits = "".join(character for character in minor if character.isdecimal())
    return (int(major), int(digits)) if major.isdecimal() and digits else (0, 0)


def size(fd: int) -> tuple[int, int]:
    """Columns and rows of a terminal."""
    try:
        columns, rows = os.get_terminal_size(fd)
    except OSError:
        columns, rows = 0, 0
    return columns or _COLUMNS, rows or _ROWS
