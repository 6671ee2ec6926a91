"""Who descends from whom, and who carries a mark in its environment, as /proc tells."""

from __future__ import annotations

import os
from collections.abc import Iterator

from relevo.runtime import processes
from relevo.runtime.processes import ProcessIdentity


def children(pid: int) -> list[int]:
    """Its children, zombies included; [] when there is no such process.

    May leave some out while siblings end, but is never empty when there is one.
    """
    try:
        fd = os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return [] if _has_children_file() else _children_by_scan(pid)
    try:
        text = b""
        while chunk := os.read(fd, 65536):
            text += chunk
    except ProcessLookupError:
        return []
    finally:
        os.close(fd)
    return [int(word) for word in text.split()]


def descendants(pid: int) -> list[ProcessIdentity]:
    """All that descend from it and still run, nearest first. Not itself."""
    found: list[ProcessIdentity] = []
    todo = children(pid)
    seen = {pid}
    while todo:
        one = todo.pop(0)
        if one in seen:
            continue
        seen.add(one)
        todo.extend(_grandchildren(one))
        try:
            now = processes.stat(one)
        except ProcessLookupError:
            continue
        if now.state not in "ZX":
            found.append(ProcessIdentity(one, now.start_ticks, processes.boot_id()))
    return found


def marked(marks: frozenset[bytes]) -> list[ProcessIdentity]:
    """All running processes whose first environment holds one of these `NAME=value`."""
    found = []
    for pid in pids():
        try:
            who = processes.identity(pid)
            with open(f"/proc/{pid}/environ", "rb") as file:
                environment = file.read()
        except OSError:
            continue  # gone, or somebody else's
        if not marks.isdisjoint(environment.split(b"\0")) and processes.alive(who):
            found.append(who)
    return found


def pids() -> Iterator[int]:
    """All pids there are."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            yield int(name)


def _grandchildren(pid: int) -> list[int]:
    """Children of any thread of it: a child belongs to the thread that made it."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    if len(threads) == 1:
        return children(pid)
    found: list[int] = []
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found.extend(int(word) for word in file.read().split())
        except FileNotFoundError:
            return found if _has_children_file() else _children_by_scan(pid)
        except ProcessLookupError:
            continue
    return found


def _has_children_file() -> bool:
    me = os.getpid()
    return os.path.exists(f"/proc/{me}/task/{me}/children")


def _children_by_scan(pid: int) -> list[int]:
    """For kernels built without CONFIG_PROC_CHILDREN."""
    found = []
    for one in pids():
        try:
            if processes.stat(one).parent == pid:
                found.append(one)
        except ProcessLookupError:
            continue
    return found
