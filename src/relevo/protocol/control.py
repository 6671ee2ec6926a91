"""What a command line says to a living engine, over the engine's own socket.

One request a connection at a time, numbered; answers carry the number. A streaming answer is any number of `Item`s,
then a `Done` or a `Failed`. The first message of a connection tells what it is: an agent's Hello, or a Call.
"""

from __future__ import annotations

from typing import Any

from relevo.protocol.messages import Message


class Call(Message, frozen=True, array_like=True):
    """Call a method of `assembly.api.EngineApi`."""

    number: int
    method: str
    arguments: dict[str, Any]


class Stop(Message, frozen=True, array_like=True):
    """No more items of that call are wanted."""

    number: int


class Item(Message, frozen=True, array_like=True):
    """One of many answers."""

    number: int
    value: Any


class Done(Message, frozen=True, array_like=True):
    """The answer, or the end of a stream."""

    number: int
    value: Any = None


class Failed(Message, frozen=True, array_like=True):
    """The call failed. `kind`: user (what was asked is wrong), or internal."""

    number: int
    kind: str
    message: str
    hint: str | None = None


ToServer = Call | Stop
ToClient = Item | Done | Failed
