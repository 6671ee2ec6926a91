"""How busy this machine is, whoever keeps it so."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, NamedTuple

PRESSURE: Final = "/proc/pressure/cpu"
MEMORY: Final = "/proc/meminfo"


class Load(NamedTuple):
    """As the kernel tells."""

    average: float = 0.0  #: the load average of the last minute
    pressure: float = (
        0.0  #: the part of the last ten seconds in which something waited for a processor; 0 to 1
    )
    memory_free_bytes: int = -1  #: what programs could still have; -1: not known


def read_load(read: Callable[[str], str] | None = None) -> Load:
    """As it is now; what the kernel does not tell is left as it stands in `Load`. Some tens of microseconds: no disk is read."""
    text = read or _text
    try:
        average = os.getloadavg()[0]
    except OSError:
        average = 0.0
    return Load(average, _pressure(text(PRESSURE)), _memory_free(text(MEMORY)))


def _text(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, 8_192).decode("ascii", "replace")
    except OSError:
        return ""
    finally:
        os.close(fd)


def _pressure(text: str) -> float:
    # some avg10=0.12 avg60=0.05 avg300=0.01 total=1234
    for word in text.partition("\n")[0].split():
        name, _, value = word.partition("=")
        if name == "avg10":
            try:
                return float(value) / 100
            except ValueError:
                return 0.0
    return 0.0


def _memory_free(text: str) -> int:
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            amount = value.split()[:1]
            return int(amount[0]) << 10 if amount and amount[0].isdigit() else -1
    return -1
