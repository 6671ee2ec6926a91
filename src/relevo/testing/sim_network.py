"""Byte streams between hosts on a virtual loop, as asyncio's transports are: and what befalls such streams.

    host A: protocol ─ transport.write ─► (latency, in order) ─► inbox ─► data_received: protocol, host B

Both ends see what asyncio would show them: back-pressure, `connection_lost` once, nothing after an abort. Faults: latency,
a cut that loses what is under way, silence for a while, a frame that is lost, repeated or cut into pieces.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, Final

from relevo.testing.sim_host import SimHost
from relevo.testing.virtual_loop import VirtualLoop

#: Bytes under way beyond which a sender is told to pause, and below which to go on.
HIGH: Final = 65_536
LOW: Final = 16_384
#: Timers that are due at the same moment run in no order: what was sent later arrives later by at least this.
GRAIN_S: Final = 1e-6

Factory = Callable[[], asyncio.Protocol]


class SimTransport:
    """One end of a connection."""

    def __init__(self, network: SimNetwork, host: SimHost, address: str) -> None:
        self.host = host
        self.address = address
        self.peer: SimTransport = self
        self.protocol: Any = None
        self.closed = False
        self.frames_to_lose = 0  #: of those to be written next
        self.frames_to_repeat = 0
        self._network = network
        self._inbox: deque[bytes | None] = deque()
        self._reading = True
        self._told = False
        self._latest = 0.0
        self._under_way = 0
        self._holding = False

    # --- what protocols call

    def write(self, data: bytes) -> None:
        """See asyncio.WriteTransport."""
        if self.closed or self.host.dead or not data:
            return
        if self.frames_to_lose or self.frames_to_repeat:
            data = self._tamper(data)
        for piece in self._network.pieces(data):
            self._under_way += len(piece)
            self._send(piece)
        if self._under_way > HIGH and not self._holding:
            self._holding = True
            self.protocol.pause_writing()

    def writelines(self, parts: list[bytes]) -> None:
        """See asyncio.WriteTransport."""
        self.write(b"".join(parts))

    def close(self) -> None:
        """Let what was written arrive, then end."""
        self._end()

    def abort(self) -> None:
        """End at once; what is under way to this end is dropped."""
        self._end()

    def is_closing(self) -> bool:
        """Whether it has been closed."""
        return self.closed

    def pause_reading(self) -> None:
        """See asyncio.ReadTransport."""
        self._reading = False

    def resume_reading(self) -> None:
        """See asyncio.ReadTransport."""
        if not self._reading:
            self._reading = True
            self.host.call_soon(self._deliver)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """There is none."""
        return default

    # --- the way over

    def _send(self, item: bytes | None) -> None:
        loop = self._network.loop
        self._latest = max(self._latest + GRAIN_S, loop.now_s + self._network.latency())
        self.peer.host.call_at(self._latest, self.peer._arrive, item)

    def _arrive(self, item: bytes | None) -> None:
        self._inbox.append(item)
        self._deliver()

    def _deliver(self) -> None:
        while self._inbox and self._reading and not self.closed and not self._network.silent(self.address):
            item = self._inbox.popleft()
            if item is None:
                self._lost()
                return
            self.peer.consumed(len(item))
            self.protocol.data_received(item)

    def consumed(self, size: int) -> None:
        """The other end has read so much."""
        self._under_way -= size
        if self._holding and self._under_way < LOW and not self.closed:
            self._holding = False
            self.host.call_soon(self._write_again)

    def _write_again(self) -> None:
        if not self.closed and not self._holding:
            self.protocol.resume_writing()

    def _end(self) -> None:
        if not self.closed:
            self._send(None)
            self._lost()

    def _lost(self) -> None:
        """This end is over: its protocol hears of it once, soon."""
        self.closed = True
        self._inbox.clear()
        self._network.transports.pop(self, None)
        if not self._told:
            self._told = True
            self.host.call_soon(self.protocol.connection_lost, None)

    def cut(self) -> None:
        """The connection breaks: what is under way to this end is lost."""
        if not self.closed:
            self._lost()

    def _tamper(self, data: bytes) -> bytes:
        out = []
        position = 0
        while position < len(data):
            stop = position + 4 + int.from_bytes(data[position : position + 4], "big")
            one = data[position:stop]
            position = stop
            if self.frames_to_lose:
                self.frames_to_lose -= 1
                continue
            out.append(one)
            if self.frames_to_repeat:
                self.frames_to_repeat -= 1
                out.append(one)
        return b"".join(out)


class SimNetwork:
    """All connections. `random` decides latencies and how streams are cut into pieces."""

    def __init__(self, loop: VirtualLoop, random: Random) -> None:
        self.loop = loop
        self.slowness = 1.0  #: factor on every latency
        self.transports: dict[SimTransport, None] = {}
        self._random = random
        self._listening: dict[str, tuple[SimHost, Factory]] = {}
        self._silent: set[str] = set()
        self._generation: dict[str, int] = {}

    def listen(self, address: str, host: SimHost, factory: Factory) -> None:
        """Take connections there; whoever listened before does not any more."""
        self._listening[address] = (host, factory)
        self._generation[address] = self._generation.get(address, 0) + 1

    def generation(self, address: str) -> int:
        """Grows when somebody else listens at an address."""
        return self._generation.get(address, 0)

    async def connect(self, address: str, name: str, host: SimHost, factory: Factory) -> None:
        """Connect as `name`. Raises ConnectionRefusedError when nobody listens."""
        await self._wait(host)
        if address not in self._listening or name in self._silent:
            raise ConnectionRefusedError(f"nobody listens at {address}")
        server_host, server_factory = self._listening[address]
        if server_host.dead:
            raise ConnectionRefusedError(f"nobody listens at {address}")
        near = SimTransport(self, host, name)
        far = SimTransport(self, server_host, name)
        near.peer, far.peer = far, near
        near.protocol = factory()
        self.transports[near] = self.transports[far] = None

        def accepted() -> None:
            far.protocol = server_factory()
            far.protocol.connection_made(far)

        server_host.call_soon(accepted)
        near.protocol.connection_made(near)

    def _wait(self, host: SimHost) -> asyncio.Future[None]:
        future: asyncio.Future[None] = host.create_future()
        host.call_later(self.latency(), _resolve, future)
        return future

    # --- what befalls it

    def latency(self) -> float:
        """Seconds until the next piece arrives."""
        draw = self._random.random()
        return (0.00005 + 0.002 * draw * draw + (0.1 if draw > 0.98 else 0.0)) * self.slowness

    def pieces(self, data: bytes) -> list[bytes]:
        """The stream's own cuts: none of them where messages end."""
        if len(data) < 2 or self._random.random() > 0.05:
            return [data]
        at = self._random.randrange(1, len(data))
        return [data[:at], data[at:]]

    def silent(self, name: str) -> bool:
        """Whether nothing comes through to or from a dialler just now."""
        return name in self._silent

    def silence(self, name: str) -> None:
        """Nothing comes through, and nobody is told."""
        self._silent.add(name)

    def heal(self, name: str) -> None:
        """What was held back arrives."""
        self._silent.discard(name)
        for transport in list(self.transports):
            if transport.address == name and transport.protocol is not None:
                transport.host.call_soon(transport._deliver)

    def cut(self, name: str) -> None:
        """Break the connections of a dialler; both ends are told, what was under way is lost."""
        for transport in list(self.transports):
            if transport.address == name and transport.protocol is not None:
                transport.host.call_soon(transport.cut)

    def of(self, name: str, *, dialler: bool) -> SimTransport | None:
        """The dialler's end of its connection, or the listener's."""
        for transport in self.transports:
            if transport.address == name and (transport.host.name == name) == dialler:
                return transport
        return None

    def died(self, host: SimHost) -> None:
        """A process is gone: its connections end, after what it had sent."""
        for transport in list(self.transports):
            if transport.host is host:
                self.transports.pop(transport, None)
                if not transport.closed:
                    transport.closed = True
                    transport._send(None)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
