"""Simulated connections and hosts: what asyncio promises of streams holds, and so does what befalls them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.protocol.framing import FrameReader, frame
from relevo.testing.sim_host import SimHost
from relevo.testing.sim_network import HIGH, SimNetwork, SimTransport
from relevo.testing.virtual_loop import VirtualLoop


class End(asyncio.Protocol):
    def __init__(self) -> None:
        self.transport: SimTransport
        self.data = b""
        self.said: list[str] = []

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.said.append("made")

    def data_received(self, data: bytes) -> None:
        assert data
        self.data += data

    def pause_writing(self) -> None:
        self.said.append("pause")

    def resume_writing(self) -> None:
        self.said.append("resume")

    def connection_lost(self, error: Exception | None) -> None:
        self.said.append("lost")


class Pair:
    def __init__(self, seed: int = 0) -> None:
        self.loop = VirtualLoop(seed)
        self.network = SimNetwork(self.loop, Random(seed))
        self.here, self.there = SimHost(self.loop, "here"), SimHost(self.loop, "there")
        self.near, self.far = End(), End()
        self.network.listen("there", self.there, lambda: self.far)
        self.here.create_task(self.network.connect("there", "here", self.here, lambda: self.near))
        self.loop.advance(1.0)


@pytest.fixture
def pair():
    pair = Pair()
    yield pair
    pair.loop.close()


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=30), st.integers(0, 1_000))
def test_bytes_arrive_in_order_whatever_the_latency(parts: list[bytes], seed: int):
    pair = Pair(seed)
    for part in parts:
        pair.near.transport.write(part)
        pair.loop.advance(0.0005)
    pair.near.transport.close()
    pair.loop.advance(2.0)
    assert pair.far.data == b"".join(parts)
    assert pair.near.said == pair.far.said == ["made", "lost"]
    pair.loop.close()


def test_a_fast_sender_is_held_until_the_other_end_reads(pair: Pair):
    pair.far.transport.pause_reading()
    pair.near.transport.write(bytes(HIGH + 1))
    pair.loop.advance(1.0)
    assert (pair.near.said, pair.far.data) == (["made", "pause"], b"")
    pair.far.transport.resume_reading()
    pair.loop.advance(1.0)
    assert (pair.near.said, len(pair.far.data)) == (["made", "pause", "resume"], HIGH + 1)


def test_a_cut_loses_what_is_under_way(pair: Pair):
    pair.near.transport.write(b"lost")
    pair.network.cut("here")
    pair.loop.advance(1.0)
    assert (pair.near.said, pair.far.said, pair.far.data) == (["made", "lost"], ["made", "lost"], b"")


def test_silence_holds_back_and_healing_lets_through(pair: Pair):
    pair.network.silence("here")
    pair.near.transport.write(b"late")
    pair.loop.advance(60.0)
    assert (pair.far.data, pair.far.said) == (b"", ["made"])
    pair.network.heal("here")
    pair.loop.advance(1.0)
    assert pair.far.data == b"late"


@pytest.mark.parametrize(
    ("lost", "repeated", "expected"), [(1, 0, [b"b", b"c"]), (0, 1, [b"a", b"a", b"b", b"c"])]
)
def test_a_frame_is_lost_or_repeated_whole(pair: Pair, lost: int, repeated: int, expected: list[bytes]):
    pair.near.transport.frames_to_lose = lost
    pair.near.transport.frames_to_repeat = repeated
    pair.near.transport.write(frame(b"a") + frame(b"b"))
    pair.near.transport.write(frame(b"c"))
    pair.loop.advance(1.0)
    assert FrameReader().feed(pair.far.data) == expected


def test_what_a_process_sent_before_its_death_arrives_then_the_end(pair: Pair):
    pair.near.transport.write(b"last words")
    pair.here.crash()
    pair.network.died(pair.here)
    pair.near.transport.write(b"from the grave")
    pair.loop.advance(1.0)
    assert (pair.far.data, pair.far.said, pair.near.said) == (b"last words", ["made", "lost"], ["made"])


def test_what_comes_due_while_a_host_is_stopped_waits_unless_it_is_cancelled_first():
    loop = VirtualLoop()
    host = SimHost(loop)
    ran: list[str] = []

    def first(cancel: Callable[[], None]) -> None:
        ran.append("first")
        cancel()

    second = host.call_later(2.0, ran.append, "second")
    host.call_later(1.0, first, second.cancel)
    host.call_later(3.0, ran.append, "third")
    host.stop()
    loop.advance(10.0)
    assert ran == []
    host.resume()
    loop.advance(0.0)
    assert ran == ["first", "third"]
    loop.close()
