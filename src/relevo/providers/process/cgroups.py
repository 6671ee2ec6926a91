"""Control groups as files: which are mounted, who is in one, ending all that is in one. Versions 1 and 2."""

from __future__ import annotations

import os
import signal

from msgspec import Struct

from relevo.runtime import processes

V1_CONTROLLERS = ("freezer", "memory", "pids", "cpu")


class Layout(Struct, frozen=True):
    """The folders below which this process may hope to make groups: those that it is in itself. "" where there is none."""

    unified: str = ""  #: version 2
    freezer: str = ""  #: version 1, each in a hierarchy of its own
    memory: str = ""
    pids: str = ""
    cpu: str = ""


def discover() -> Layout:
    """The layout of this machine, from this process's own groups."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            mounts = file.read()
        with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            groups = file.read()
    except OSError:
        return Layout()
    return layout(mounts, groups)


def layout(mountinfo: str, own_groups: str) -> Layout:
    """Join /proc/self/mountinfo and /proc/self/cgroup. Pure."""
    own: dict[str, str] = {}
    for line in own_groups.splitlines():
        _, names, path = line.split(":", 2)
        for name in names.split(","):
            own[name] = path
    found: dict[str, str] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if kind[0] == "cgroup2":
            found.setdefault("unified", _join(fields[4], fields[3], own.get("", "/")))
        elif kind[0] == "cgroup":
            for name in V1_CONTROLLERS:
                if name in kind[2].split(","):
                    found.setdefault(name, _join(fields[4], fields[3], own.get(name, "/")))
    return Layout(**found)


def _join(mount_point: str, mount_root: str, group: str) -> str:
    """The folder of a group. In a container the mount shows only a part of the tree, whose root stands in the mount."""
    if mount_root != "/" and (group == mount_root or group.startswith(mount_root + "/")):
        group = group[len(mount_root) :]
    return (mount_point + group).rstrip("/")


def why_unusable(folder: str) -> str:
    """Why no groups can be made and filled below this folder; "" when they can."""
    if not folder:
        return "not mounted"
    if not os.path.isdir(folder):
        return f"{folder} is not there (the mount shows another part of the tree)"
    if not os.access(folder, os.W_OK):
        return f"{folder} is not writable for this user"
    if not os.access(f"{folder}/cgroup.procs", os.W_OK):
        return f"{folder}/cgroup.procs is not writable for this user"
    return ""


def members(folder: str) -> list[int]:
    """Pids in the group and all groups below it; [] when there is no such group. Zombies are not listed."""
    found = _pids(folder)
    for below in _below(folder):
        found.extend(members(below))
    return found


def only_member(folder: str) -> int:
    """The pid of the one process in the group, 0 when there is another number of them, or any group below."""
    try:
        with open(f"{folder}/cgroup.procs", "rb", buffering=0) as file:
            found = file.read(64)
        if not found or found.index(b"\n") != len(found) - 1 or os.stat(folder).st_nlink != 2:
            return 0
        return int(found)
    except OSError:
        return 0


def enter(folder: str, pid: int) -> None:
    """Move a process into the group."""
    with open(f"{folder}/cgroup.procs", "w", encoding="ascii") as file:
        file.write(str(pid))


def write(path: str, text: str) -> None:
    """Set a value."""
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def counter(path: str, name: str) -> int:
    """The number beside a name in a flat keyed file; 0 when there is none."""
    try:
        with open(path, encoding="ascii") as file:
            for line in file:
                key, _, value = line.partition(" ")
                if key == name:
                    return int(value)
    except OSError:
        pass  # the group is gone, or the controller is not there
    return 0


def kill_unified(folder: str) -> None:
    """Kill all that is in a version 2 group and below, at once: nobody forks his way out."""
    try:
        write(f"{folder}/cgroup.kill", "1")
        return
    except FileNotFoundError:
        if not os.path.isdir(folder):
            return
    # before Linux 5.14
    write(f"{folder}/cgroup.freeze", "1")
    try:
        _kill_members(folder)
    finally:
        write(f"{folder}/cgroup.freeze", "0")


def kill_frozen(folder: str) -> None:
    """Kill all that is in a version 1 freezer group and below: frozen first, so that nobody forks meanwhile.

    Call it again until `members` is empty: a process that cannot freeze at once (in vfork, in D state) may have forked.
    """
    try:
        write(f"{folder}/freezer.state", "FROZEN")
    except FileNotFoundError:
        return
    try:
        for _ in range(64):
            with open(f"{folder}/freezer.state", encoding="ascii") as file:
                if file.read().strip() == "FROZEN":
                    break
        _kill_members(folder)
    finally:
        write(f"{folder}/freezer.state", "THAWED")


def remove(folder: str) -> bool:
    """Remove an empty group and all below. False when somebody is still in it."""
    for below in _below(folder):
        if not remove(below):
            return False
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        pass  # it was removed before, or never made
    except OSError:
        return False
    return True


def _kill_members(folder: str) -> None:
    for pid in members(folder):
        try:
            processes.kill(processes.identity(pid), signal.SIGKILL)
        except ProcessLookupError:
            continue  # ended meanwhile


def _pids(folder: str) -> list[int]:
    try:
        with open(f"{folder}/cgroup.procs", "rb") as file:
            return [int(line) for line in file.read().split()]
    except OSError:
        return []  # removed (ENOENT, ENODEV) or threaded (EOPNOTSUPP)


def _below(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
