"""Labels as they are compared: without regard to case, and every Ubuntu the same."""

from __future__ import annotations

from typing import Final

#: What the agent of a Linux machine answers to, whatever its version.
UBUNTU: Final = "ubuntu-*"
#: What `runs-on: {group: …}` is recorded as.
GROUP: Final = "group:"
#: Names with these prefixes are given by where an agent is, not by its labels.
OWN_PREFIXES: Final = ("node:", "pool:", "zone:")
#: Of each of these an agent has one at most.
EXCLUSIVE: Final = (
    frozenset({"x64", "arm64", "arm"}),
    frozenset({"linux", "windows", "macos"}),
)


def canonical(label: str) -> str:
    """How a label of `runs-on`, or a name in an expression over labels, is compared. A runner group is a pool here."""
    label = label.strip().lower()
    if label.startswith("ubuntu-"):
        return UBUNTU
    return f"pool:{label[len(GROUP) :].strip()}" if label.startswith(GROUP) else label


def local_labels(machine: str) -> frozenset[str]:
    """What the agent of this machine answers to. `machine`: as `os.uname().machine` says."""
    architecture = {"x86_64": "x64", "aarch64": "arm64", "armv7l": "arm"}.get(machine, machine.lower())
    return frozenset({UBUNTU, "linux", "self-hosted", architecture})
