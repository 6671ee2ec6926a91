"""`cron:` of a schedule, as far as it can be wrong: POSIX fields, names of months and days.

Source: crontab of POSIX.1-2017; GitHub, Events that trigger workflows, `schedule`.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_PART: Final = re.compile(r"(\*|[0-9a-z]+)(?:-([0-9a-z]+))?(?:/([0-9]+))?\Z", re.IGNORECASE | re.ASCII)


class _Field(NamedTuple):
    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()


_FIELDS: Final = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 6, _DAYS),
)


def problem(text: str) -> str | None:
    """What is wrong with a cron expression; None when nothing is."""
    words = text.split()
    if len(words) != len(_FIELDS):
        wanted = ", ".join(field.name for field in _FIELDS)
        return f"a cron expression has 5 fields ({wanted}), '{text}' has {len(words)}"
    for word, field in zip(words, _FIELDS, strict=True):
        for part in word.split(","):
            if said := _wrong_part(part, field):
                return said
    return None


def _wrong_part(part: str, field: _Field) -> str | None:
    match = _PART.match(part)
    if match is None:
        return f"'{part}' is no {field.name}: write *, 1, 1-5, */2, or several with commas"
    first, last, step = match.groups()
    if first == "*":
        numbers: list[int | None] = [field.least, field.most]
        if last is not None:
            return f"'{part}' is no {field.name}: * is a range already"
    else:
        numbers = [_number(one, field) for one in (first, last) if one is not None]
    for number in numbers:
        if number is None or not field.least <= number <= field.most:
            return f"'{part}' is no {field.name}: it goes from {field.least} to {field.most}"
    if len(numbers) == 2 and numbers[0] is not None and numbers[1] is not None and numbers[0] > numbers[1]:
        return f"'{part}' is no {field.name}: the range ends before it begins"
    if step is not None and not int(step[:9]):
        return f"'{part}' is no {field.name}: the step must be 1 or more"
    return None


def _number(text: str, field: _Field) -> int | None:
    if text.isdigit():
        return int(text[:9])
    lower = text.lower()
    return field.names.index(lower) + field.least if lower in field.names else None
