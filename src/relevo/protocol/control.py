"""What a command line says to a living engine, over the engine's own socket.

One request a connection at a time, numbered; answers carry the number. A streaming answer is any number of `Item`s,
then a `Done` or a `Failed`. The first message of a connection tells what it is: an agent's Hello, or a Call.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from relevo.protocol.messages import Message


class Call(Message, frozen=True, array_like=True):
    """Call a method of `orchestrator.api.EngineApi`."""

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


class Method(Struct, frozen=True):
    """A method of the API as it goes over the wire."""

    streams: bool = False
    #: argument → its type, where it is no JSON-like value
    types: dict[str, Any] = {}
    result: Any = None  #: type of the result, or of each item; None: a JSON-like value

    def decode_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Arguments with the types that the method expects. Raises msgspec.ValidationError."""
        return {
            name: msgspec.convert(value, self.types[name]) if name in self.types else value
            for name, value in arguments.items()
        }


#: Filled by `orchestrator.api`, which knows the types.
METHODS: dict[str, Method] = {}
