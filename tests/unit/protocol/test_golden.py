"""Every message and every event, encoded as when it was released: a changed encoding shows here.

A golden file is never rewritten, since what it holds lies in homes and spools out there; a new field is appended to a
struct, and the old bytes must still decode. `python -m tests.unit.protocol.test_golden` writes the files that are missing.
"""

from __future__ import annotations

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


def _path(group: str, kind: Any) -> Path:
    return FOLDER / f"{group}-{kind.__name__}.hex"


@pytest.mark.parametrize(("group", "kind"), KINDS, ids=lambda one: getattr(one, "__name__", one))
def test_the_encoding_is_the_one_that_was_released(group, kind):
    golden = bytes.fromhex(_path(group, kind).read_text())
    assert _decoded(group, golden) == _filled(kind)
    assert _encoded(group, kind) == golden


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
    assert {path.name for path in FOLDER.iterdir()} == {_path(*one).name for one in KINDS}


if __name__ == "__main__":
    for one in KINDS:
        if not _path(*one).exists():
            _path(*one).write_text(_encoded(*one).hex() + "\n")
