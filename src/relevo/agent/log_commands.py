"""Commands in what a step prints: `::name key=value,key=value::data`, and the older `##[name key=value;key=value]data`.

A command stands at the beginning of a line, blanks before it allowed. Names do not mind case; a line with another name is
plain output. Source: actions/runner, ActionCommand.cs.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

#: Those that mean something. `group`, `endgroup`, `debug` and `echo` are for whoever shows the log.
NAMES: Final = frozenset(
    {
        "add-mask",
        "add-matcher",
        "add-path",
        "debug",
        "echo",
        "endgroup",
        "error",
        "group",
        "notice",
        "remove-matcher",
        "save-state",
        "set-env",
        "set-output",
        "stop-commands",
        "warning",
    }
)
_ESCAPE: Final = re.compile(r"%(0D|0A|25|3A|2C|3B|5D)")
_ESCAPED: Final = {"0D": "\r", "0A": "\n", "25": "%", "3A": ":", "2C": ",", "3B": ";", "5D": "]"}
_DATA: Final = ("0D", "0A", "25")
_PROPERTY: Final = (*_DATA, "3A", "2C")
_OLD: Final = (*_DATA, "3B", "5D")


class LogCommand(Struct, frozen=True):
    """A command that was found in output."""

    name: str  #: in lower case
    data: str = ""
    properties: dict[str, str] = {}
    raw: str = ""  #: the data before it was unescaped


def parse(line: bytes, resume_token: str | None = None) -> LogCommand | None:
    """The command in a line (without its newline), None when it is plain output.

    With `resume_token` only `::TOKEN::` counts: a step has stopped commands until then.
    """
    text = line.decode("utf-8", "replace").strip(" \t\r")
    if text.startswith("::"):
        end = text.find("::", 2)
        if end < 0:
            return None
        name, _, properties = text[2:end].partition(" ")
        data, separator, escapes = text[end + 2 :], ",", _PROPERTY
    elif text.startswith("##["):
        end = text.find("]", 3)
        if end < 0:
            return None
        name, _, properties = text[3:end].partition(" ")
        data, separator, escapes = text[end + 1 :], ";", _OLD
    else:
        return None
    if resume_token is not None:
        return LogCommand(name) if name.lower() == resume_token.lower() else None
    name = name.lower()
    if name not in NAMES:
        return None
    return LogCommand(
        name,
        _unescape(data, _DATA if separator == "," else _OLD),
        _properties(properties, separator, escapes) if properties else {},
        data,
    )


def _properties(text: str, separator: str, escapes: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.strip().split(separator):
        name, equals, value = part.partition("=")
        if equals:
            found[name.strip().lower()] = _unescape(value, escapes)
    return found


def _unescape(text: str, escapes: tuple[str, ...]) -> str:
    if "%" not in text:
        return text

    def replaced(match: re.Match[str]) -> str:
        code = match.group(1)
        return _ESCAPED[code] if code in escapes else match.group()

    return _ESCAPE.sub(replaced, text)
