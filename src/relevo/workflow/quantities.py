"""Amounts as people write them: times, memory, processors, and what operators count. Each raises ValueError, saying what is accepted."""

from __future__ import annotations

import re
from typing import Final

_TIME: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|m|h|d)?\Z")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, None: 1.0}
_MEMORY: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]+)?) ?([KMGT]i?)?B?\Z", re.IGNORECASE)
_BYTES: Final = {
    **{prefix: 1000**power for power, prefix in enumerate(("k", "m", "g", "t"), 1)},
    **{f"{prefix}i": 1024**power for power, prefix in enumerate(("k", "m", "g", "t"), 1)},
}
_CPUS: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]+)?)(m)?\Z")
_AMOUNT: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,3})?\Z")
#: Names that count something else already.
TAKEN: Final = ("jobs", "places")


def seconds(text: str) -> float:
    """`90`, `1.5s`, `10m`, `2h` in seconds."""
    match = _TIME.match(text.strip())
    if match is None:
        raise ValueError(f"'{text}' is no time; write 30s, 10m or 2h")
    return float(match[1]) * _SECONDS[match[2]]


def memory_bytes(text: str) -> int:
    """`512Mi`, `2G`, `1073741824` in bytes."""
    match = _MEMORY.match(text.strip())
    if match is None:
        raise ValueError(f"'{text}' is no amount of memory; write 512Mi, 2Gi or a number of bytes")
    return int(float(match[1]) * (_BYTES[match[2].lower()] if match[2] else 1))


def cpus(text: str) -> float:
    """`2`, `0.5`, `500m` in processors."""
    match = _CPUS.match(text.strip())
    if match is None or not float(match[1]):
        raise ValueError(f"'{text}' is no number of processors; write 2, 0.5 or 500m")
    return float(match[1]) / (1000 if match[2] else 1)


def amount(name: str, text: str) -> float:
    """So much of a resource that is neither cpu nor memory: bytes of `disk`, else a number with at most three decimals."""
    if name in TAKEN:
        raise ValueError(f"'{name}' cannot be a resource's name: it counts jobs")
    if name == "disk":
        return memory_bytes(text)
    if not _AMOUNT.match(text.strip()):
        raise ValueError(f"'{text}' is no amount of {name}; write 1 or 0.5")
    return float(text)
