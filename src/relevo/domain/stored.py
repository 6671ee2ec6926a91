"""What the store hands back: a committed append. It stands here because store, bus and followers all speak of it."""

from __future__ import annotations

from msgspec import Struct


class Stored(Struct, frozen=True, gc=False):
    """One append, as read back."""

    sequence: int  #: global, gapless order of commits; what followers resume from
    stream: str
    version: int  #: 1 for the first append of a stream
    epoch: int
    at_ms: int
    events: bytes
