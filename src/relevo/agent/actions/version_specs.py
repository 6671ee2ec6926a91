"""Version specs as the actions that set tools up take them: npm's ranges.

`3.12`, `3.x`, `>=3.9 <3.13`, `~3.11.2`, `^3.9`, `3.9 - 3.12`, `3.10 || 3.12`. Pre-releases are written as Python and Go do
(`3.14.0rc2`, `1.22rc1`) or as npm does (`3.14.0-rc.2`). Source of the rules: node-semver's README.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

_PARTIAL: Final = re.compile(
    r"[v=]*(\d+|[xX*])(?:\.(\d+|[xX*]))?(?:\.(\d+|[xX*]))?(?:-?((?:a|b|rc|alpha|beta)\.?\d+))?"
)
_COMPARATOR: Final = re.compile(r"(<=|>=|<|>|=|\^|~>?|)\s*(\S+)")
_STAGES: Final = {"a": 0, "alpha": 0, "b": 1, "beta": 1, "rc": 2, "c": 2}
_STAGE_NAMES: Final = ("a", "b", "rc")
_FINAL: Final = (3, 0)
#: The pre-release that sorts before all of a version.
_FIRST: Final = (-1, 0)


class SpecInvalid(ValueError):
    """A spec that means nothing, or something that is not served here; the message says which and why."""


class Version(Struct, frozen=True, order=True):
    """A version of a tool."""

    major: int
    minor: int
    micro: int
    stage: tuple[int, int] = _FINAL  #: alpha (0, n), beta (1, n), candidate (2, n), final (3, 0)

    @property
    def is_final(self) -> bool:
        return self.stage == _FINAL

    def __str__(self) -> str:
        pre = "" if self.is_final else f"{_STAGE_NAMES[self.stage[0]]}{self.stage[1]}"
        return f"{self.major}.{self.minor}.{self.micro}{pre}"


class _Range(Struct, frozen=True):
    """From `low` on (included), below `high` (excluded)."""

    low: Version
    high: Version


class Spec(Struct, frozen=True):
    """What versions are asked for."""

    text: str
    alternatives: tuple[tuple[_Range, ...], ...]
    prereleases: bool = False

    def admits(self, version: Version) -> bool:
        """Whether a version is among them."""
        if not version.is_final and not self.prereleases:
            return False
        return any(all(part.low <= version < part.high for part in ranges) for ranges in self.alternatives)

    def may_admit(self, major: int, minor: int) -> bool:
        """Whether any version of a minor release can be among them: spares looking closer at those that cannot."""
        start, end = Version(major, minor, 0, _FIRST), Version(major, minor + 1, 0, _FIRST)
        return any(
            all(part.low < end and start < part.high for part in ranges) for ranges in self.alternatives
        )


_LOWEST: Final = Version(0, 0, 0, _FIRST)
_HIGHEST: Final = Version(1 << 30, 0, 0)


def parse(text: str, *, prereleases: bool = False) -> Spec:
    """A spec from its text. Raises SpecInvalid."""
    asked = text.strip()
    lowered = asked.lower()
    prereleases = prereleases or bool(re.search(r"\d-?(a|b|rc|alpha|beta)\.?\d", lowered))
    alternatives = tuple(_alternative(part.strip(), asked) for part in lowered.split("||"))
    return Spec(asked, alternatives, prereleases)


def parse_version(text: str) -> Version:
    """A version as a tool prints it: `3.12.1`, `3.13.0rc2`, `1.22rc1`. Raises SpecInvalid."""
    match = re.fullmatch(r"v?(\d+)\.(\d+)(?:\.(\d+))?(?:(a|b|beta|c|rc)(\d+))?\+?", text.strip())
    if match is None:
        raise SpecInvalid(f"{text!r} is no version")
    major, minor, micro, stage, serial = match.groups()
    pre = (_STAGES[stage], int(serial)) if stage else _FINAL
    return Version(int(major), int(minor), int(micro or 0), pre)


def _alternative(text: str, whole: str) -> tuple[_Range, ...]:
    if not text:
        return (_Range(_LOWEST, _HIGHEST),)
    if hyphen := re.fullmatch(r"(\S+)\s+-\s+(\S+)", text):
        low, _ = _bounds(hyphen[1], whole)
        _, high = _bounds(hyphen[2], whole)
        return (_Range(low, high),)
    ranges = []
    position = 0
    # Commas part comparators as in Python's own specifiers, which requires-python uses.
    text = re.sub(r"([<>=^~])\s+", r"\1", text.replace(",", " "))
    while position < len(text):
        match = _COMPARATOR.match(text, position)
        assert match is not None
        ranges.append(_comparator(match[1], match[2], whole))
        position = match.end()
        while position < len(text) and text[position] == " ":
            position += 1
    return tuple(ranges)


def _comparator(operator: str, operand: str, whole: str) -> _Range:
    low, high = _bounds(operand, whole)
    match operator:
        case "" | "=":
            return _Range(low, high)
        case ">=":
            return _Range(low, _HIGHEST)
        case ">":
            return _Range(high, _HIGHEST)
        case "<":
            return _Range(
                _LOWEST, low if not low.is_final else Version(low.major, low.minor, low.micro, _FIRST)
            )
        case "<=":
            return _Range(_LOWEST, high)
        case "^":
            return _Range(low, min(Version(low.major + 1, 0, 0, _FIRST), _HIGHEST))
        case _:  # ~ and ~>
            wide = operand.count(".") == 0
            above = (
                Version(low.major + 1, 0, 0, _FIRST) if wide else Version(low.major, low.minor + 1, 0, _FIRST)
            )
            return _Range(low, above)


def _bounds(partial: str, whole: str) -> tuple[Version, Version]:
    """The first version that a partial one (`3`, `3.x`, `3.12`, `3.12.1`) means, and the first after it."""
    match = _PARTIAL.fullmatch(partial)
    if match is None:
        raise SpecInvalid(
            f"{whole!r} is no version spec: {partial!r} is not understood; write it like 3.12, 3.x or '>=3.9 <3.13'"
        )
    major, minor, micro, pre = match.groups()
    if not major.isdigit():
        return _LOWEST, _HIGHEST
    if minor is None or not minor.isdigit():
        return Version(int(major), 0, 0, _FIRST), Version(int(major) + 1, 0, 0, _FIRST)
    if pre and micro is None:
        micro = "0"  # Go calls its first candidate of a minor release 1.22rc1
    if micro is None or not micro.isdigit():
        return Version(int(major), int(minor), 0, _FIRST), Version(int(major), int(minor) + 1, 0, _FIRST)
    if pre:
        stage = re.sub(r"[^a-z]", "", pre)
        exact = Version(int(major), int(minor), int(micro), (_STAGES[stage], int(re.sub(r"\D", "", pre))))
        return exact, Version(exact.major, exact.minor, exact.micro, (exact.stage[0], exact.stage[1] + 1))
    exact = Version(int(major), int(minor), int(micro))
    return exact, Version(exact.major, exact.minor, exact.micro + 1, _FIRST)
