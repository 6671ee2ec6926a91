"""Rows and what they hold: checksums, and the read model of a run as bytes."""

from __future__ import annotations

from struct import Struct as Layout
from typing import Any, Final
from zlib import crc32

from msgspec import msgpack
from msgspec.structs import astuple

from relevo.store.contract import RunRow

#: sequence, previous, version, epoch, at_ms, count
_KEYS: Final = Layout("<6q").pack
_encode: Final = msgpack.Encoder().encode
_decode: Final = msgpack.Decoder(list[Any]).decode


def append_checksum(
    sequence: int, previous: int, stream: str, version: int, epoch: int, at_ms: int, count: int, events: bytes
) -> int:
    """CRC-32 over every column of an append. It finds damage, it does not stop forgery."""
    return crc32(events, crc32(_KEYS(sequence, previous, version, epoch, at_ms, count) + stream.encode()))


def run_checksum(stream: str, live: int, priority: int, created_ms: int, packed: bytes) -> int:
    """CRC-32 over the read model of a run. Version and head are checked by the append that they point to."""
    return crc32(packed, crc32(f"{stream} {live} {priority} {created_ms}".encode()))


def fact_checksum(key: str, value: bytes) -> int:
    """CRC-32 over a fact."""
    return crc32(value, crc32(key.encode()))


def pack_run(row: RunRow) -> bytes:
    """The fields of a run row in order. Later fields are appended and have defaults, so old bytes stay readable."""
    return _encode(astuple(row))


def unpack_run(packed: bytes) -> RunRow:
    """See `pack_run`."""
    return RunRow(*_decode(packed))
