"""The functions of the language.

`case` and the status functions are compiled by themselves, the others take evaluated arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from relevo.workflow.expressions.errors import ExpressionError
from relevo.workflow.expressions.values import Value, equal, fold, to_text

#: Longest text that a function makes or reads, in characters.
MAX_TEXT: Final = 10_485_760
_MAX_JSON_DEPTH: Final = 100
#: Longest run of digits that a double surely holds.
_INT_DIGITS: Final = 15
_LONG_NUMBER: Final = re.compile(rf"[0-9]{{{_INT_DIGITS + 1}}}", re.ASCII)
_MANY: Final = 255

#: Least and most arguments, by name in lower case.
ARITY: Final[dict[str, tuple[int, int]]] = {
    "contains": (2, 2),
    "startswith": (2, 2),
    "endswith": (2, 2),
    "format": (1, _MANY),
    "join": (1, 2),
    "tojson": (1, 1),
    "fromjson": (1, 1),
    "hashfiles": (1, _MANY),
    "case": (3, _MANY),
    "success": (0, _MANY),
    "failure": (0, _MANY),
    "always": (0, 0),
    "cancelled": (0, 0),
}
#: How functions are written, where that is not all in lower case.
SPELLING: Final = {
    name.lower(): name for name in ("startsWith", "endsWith", "toJSON", "fromJSON", "hashFiles")
}
STATUS: Final = frozenset({"success", "failure", "always", "cancelled"})

_FORMAT: Final = re.compile(r"\{\{|\}\}|\{([0-9]+)\}|[{}]")


def failed(message: str) -> ExpressionError:
    """An error of evaluation."""
    return ExpressionError(message, stage="evaluation")


def _bounded(size: int, function: str) -> None:
    if size > MAX_TEXT:
        raise failed(f"{function}: the text is longer than {MAX_TEXT} characters")


def _contains(where: Value, what: Value) -> bool:
    if isinstance(where, list):
        return any(equal(item, what) for item in where)
    if isinstance(where, dict) or isinstance(what, (list, dict)):
        return False
    return fold(to_text(what)) in fold(to_text(where))


def _starts_with(text: Value, prefix: Value) -> bool:
    if isinstance(text, (list, dict)) or isinstance(prefix, (list, dict)):
        return False
    return fold(to_text(text)).startswith(fold(to_text(prefix)))


def _ends_with(text: Value, suffix: Value) -> bool:
    if isinstance(text, (list, dict)) or isinstance(suffix, (list, dict)):
        return False
    return fold(to_text(text)).endswith(fold(to_text(suffix)))


def _format(template: Value, *arguments: Value) -> str:
    source = to_text(template)
    texts = [to_text(argument) for argument in arguments]
    parts: list[str] = []
    size = position = 0
    for match in _FORMAT.finditer(source):
        found = match.group()
        part = source[position : match.start()]
        position = match.end()
        if found in ("{{", "}}"):
            part += found[0]
        elif match.group(1) is None:
            raise failed(f"format: {source[:80]!r} has a brace that is no placeholder; write {{{{ or }}}}")
        elif len(match.group(1)) > 3 or int(match.group(1)) >= len(texts):
            raise failed(f"format: there is no argument for {found} in {source[:80]!r}")
        else:
            part += texts[int(match.group(1))]
        parts.append(part)
        size += len(part)
        _bounded(size, "format")
    parts.append(source[position:])
    return "".join(parts)


def _join(items: Value, separator: Value = ",") -> str:
    if not isinstance(items, list):
        return "" if isinstance(items, dict) else to_text(items)
    between = "" if isinstance(separator, (list, dict)) else to_text(separator)
    texts = [to_text(item) for item in items]
    _bounded(sum(map(len, texts)) + len(between) * len(texts), "join")
    return between.join(texts)


def _to_json(value: Value) -> str:
    parts: list[str] = []
    size = _write_json(value, "\n", parts, 0)
    _bounded(size, "toJSON")
    return "".join(parts)


def _write_json(value: Value, line: str, parts: list[str], size: int) -> int:
    # `line` is the newline with the indent of the value's own level; the size so far comes back with it added
    if isinstance(value, str):
        text = msgspec.json.encode(value).decode()
    elif value is None:
        text = "null"
    elif isinstance(value, (list, dict)):
        return _write_json_container(value, line, parts, size)
    else:
        text = to_text(value)
    parts.append(text)
    return size + len(text)


def _write_json_container(value: Value, line: str, parts: list[str], size: int) -> int:
    named = isinstance(value, dict)
    if not value:
        parts.append("{}" if named else "[]")
        return size + 2
    parts.append("{" if named else "[")
    inner = line + "  "
    separator = ""
    for item in value.items() if named else value:
        parts.append(separator + inner)
        separator = ","
        size += len(inner) + 1
        if named:
            name, item = item
            size = _write_json(str(name), inner, parts, size) + 2
            parts.append(": ")
        size = _write_json(item, inner, parts, size)
        _bounded(size, "toJSON")
    parts.append(line + ("}" if named else "]"))
    return size + len(line) + 1


def _from_json(text: Value) -> Value:
    source = to_text(text)
    _bounded(len(source), "fromJSON")
    try:
        value = _from_lenient_json(source) if _LONG_NUMBER.search(source) else msgspec.json.decode(source)
    except msgspec.DecodeError:
        value = _from_lenient_json(source)
    except RecursionError:
        raise failed(f"fromJSON: nested deeper than {_MAX_JSON_DEPTH} levels") from None
    if source.count("[") + source.count("{") > _MAX_JSON_DEPTH:
        _check_depth(value)
    return value


def _from_lenient_json(source: str) -> Value:
    # Python's own reader takes what msgspec refuses (NaN), lets long integers become doubles, and says where it gave up
    import json

    try:
        return json.loads(source, parse_int=_integer)
    except json.JSONDecodeError as error:
        shown = "an empty text" if not source.strip() else f"{source[:80]!r}"
        raise failed(
            f"fromJSON: {shown} is no JSON: {error.msg} at line {error.lineno} column {error.colno}"
        ) from None
    except (RecursionError, ValueError) as error:
        raise failed(f"fromJSON: {error}") from None


def _integer(digits: str) -> float:
    # numbers are doubles; one that has more digits than those hold need not be exact
    return int(digits) if len(digits) <= _INT_DIGITS else float(digits)


def _check_depth(value: Value) -> None:
    level = [value]
    for _ in range(_MAX_JSON_DEPTH + 1):
        below: list[Value] = []
        for item in level:
            children = item.values() if isinstance(item, dict) else item
            below.extend(child for child in children if isinstance(child, (list, dict)))
        level = below
        if not level:
            return
    raise failed(f"fromJSON: nested deeper than {_MAX_JSON_DEPTH} levels")


#: Functions of their arguments alone, by name in lower case.
PURE: Final[dict[str, Callable[..., Value]]] = {
    "contains": _contains,
    "startswith": _starts_with,
    "endswith": _ends_with,
    "format": _format,
    "join": _join,
    "tojson": _to_json,
    "fromjson": _from_json,
}
