"""The patterns of `branches`, `tags` and `paths`.

`*` anything but /, `**` anything, `**/` any folders or none, `?` and `+` zero or one, one or more of what stands before,
`[…]` one of these characters, `\\` takes the next one as it is, `!` in front excludes what earlier patterns took.
Matching walks all ways at once, so that no pattern makes it slow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

_Accepts = Callable[[str], bool]


class _Part(NamedTuple):
    accepts: _Accepts
    optional: bool
    repeats: bool
    folders: bool = False  # ends only at the start or after a /


def _any(_: str) -> bool:
    return True


def _no_slash(character: str) -> bool:
    return character != "/"


_STAR: Final = _Part(_no_slash, True, True)
_DOUBLE_STAR: Final = _Part(_any, True, True)
_FOLDERS: Final = _Part(_any, True, True, folders=True)


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern (without leading !) matches the whole of a text."""
    parts = _parse(pattern)
    end = len(parts)
    states = _spread(parts, {(0, False)})
    for character in text:
        following: set[tuple[int, bool]] = set()
        for index, _ in states:
            if index == end:
                continue
            part = parts[index]
            if not part.accepts(character):
                continue
            if part.folders:
                following.add((index, True))
                if character == "/":
                    following.add((index + 1, False))
            else:
                following.add((index + 1, False))
                if part.repeats:
                    following.add((index, True))
        states = _spread(parts, following)
        if not states:
            return False
    return any(index == end for index, _ in states)


def _spread(parts: Sequence[_Part], states: set[tuple[int, bool]]) -> set[tuple[int, bool]]:
    # a part that may be left out leads on to the next; folders once entered end only at a /
    waiting = list(states)
    while waiting:
        index, inside = waiting.pop()
        if index < len(parts) and parts[index].optional and not (inside and parts[index].folders):
            following = (index + 1, False)
            if following not in states:
                states.add(following)
                waiting.append(following)
    return states


def selects(patterns: Iterable[str], text: str) -> bool:
    """Whether a list of patterns takes a text: the last pattern that matches decides."""
    taken = False
    for pattern in patterns:
        if pattern.startswith("!"):
            if taken and matches(pattern[1:], text):
                taken = False
        elif not taken and matches(pattern, text):
            taken = True
    return taken


@lru_cache(maxsize=1024)
def _parse(pattern: str) -> tuple[_Part, ...]:
    parts: list[_Part] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            if not pattern.startswith("*", position):
                parts.append(_STAR)
                continue
            position += 1
            starts = position == 2 or pattern[position - 3] == "/"
            if starts and pattern.startswith("/", position):
                position += 1
                parts.append(_FOLDERS)
            else:
                parts.append(_DOUBLE_STAR)
        elif character in "?+" and parts and not parts[-1].repeats and not parts[-1].optional:
            before = parts.pop()
            parts.append(_Part(before.accepts, character == "?", character == "+"))
        elif character == "[" and (end := pattern.find("]", position + 1)) > 0:
            parts.append(_Part(_set(pattern[position:end]), False, False))
            position = end + 1
        else:
            if character == "\\" and position < len(pattern):
                character = pattern[position]
                position += 1
            parts.append(_Part(character.__eq__, False, False))
    return tuple(parts)


def _set(body: str) -> _Accepts:
    ranges: list[tuple[str, str]] = []
    position = 0
    while position < len(body):
        low = body[position]
        if position + 2 < len(body) and body[position + 1] == "-":
            ranges.append((low, body[position + 2]))
            position += 3
        else:
            ranges.append((low, low))
            position += 1
    return lambda character: any(low <= character <= high for low, high in ranges)
