"""Frames: whatever the chunks, the messages are the same; whatever the bytes, memory is bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.protocol.framing import FRAME_LIMIT, FrameReader, FrameTooLong, frame


@given(st.lists(st.binary(max_size=300), max_size=20), st.lists(st.integers(1, 50), min_size=1))
def test_messages_come_out_as_they_went_in_however_they_are_cut(messages, cuts):
    stream = b"".join(map(frame, messages))
    reader, found, position, turn = FrameReader(), [], 0, 0
    while position < len(stream):
        size = cuts[turn % len(cuts)]
        found += reader.feed(stream[position : position + size])
        position, turn = position + size, turn + 1
    assert found == messages
    assert not reader._buffer


@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_refused(data):
    reader = FrameReader()
    try:
        found = reader.feed(data)
    except FrameTooLong:
        return
    assert b"".join(map(frame, found)) + bytes(reader._buffer) == data


def test_a_frame_over_the_limit_is_refused_at_its_header():
    with pytest.raises(FrameTooLong):
        FrameReader().feed((FRAME_LIMIT + 1).to_bytes(4, "big"))
