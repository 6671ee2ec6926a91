"""Labels as they are compared: without regard to case, and every Ubuntu the same."""

from __future__ import annotations

from typing import Final

#: What the agent of a Linux machine answers to, whatever its version.
UBUNTU: Final = "ubuntu-*"


def canonical(label: str) -> str:
    """How a label of `runs-on` is compared."""
    label = label.strip().lower()
    return UBUNTU if label.startswith("ubuntu-") else label


def local_labels(machine: str) -> frozenset[str]:
    """What the agent of this machine answers to. `machine`: as `os.uname().machine` says."""
    architecture = {"x86_64": "x64", "aarch64": "arm64", "armv7l": "arm"}.get(machine, machine.lower())
    return frozenset({UBUNTU, "linux", "self-hosted", architecture})
