"""From a matrix to its combinations: the cross product, less what `exclude` names, plus what `include` adds.

Source of the rules: actions/runner, Sdk/WorkflowParser/Conversion/MatrixBuilder.cs.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from relevo.domain.errors import UserError
from relevo.workflow.expressions import Value, equal, to_text
from relevo.workflow.expressions.values import fold, lookup

INCLUDE: Final = "include"
EXCLUDE: Final = "exclude"
#: Most legs of one run, unless it is raised.
MAX_LEGS: Final = 10_000
#: A cross product may be this many times the limit before `exclude` has taken its part; nobody shall wait for more.
_MOST_EXCLUDED: Final = 100


class MatrixInvalid(UserError):
    """A matrix, once evaluated, that has no meaning."""


class Combination(Struct, frozen=True):
    """One leg of a matrix."""

    values: dict[str, Value]
    segments: tuple[
        str, ...
    ]  #: what tells it apart, for its name; what `include` added to it is not part of it


def expand(matrix: dict[str, Value], limit: int = MAX_LEGS) -> list[Combination]:
    """All combinations of an evaluated matrix, in GitHub's order: the last key varies fastest, additions come last.

    The list is empty when everything was excluded. Raises MatrixInvalid, also when there are more than `limit`,
    before they are made.
    """
    vectors = {key: _vector(key, values) for key, values in matrix.items() if key not in (INCLUDE, EXCLUDE)}
    names = {fold(key): key for key in vectors}
    includes = [_Include(item, names) for item in _mappings(matrix, INCLUDE)]
    excludes = [_exclusion(item, names) for item in _mappings(matrix, EXCLUDE)]
    if not vectors and not includes:
        raise MatrixInvalid("the matrix has no key with values, and no `include`")
    if _size(vectors) > limit * _MOST_EXCLUDED:
        raise _too_many(_size(vectors), limit)
    combinations: list[Combination] = []
    for values in _product(vectors):
        if any(_matches(excluded, values) for excluded in excludes):
            continue
        segments = tuple(_segments(values))
        for include in includes:
            include.extend(values)
        combinations.append(Combination(values, segments))
        if len(combinations) > limit:
            raise _too_many(_size(vectors), limit)
    added = [include.values for include in includes if not include.matched]
    combinations += [Combination(values, tuple(_segments(values))) for values in added]
    if len(combinations) > limit:
        raise _too_many(len(combinations), limit)
    return combinations


def _vector(key: str, values: Value) -> list[Value]:
    if not isinstance(values, list):
        raise MatrixInvalid(f"the matrix key '{key}' must hold a list, not {_kind(values)}")
    if not values:
        raise MatrixInvalid(f"the matrix key '{key}' has no values")
    return values


def _mappings(matrix: dict[str, Value], key: str) -> list[dict[str, Value]]:
    items = matrix.get(key)
    if items is None:
        return []
    if not isinstance(items, list):
        raise MatrixInvalid(f"`{key}` of a matrix must hold a list, not {_kind(items)}")
    for item in items:
        if not isinstance(item, dict):
            raise MatrixInvalid(f"`{key}` of a matrix must hold mappings, not {_kind(item)}")
        if not item:
            raise MatrixInvalid(f"`{key}` of a matrix holds an empty mapping")
    return items


def _kind(value: Value) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return f"'{to_text(value)[:60]}'" if value not in (None, "") else "an empty value"


def _exclusion(item: dict[str, Value], names: dict[str, str]) -> dict[str, Value]:
    for key in item:
        if fold(key) not in names:
            raise MatrixInvalid(f"`exclude` names '{key}', which is no key of this matrix")
    return item


def _size(vectors: dict[str, list[Value]]) -> int:
    size = 1
    for values in vectors.values():
        size *= len(values)
    return size


def _too_many(size: int, limit: int) -> MatrixInvalid:
    return MatrixInvalid(
        f"the matrix has {size} combinations, more than the {limit} legs that the run may still have; "
        "RELEVO_JOB_LIMIT raises the limit"
    )


def _product(vectors: dict[str, list[Value]]) -> Any:
    from itertools import product

    if vectors:
        keys = list(vectors)
        for values in product(*vectors.values()):
            yield dict(zip(keys, values, strict=True))


def _matches(wanted: Value, actual: Value) -> bool:
    if isinstance(wanted, dict):
        return all(_matches(value, lookup(actual, key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        return all(_matches(value, lookup(actual, index)) for index, value in enumerate(wanted))
    return equal(actual, wanted)


class _Include:
    """An entry of `include`: what it must match of the matrix's own keys, and what it adds."""

    def __init__(self, item: dict[str, Value], names: dict[str, str]) -> None:
        self.wanted = {key: value for key, value in item.items() if fold(key) in names}
        self.extra = {key: value for key, value in item.items() if fold(key) not in names}
        self.matched = False

    @property
    def values(self) -> dict[str, Value]:
        return {**self.wanted, **self.extra}

    def extend(self, values: dict[str, Value]) -> None:
        if all(_matches(value, lookup(values, key)) for key, value in self.wanted.items()):
            self.matched = True
            values.update(self.extra)


def _segments(value: Value) -> list[str]:
    if isinstance(value, dict):
        return [segment for item in value.values() for segment in _segments(item)]
    if isinstance(value, list):
        return [segment for item in value for segment in _segments(item)]
    text = to_text(value)
    return [text] if text else []
