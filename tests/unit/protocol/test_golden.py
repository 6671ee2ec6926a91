"""Every message and every event, encoded as when it was released: a changed encoding shows here.

A golden file is never rewritten, since what it holds lies in homes and spools out there; a new field is appended to a
struct, and the old bytes must still decode. `python -m tests.unit.protocol.test_golden` writes the files that are missing: of a
kind with new fields, a further edition.
"""

from __future__ import annotations

import itertools
import types
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relevo.domain import events as e
from relevo.protocol import control
from relevo.protocol import messages as m

FOLDER = Path(__file__).parent / "golden"


def _filled(kind: Any) -> Any:
    """A value of a type, the same each time, with every field set to something that is no default."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if origin in (typing.Union, types.UnionType):
        return _filled(next(one for one in arguments if one is not type(None)))
    if origin is list:
        return [_filled(arguments[0])]
    if origin is dict:
        return {_filled(arguments[0]): _filled(arguments[1])}
    if kind is m.AnyRecord or (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        hints = typing.get_type_hints(kind, vars(m) | vars(e) | vars(control))
        return kind(**{field.name: _filled(hints[field.name]) for field in msgspec.structs.fields(kind)})
    raise TypeError(kind)


_PLAIN: dict[Any, Any] = {
    str: "tëxt",
    int: 300,
    float: 1.5,
    bool: True,
    bytes: b"\x00\xff",
    Any: {"k": [1, None]},
}
UNIONS = {
    "agent": m.ToEngine | m.ToAgent,
    "record": m.AnyRecord,
    "control": control.ToServer | control.ToClient,
}
EVENTS = typing.get_args(e.Event)
KINDS = [(name, kind) for name, union in UNIONS.items() for kind in typing.get_args(union)]
KINDS += [("event", kind) for kind in EVENTS]


def _encoded(group: str, kind: Any) -> bytes:
    value = _filled(kind)
    return e.encode([value]) if group == "event" else m.encode(value)


def _decoded(group: str, data: bytes) -> Any:
    return e.decode(data)[0] if group == "event" else m.decoder(UNIONS[group]).decode(data)


def _path(group: str, kind: Any, edition: int = 1) -> Path:
    return FOLDER / (
        f"{group}-{kind.__name__}.hex" if edition == 1 else f"{group}-{kind.__name__}.{edition}.hex"
    )


def _editions(group: str, kind: Any) -> list[Path]:
    """The golden files of a kind: a new one for each time that fields were appended to it, or to what it holds."""
    numbers = iter(range(1, 100))
    return list(itertools.takewhile(Path.exists, (_path(group, kind, number) for number in numbers)))


def _default(field: Any) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _is_older(value: Any, filled: Any) -> bool:
    """Whether a value is the filled one, but for fields at the end of structs that have their defaults."""
    if isinstance(filled, msgspec.Struct):
        if type(value) is not type(filled):
            return False
        fields = list(msgspec.structs.fields(filled))
        while fields and getattr(value, fields[-1].name) == _default(fields[-1]):
            fields.pop()
        return all(_is_older(getattr(value, one.name), getattr(filled, one.name)) for one in fields)
    if isinstance(filled, list):
        return len(value) == len(filled) and all(map(_is_older, value, filled))
    return bool(value == filled)


@pytest.mark.parametrize(("group", "kind"), KINDS, ids=lambda one: getattr(one, "__name__", one))
def test_the_encoding_is_the_one_that_was_released(group, kind):
    *older, latest = [bytes.fromhex(path.read_text()) for path in _editions(group, kind)]
    assert _encoded(group, kind) == latest
    assert _decoded(group, latest) == _filled(kind)
    for golden in older:
        assert _is_older(_decoded(group, golden), _filled(kind))


def test_tags_of_events_are_used_once_and_the_known_ones_stay():
    tags = {kind.__struct_config__.tag: kind.__name__ for kind in EVENTS}
    assert len(tags) == len(EVENTS)
    assert [tags[number] for number in (1, 7, 12, 21)] == [
        "RunAccepted",
        "AttemptStarted",
        "AttemptEnded",
        "RunEnded",
    ]


def test_no_golden_file_is_left_over():
    assert set(FOLDER.iterdir()) == {path for one in KINDS for path in _editions(*one)}


if __name__ == "__main__":
    for one in KINDS:
        written = _editions(*one)
        if not written or bytes.fromhex(written[-1].read_text()) != _encoded(*one):
            _path(*one, len(written) + 1).write_text(_encoded(*one).hex() + "\n")
