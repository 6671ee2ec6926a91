"""The engine's socket: agents and command lines come through the same door.

The first frame of a connection tells who it is: an agent's Hello goes to the worker manager, a Call to the API. The
socket lies in a folder that is its owner's alone, and takes connections of that user and of root only.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

import msgspec

from relevo.domain.errors import RelevoError, UserError
from relevo.logs.contract import LogFrame
from relevo.protocol import control
from relevo.protocol.framing import FrameReader, frame
from relevo.protocol.messages import decoder, encode
from relevo.store.contract import Fenced
from relevo.workers.link import Link

#: Items of a stream that wait to be sent at most, before its source is paused.
HIGH_WATER: Final = 1 << 20

_first = decoder(control.ToServer)


class Caller(asyncio.Protocol):
    """One command line's connection."""

    def __init__(self, api: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._api = api
        self._loop = loop
        self._reader = FrameReader()
        self._transport: Any = None
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER)

    def connection_lost(self, error: Exception | None) -> None:
        for task in self._calls.values():
            task.cancel()
        self._transport = None

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            for payload in self._reader.feed(data):
                message = _first.decode(payload)
                if isinstance(message, control.Stop):
                    task = self._calls.get(message.number)
                    if task is not None:
                        task.cancel()
                else:
                    self._calls[message.number] = self._loop.create_task(self._answer(message))
        except (msgspec.DecodeError, RelevoError):
            self._transport.abort()

    def _send(self, message: Any) -> None:
        if self._transport is not None:
            self._transport.write(frame(encode(message)))

    async def _answer(self, call: control.Call) -> None:
        number = call.number
        try:
            method = control.METHODS.get(call.method)
            if method is None:
                raise UserError(f"this engine has no {call.method}", hint="is it older than this program?")
            arguments = method.decode_arguments(call.arguments)
            if method.streams:
                source = getattr(self._api, call.method)(**arguments)
                try:
                    async for item in source:
                        await self._writable.wait()
                        self._send(control.Item(number, _plain(item)))
                finally:
                    await source.aclose()
                self._send(control.Done(number))
            else:
                value = await getattr(self._api, call.method)(**arguments)
                self._send(control.Done(number, msgspec.to_builtins(value, builtin_types=(bytes,))))
        except Fenced:
            # This engine is none any more: the caller asks the one that is.
            if self._transport is not None:
                self._transport.abort()
        except (msgspec.ValidationError, TypeError) as error:
            self._send(control.Failed(number, "user", f"{call.method} cannot be asked so: {error}"))
        except UserError as error:
            self._send(control.Failed(number, "user", error.message, error.hint))
        except Exception as error:
            # Whatever it was, the caller must not wait for an answer that never comes.
            self._send(control.Failed(number, "internal", f"{type(error).__name__}: {error}"))
            if not isinstance(error, RelevoError | OSError):
                raise
        finally:
            self._calls.pop(number, None)


def _plain(item: Any) -> Any:
    if isinstance(item, LogFrame):
        # msgspec would write a view of bytes as base64.
        return [item.offset, item.step, item.at_ms, bytes(item.data)]
    return msgspec.to_builtins(item, builtin_types=(bytes,))


class _Doorkeeper(asyncio.Protocol):
    """Waits for the first frame, then hands the connection over."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._buffer = bytearray()
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._door.waiting.add(transport)
        peer = transport.get_extra_info("socket")
        if peer is not None:
            credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            uid = struct.unpack("3i", credentials)[1]
            if uid not in (0, os.getuid()):
                transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._door.waiting.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        # A frame's payload is an array whose first item is the message's name, a short string.
        if len(self._buffer) < 12:
            return
        head = bytes(self._buffer[4:32])
        self._door.waiting.discard(self._transport)
        protocol = self._door.for_agent() if b"\xa5Hello" in head[:9] else self._door.for_caller()
        known = self._door.open_connections
        known -= {transport for transport in known if transport.is_closing()}
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        self._door.open_connections.add(self._transport)
        protocol.data_received(bytes(self._buffer))


class Door:
    """Listens on the socket."""

    def __init__(
        self,
        path: str,
        loop: asyncio.AbstractEventLoop,
        for_agent: Callable[[], Link],
        api: Any,
    ) -> None:
        self._path = path
        self._loop = loop
        self._server: asyncio.Server | None = None
        self._inode = 0
        self.waiting: set[Any] = set()
        self.open_connections: set[Any] = set()
        self.for_agent = for_agent
        self.for_caller: Callable[[], asyncio.Protocol] = lambda: Caller(api, loop)

    async def open(self) -> None:
        """Listen; whoever listened here before loses the address, so that nobody finds them any more."""
        temporary = f"{self._path}.new"  # one name for all: whoever is killed here leaves it to the next
        listener = socket.socket(
            socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        )
        try:
            os.unlink(temporary)
        except FileNotFoundError:
            pass  # the ordinary case
        listener.bind(temporary)
        os.chmod(temporary, 0o600)
        listener.listen(128)
        self._inode = os.stat(temporary).st_ino
        self._server = await self._loop.create_unix_server(lambda: _Doorkeeper(self), sock=listener)
        os.replace(temporary, self._path)

    @property
    def displaced(self) -> bool:
        """Whether the address leads to somebody else by now."""
        try:
            return os.stat(self._path).st_ino != self._inode
        except FileNotFoundError:
            return False

    async def close(self) -> None:
        """Stop listening, and close what is open. Idempotent."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        try:
            if os.stat(self._path).st_ino == self._inode:
                os.unlink(self._path)
        except FileNotFoundError:
            pass  # somebody else has taken the address, and left
        for transport in (*self.waiting, *self.open_connections):
            transport.close()
        await server.wait_closed()
