"""OpenMetrics text as data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

_SAMPLE: Final = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", re.ASCII)
_LABEL: Final = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"', re.ASCII)
_ESCAPED: Final = {"n": "\n"}


def samples(text: str) -> Iterator[dict[str, Any]]:
    """Each sample as `name`, `labels`, `value`; a value that JSON has no number for (NaN, +Inf) as text."""
    for line in text.splitlines():
        found = None if line.startswith("#") else _SAMPLE.match(line)
        if found is None:
            continue
        labels = {name: _unescaped(value) for name, value in _LABEL.findall(found[2] or "")}
        yield {"name": found[1], "labels": labels, "value": _number(found[3])}


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPED.get(found[1], found[1]), text)


def _number(text: str) -> float | int | str:
    try:
        return int(text)
    except ValueError:
        pass
    value = float(text)
    return value if abs(value) < float("inf") else text
