"""What a worker may use at most: memory, processes, processor time. By version 1 or 2 control groups."""

from __future__ import annotations

import os
from typing import Final

from relevo.providers.contract import WorkerSpec, WorkerUnavailable
from relevo.providers.process import cgroups, procfs

CPU_PERIOD_US: Final = 100_000

_V1_UNLIMITED = {
    "memory": (("memory.memsw.limit_in_bytes", "-1"), ("memory.limit_in_bytes", "-1")),
    "pids": (("pids.max", "max"),),
    "cpu": (("cpu.cfs_quota_us", "-1"),),
}
_V2_UNLIMITED = {
    "memory": (("memory.max", "max"), ("memory.swap.max", "max")),
    "pids": (("pids.max", "max"),),
    "cpu": (("cpu.max", f"max {CPU_PERIOD_US}"),),
}


def settings(
    controller: str, spec: WorkerSpec, *, unified: bool, launchers: int = 1
) -> tuple[tuple[str, str], ...]:
    """What to write into which file of a group, in this order; () when nothing is asked for. Pure.

    `launchers`: processes of ours that stand in the group beside those of the step.
    """
    if controller == "memory" and spec.memory_bytes is not None:
        size = str(spec.memory_bytes)
        if unified:
            return (("memory.max", size), ("memory.swap.max", "0"))
        return (("memory.limit_in_bytes", size), ("memory.memsw.limit_in_bytes", size))
    if controller == "pids" and spec.pids is not None:
        return (("pids.max", str(spec.pids + launchers)),)
    if controller == "cpu" and spec.cpus is not None:
        quota = max(1000, round(spec.cpus * CPU_PERIOD_US))
        if unified:
            return (("cpu.max", f"{quota} {CPU_PERIOD_US}"),)
        return (("cpu.cfs_period_us", str(CPU_PERIOD_US)), ("cpu.cfs_quota_us", str(quota)))
    return ()


class _Lacking(Exception):
    """There is no controller."""


class Limits:
    """The limits of one slot. A controller's group is made when it is first asked for, and lifted afterwards."""

    def __init__(self, groups: dict[str, str], *, unified: str, launcher: int) -> None:
        """`groups`: controller → folder of the slot's version 1 group; `unified`: the slot's version 2 group, or ""."""
        self._groups = groups
        self._unified = unified
        self._launcher = launcher
        self._limited: set[str] = set()
        self._entered: set[str] = set()
        self._ooms = 0
        self.lacking: list[str] = []  #: which limits of the last spec this machine cannot set, and why

    def apply(self, spec: WorkerSpec) -> None:
        """Set what is asked for, lift what the attempt before had. Raises WorkerUnavailable when that goes wrong.

        What the machine cannot limit at all, for lack of a controller, is not limited: see `lacking`.
        """
        self.lacking = []
        for controller in ("memory", "pids", "cpu"):
            wanted_v2 = settings(controller, spec, unified=True)
            if not wanted_v2 and controller not in self._limited:
                continue
            try:
                self._set(controller, spec, bool(wanted_v2))
            except _Lacking as error:
                self.lacking.append(f"the {controller} of this job is not limited: {error}")
            except OSError as error:
                if reason := why_no_limit(controller, cgroups.discover()):
                    self.lacking.append(f"the {controller} of this job is not limited: {reason}")
                    continue
                raise WorkerUnavailable(
                    f"the {controller} limit of attempt {spec.attempt} cannot be set: {error}"
                ) from error
        if "memory" in self._limited:
            self._ooms = self._count()

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel killed something in the worker for lack of memory since this was asked last."""
        if "memory" not in self._limited:
            return False
        before, self._ooms = self._ooms, self._count()
        return self._ooms > before

    def _set(self, controller: str, spec: WorkerSpec, wanted: bool) -> None:
        if (folder := self._groups.get(controller)) is not None:
            if controller not in self._entered:
                os.makedirs(folder, exist_ok=True)
                cgroups.enter(folder, self._launcher)
                for other_self in procfs.children(self._launcher):  # inside a PID namespace
                    cgroups.enter(folder, other_self)
                self._entered.add(controller)
            unlimited, unified = _V1_UNLIMITED[controller], False
        elif self._unified:
            folder, unlimited, unified = self._unified, _V2_UNLIMITED[controller], True
            _delegate(folder, controller)
        else:
            raise _Lacking("this machine has no control group controller for it that this user may use")
        for name, value in unlimited:
            _write_if_there(folder, name, value)
        self._limited.discard(controller)
        if wanted:
            launchers = 1 + len(procfs.children(self._launcher))
            for name, value in settings(controller, spec, unified=unified, launchers=launchers):
                _write_if_there(folder, name, value)
            self._limited.add(controller)

    def _count(self) -> int:
        if (folder := self._groups.get("memory")) is not None:
            return cgroups.counter(f"{folder}/memory.oom_control", "oom_kill")
        return cgroups.counter(f"{self._unified}/memory.events", "oom_kill")


def why_no_limit(controller: str, layout: cgroups.Layout) -> str:
    """Why a limit cannot be set on this machine; "" when it can."""
    first: str = getattr(layout, controller)
    if first:
        return cgroups.why_unusable(first)
    if reason := cgroups.why_unusable(layout.unified):
        return f"cgroup v2: {reason}"
    try:
        with open(f"{layout.unified}/cgroup.controllers", encoding="ascii") as file:
            if controller not in file.read().split():
                return f"{layout.unified} was not given the {controller} controller"
        with open(f"{layout.unified}/cgroup.subtree_control", encoding="ascii") as file:
            if controller in file.read().split():
                return ""
    except OSError as error:
        return str(error)
    if os.path.exists(f"{layout.unified}/cgroup.type") and cgroups.members(layout.unified):
        return f"processes stand in {layout.unified} itself, so it cannot hand {controller} on (start the agent in a unit with Delegate=yes and DelegateSubgroup=)"
    return ""


def _delegate(slot: str, controller: str) -> None:
    """Let a version 2 group have a controller: each folder above must hand it on. From the top down."""
    above: list[str] = []
    folder = os.path.dirname(slot)
    while os.path.exists(f"{folder}/cgroup.subtree_control"):
        with open(f"{folder}/cgroup.subtree_control", encoding="ascii") as file:
            if controller in file.read().split():
                break
        above.append(folder)
        folder = os.path.dirname(folder)
    for folder in reversed(above):
        cgroups.write(f"{folder}/cgroup.subtree_control", f"+{controller}")


#: files that only some kernels have: swap accounting may be off, and then there is no swap to keep from
_OPTIONAL = frozenset({"memory.memsw.limit_in_bytes", "memory.swap.max"})


def _write_if_there(folder: str, name: str, value: str) -> None:
    path = f"{folder}/{name}"
    if name in _OPTIONAL and not os.path.exists(path):
        return
    cgroups.write(path, value)
