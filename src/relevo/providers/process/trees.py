"""The mechanisms that hold the process tree of a slot together and end it. Best first in `MECHANISMS`.

| mechanism | holds | ends |
|---|---|---|
| cgroup-v2 | every descendant, whatever it does | at once (cgroup.kill) |
| cgroup-v1 | the same | freezer, then SIGKILL to each |
| pid-namespace | the same | with its process 1; steps see only their own processes |
| subreaper | every descendant while the launcher or its guard lives; else what carries the mark in its environment | walk over /proc, again until none is left |
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, Protocol

from relevo.providers.process import cgroups
from relevo.runtime import processes
from relevo.runtime.processes import ProcessIdentity

MECHANISMS: Final = ("cgroup-v2", "cgroup-v1", "pid-namespace", "subreaper")


class Tree(Protocol):
    """All processes of one slot."""

    def hold(self, launcher: int) -> None:
        """Make the place and put the launcher there: all that it starts is born in it. Raises OSError."""

    def members(self) -> list[int]:
        """Pids that the place is known to hold, the launcher among them; [] when the mechanism keeps no list."""

    def holds_only(self, launcher: int) -> bool:
        """Whether nobody but the launcher is in it. Cheap: asked after each attempt."""

    def kill(self, launcher: ProcessIdentity | None) -> None:
        """Send SIGKILL to all, the launcher included. Does not wait."""

    def remove(self) -> bool:
        """Give the place back. False while somebody is in it."""


class GroupTree:
    """A control group; versions differ in how all in it are killed."""

    def __init__(self, folder: str, kill: Callable[[str], None]) -> None:
        self._folder = folder
        self._kill = kill

    def hold(self, launcher: int) -> None:
        os.makedirs(self._folder, exist_ok=True)
        cgroups.enter(self._folder, launcher)

    def members(self) -> list[int]:
        return cgroups.members(self._folder)

    def holds_only(self, launcher: int) -> bool:
        return cgroups.only_member(self._folder) == launcher

    def kill(self, launcher: ProcessIdentity | None) -> None:
        self._kill(self._folder)

    def remove(self) -> bool:
        return cgroups.remove(self._folder)


class LauncherTree:
    """What descends from the launcher, as its PID namespace or as subreaper. Killing descendants is the slot's doing."""

    def hold(self, launcher: int) -> None:
        pass

    def members(self) -> list[int]:
        return []

    def holds_only(self, launcher: int) -> bool:
        return True

    def kill(self, launcher: ProcessIdentity | None) -> None:
        if launcher is not None:
            processes.kill(launcher)

    def remove(self) -> bool:
        return True


def make_tree(mechanism: str, folders: dict[str, str]) -> Tree:
    """The tree of a slot whose groups are to lie in `folders` (by hierarchy: unified, freezer …)."""
    if mechanism == "cgroup-v2":
        return GroupTree(folders["unified"], cgroups.kill_unified)
    if mechanism == "cgroup-v1":
        return GroupTree(folders["freezer"], cgroups.kill_frozen)
    return LauncherTree()


def why_unusable(mechanism: str, layout: cgroups.Layout) -> str:
    """Why a mechanism does not work here; "" when it does."""
    if mechanism == "cgroup-v2":
        return cgroups.why_unusable(layout.unified)
    if mechanism == "cgroup-v1":
        return cgroups.why_unusable(layout.freezer)
    if mechanism == "pid-namespace":
        from relevo.providers.process.launching import try_namespace

        return try_namespace()
    return ""
