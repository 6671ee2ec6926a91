"""A connection: uvicorn's, with bounds on what a peer may send, and with what streams need of it.

uvicorn bounds neither the head of a request nor the time that it may take; here both are. And it writes an answer in two pieces, each
with a system call and each header looked through: an answer that is whole goes out at once.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

if TYPE_CHECKING:
    from asyncio import TimerHandle

#: The head of a request: its line and all headers.
HEAD_LIMIT: Final = 32 * 1024
#: Headers of one request at most.
HEADERS_LIMIT: Final = 100
#: The head of a request must be there within this time.
HEAD_S: Final = 20.0
#: What the kernel keeps for a stream that is not read.
STREAM_BUFFER_BYTES: Final = 64 * 1024


class Connection(HttpToolsProtocol):
    """See the module. `lost` once the peer is gone."""

    lost = False

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.on_lost: Callable[[], None] | None = None
        self.on_writable: Callable[[], None] | None = None
        self._head_bytes = 0
        self._in_head = True
        self._begun = False  # a head that is not whole, and that no deadline is set for
        self._chunk_bytes = 0
        self._deadline: TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._settle()
        super().connection_lost(exc)
        told, self.on_lost, self.on_writable = self.on_lost, None, None
        if told is not None:
            told()

    def data_received(self, data: bytes) -> None:
        self._chunk_bytes = len(data)
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._begun:  # most heads come whole, and need no timer
            self._begun = False
            self._await_head()
        if self._in_head and self._head_bytes > HEAD_LIMIT:
            self._refuse(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begun = True
        self.scope["relevo.connection"] = self  # type: ignore[typeddict-unknown-key]

    def on_headers_complete(self) -> None:
        self._begun = False
        self._settle()
        self._in_head = False
        if len(self.headers) > HEADERS_LIMIT or self._head_is_large():
            self._refuse(b"431 Request Header Fields Too Large")
            raise ValueError("the head of the request is too large")  # the parser stops here
        super().on_headers_complete()

    def _head_is_large(self) -> bool:
        if self._head_bytes + self._chunk_bytes <= HEAD_LIMIT:
            return False  # no more than that came in all since it began
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_LIMIT

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.scope["relevo.cycle"] = cycle  # type: ignore[typeddict-unknown-key]
        super()._start_asgi_task(cycle, app)

    def on_message_complete(self) -> None:
        self.scope["relevo.whole"] = True  # type: ignore[typeddict-unknown-key]
        super().on_message_complete()
        self._in_head = True
        self._head_bytes = 0

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.on_writable is not None:
            self.on_writable()

    @property
    def writable(self) -> bool:
        """Whether nothing waits to be sent, as far as this process keeps it."""
        return not (self.lost or self.flow.write_paused)

    def write(self, data: bytes) -> None:
        """Write bytes that are framed as the answer's transfer encoding asks."""
        self.transport.write(data)

    def answer(
        self, cycle: RequestResponseCycle, status: int, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> bool:
        """Write the answer to a request, whole, as `cycle.send` would. False: nothing is written, and that has to do it.

        That is so where the peer does not read, and for headers that uvicorn refuses.
        """
        if (
            cycle.response_started
            or cycle.disconnected
            or cycle.waiting_for_100_continue
            or self.flow.write_paused
        ):
            return False
        parts = [STATUS_LINE[status]]
        for name, value in (*cycle.default_headers, *headers):
            if name == b"connection":
                return False
            parts += (name, b": ", value, b"\r\n")
        head = b"".join(parts)
        lines = 1 + len(cycle.default_headers) + len(headers)
        if head.count(b"\r") != lines or head.count(b"\n") != lines or b"\0" in head:
            return False
        close = b"" if cycle.keep_alive else b"connection: close\r\n"
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        self.transport.write(b"%b%bcontent-length: %d\r\n\r\n%b" % (head, close, len(body), body))
        if close:
            self.transport.close()
        cycle.on_response()
        return True

    def become_stream(self) -> None:
        """Keep hardly anything for a peer that does not read."""
        self.transport.set_write_buffer_limits(high=0)
        found: socket.socket | None = self.transport.get_extra_info("socket")
        if found is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_BUFFER_BYTES)

    def end_stream(self) -> None:
        """As it was before."""
        self.on_lost = self.on_writable = None
        if not self.lost:
            self.transport.set_write_buffer_limits()

    def _await_head(self) -> None:
        self._settle()
        self._in_head = True
        self._deadline = self.loop.call_later(HEAD_S, self._too_slow)

    def _settle(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._refuse(b"408 Request Timeout")

    def _refuse(self, status: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            )
            self.transport.close()


def chunk(data: bytes) -> bytes:
    """Bytes framed for chunked transfer encoding."""
    return b"%x\r\n%b\r\n" % (len(data), data)
