"""What an agent says of its load, as far as it can be."""

from __future__ import annotations

from math import isfinite

from relevo.protocol import messages as m


def load_of(beat: m.Beat, hello: m.Hello) -> float:
    """The share of its machine that is in use, from 0 to 1: the greatest of what it says of processors and memory.

    What cannot be (no number, below nothing, more free memory than there is) is passed over.
    """
    found = [0.0]
    if hello.cpus > 0:
        found.append(_share(beat.load / hello.cpus))
    found.append(_share(beat.pressure))
    if 0 <= beat.memory_free_bytes <= hello.memory_bytes and hello.memory_bytes > 0:
        found.append(_share(1 - beat.memory_free_bytes / hello.memory_bytes))
    return max(found)


def _share(value: float) -> float:
    return min(1.0, value) if isfinite(value) and value > 0 else 0.0
