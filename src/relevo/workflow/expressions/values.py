"""Values of the expression language, and how they turn into one another.

A value is None, bool, int or float (a number), str, list (an array) or dict (an object). The rules are those of
GitHub's runner: JavaScript's abstract comparison, but strings compare without case, and objects and arrays are
equal only to themselves.
Source of the rules: actions/runner, Sdk/Expressions/EvaluationResult.cs and Operators/Index.cs.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

Value = Any

NAN: Final = float("nan")
_DECIMAL: Final = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\Z", re.ASCII)
_HEX: Final = re.compile(r"0x[0-9a-fA-F]+\Z")
_OCTAL: Final = re.compile(r"0o[0-7]+\Z")
_PLAIN_DIGITS: Final = 10**15


class Filtered(list[Value]):
    """What `.*` yields. A property of it is that property of each of its items."""


class ExactDict(dict[str, Value]):
    """An object whose names are told apart by case, as environment variables are."""


def truthy(value: Value) -> bool:
    """Whether a value counts as true: all but null, false, 0, NaN and ''."""
    if isinstance(value, (list, dict)):
        return True
    if not value:
        return False
    return bool(value == value)  # NaN is the one value that differs from itself


def to_number(value: Value) -> float:
    """A value as a number, as JavaScript's Number() does; NaN for what is none."""
    if value is None:
        return 0
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return parse_number(value)
    return NAN


def parse_number(text: str) -> float:
    """A text as a number: decimal, `0x` and `0o` of 32 bits, Infinity; blank is 0; NaN for anything else."""
    text = text.strip()
    if not text:
        return 0.0
    if _DECIMAL.match(text):
        return float(text)
    if _HEX.match(text) and len(text) <= 10:
        return float(_signed_32(int(text[2:], 16)))
    if _OCTAL.match(text) and len(text) <= 13:
        number = int(text[2:], 8)
        return float(_signed_32(number)) if number < 1 << 32 else NAN
    if text in ("Infinity", "+Infinity"):
        return math.inf
    return -math.inf if text == "-Infinity" else NAN


def _signed_32(number: int) -> int:
    return number - (1 << 32) if number >= 1 << 31 else number


def to_text(value: Value) -> str:
    """A value as text: null is '', numbers have at most 15 digits, an array is 'Array', an object 'Object'."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, (int, float)):
        return _number_text(value)
    return "Object" if isinstance(value, dict) else "Array"


def _number_text(value: float) -> str:
    if isinstance(value, int):
        if -_PLAIN_DIGITS < value < _PLAIN_DIGITS:
            return str(value)
        try:
            value = float(value)
        except OverflowError:
            return "Infinity" if value > 0 else "-Infinity"
    if math.isfinite(value):
        if value == 0:
            return "0"
        return f"{value:.15G}"
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def fold(text: str) -> str:
    """A text in upper case, character by character, so that texts that differ in case alone become equal.

    Length never changes, and no other letter becomes an ASCII one (dotless i, long s), as in .NET's OrdinalIgnoreCase.
    """
    if text.isascii():
        return text.upper()
    return "".join(map(_fold_character, text))


def _fold_character(character: str) -> str:
    upper = character.upper()
    if len(upper) != 1 or (upper.isascii() and not character.isascii()):
        return character
    return upper


def equal(left: Value, right: Value) -> bool:
    """`left == right` of the language."""
    if isinstance(left, str) and isinstance(right, str):
        return left == right or (len(left) == len(right) and fold(left) == fold(right))
    if isinstance(left, (list, dict)) or isinstance(right, (list, dict)):
        return left is right
    if left is None and right is None:
        return True
    return to_number(left) == to_number(right)


def less(left: Value, right: Value) -> bool:
    """`left < right` of the language."""
    if isinstance(left, str) and isinstance(right, str):
        return fold(left) < fold(right)
    if isinstance(left, (list, dict)) or isinstance(right, (list, dict)):
        return False
    return to_number(left) < to_number(right)


def lookup(target: Value, key: Value) -> Value:
    """`target[key]`: null when there is nothing. Names of objects are found without regard to case."""
    if isinstance(target, dict):
        if not isinstance(key, str):
            if isinstance(key, (list, dict)):
                return None
            key = to_text(key)
        return _member(target, key)
    if isinstance(target, list):
        if isinstance(target, Filtered):
            return _pluck(target, key)
        index = _index(key)
        return target[index] if index is not None and index < len(target) else None
    return None


_MISSING: Final = object()


def _member(target: dict[str, Value], name: str, default: Value = None) -> Value:
    found = target.get(name, _MISSING)
    if found is not _MISSING:
        return found
    if type(target) is ExactDict:
        return default
    folded = fold(name)
    for key, value in target.items():
        if len(key) == len(name) and fold(key) == folded:
            return value
    return default


def _index(key: Value) -> int | None:
    number = to_number(key)
    if not number >= 0 or number > 0x7FFFFFFF:
        return None
    return int(number)


def _pluck(items: Filtered, key: Value) -> Filtered:
    plucked = Filtered()
    name = None if isinstance(key, (list, dict)) else to_text(key)
    index = _index(key)
    for item in items:
        if isinstance(item, dict):
            if name is not None:
                value = _member(item, name, _MISSING)
                if value is not _MISSING:
                    plucked.append(value)
        elif isinstance(item, list) and index is not None and index < len(item):
            plucked.append(item[index])
    return plucked


def spread(target: Value) -> Filtered:
    """`target.*`: all values of an object, all items of an array; of a filtered array, those of each item."""
    if isinstance(target, dict):
        return Filtered(target.values())
    if isinstance(target, Filtered):
        spreaded = Filtered()
        for item in target:
            if isinstance(item, dict):
                spreaded.extend(item.values())
            elif isinstance(item, list):
                spreaded.extend(item)
        return spreaded
    return Filtered(target) if isinstance(target, list) else Filtered()
