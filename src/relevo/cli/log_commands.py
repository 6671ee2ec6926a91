"""Log lines that are commands to the runner (`::error file=x::it broke`), as people want to read them.

The raw log keeps them. Which of them took effect is the agent's to say, in events; this is about looks only.
"""

from __future__ import annotations

import re
from typing import Final

_COMMAND: Final = re.compile(r"^\s*::([a-zA-Z-]+)(?: ([^:]*(?::(?!:)[^:]*)*))?::(.*)$", re.DOTALL)
_ANNOTATIONS: Final = frozenset({"error", "warning", "notice"})
_SILENT: Final = frozenset(
    {
        "add-mask",
        "add-matcher",
        "add-path",
        "echo",
        "endgroup",
        "remove-matcher",
        "save-state",
        "set-output",
        "stop-commands",
    }
)


def readable(line: str, *, annotations: bool) -> str | None:
    """A line as it is shown, None when it is not. `annotations`: show them here, since nobody else does."""
    if "::" not in line or not line.lstrip().startswith("::"):
        return line
    found = _COMMAND.match(line)
    if found is None:
        return line
    name, properties, message = found[1].lower(), found[2] or "", _unescaped(found[3])
    if name in _ANNOTATIONS:
        return _annotation(name, properties, message) if annotations else None
    if name == "group":
        return f"▾ {message}"
    if name == "debug":
        return f"debug {message}"
    return None if name in _SILENT else line


def _annotation(name: str, properties: str, message: str) -> str:
    given = dict(part.strip().partition("=")[::2] for part in properties.split(","))
    place = given.get("file", "")
    if place and given.get("line"):
        place += f":{given['line']}"
    first = message.partition("\n")[0]
    return f"{name} {': '.join(part for part in (place, given.get('title', ''), first) if part)}"


def _unescaped(text: str) -> str:
    return text.replace("%0D", "").replace("%0A", "\n").replace("%25", "%")
