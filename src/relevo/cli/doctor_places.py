"""Where relevo keeps what it keeps: the home, its disk, the socket."""

from __future__ import annotations

import os
from typing import Final

from relevo.cli.finding import Finding

#: Free bytes under which a disk is nearly full.
LOW_BYTES: Final = 2 << 30
#: File systems whose locks and fsync are not to be trusted, and those that end with the machine.
_REMOTE: Final = ("nfs", "cifs", "smb", "9p", "fuse.", "afs", "ceph", "gluster", "lustre")
_FLEETING: Final = ("tmpfs", "ramfs")
_ESCAPED: Final = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}


def _existing(home: str) -> str:
    folder = home
    while not os.path.exists(folder):
        folder = os.path.dirname(os.path.abspath(folder))
    return folder


def keeping(home: str) -> list[Finding]:
    """The home itself."""
    advice = "set RELEVO_HOME to a folder that you may write"
    folder = _existing(home)
    if folder != home:
        if os.access(folder, os.W_OK | os.X_OK):
            return [Finding("home", "good", f"{home} (will be made)")]
        return [Finding("home", "bad", f"{home} cannot be made: {folder} is not yours to write", advice)]
    probe = os.path.join(home, f".doctor-{os.getpid()}")
    try:
        with open(probe, "xb") as file:
            file.write(b"relevo")
            os.fsync(file.fileno())
        os.unlink(probe)
    except OSError as error:
        return [Finding("home", "bad", f"{home}: {error.strerror}", advice)]
    if os.stat(home).st_mode & 0o077:
        return [Finding("home", "lacking", f"{home} is open to others", f"chmod 700 {home}")]
    return [Finding("home", "good", home)]


def disk(home: str) -> list[Finding]:
    """The room that the home has."""
    from relevo.cli.text import size

    folder = _existing(home)
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    if found.f_files and not found.f_favail:
        return [Finding("disk", "bad", f"no inode is free at {folder}", "remove files there")]
    if free < LOW_BYTES:
        return [
            Finding("disk", "lacking", f"{size(free)} free at {folder}", "`relevo prune` gives room back")
        ]
    return [Finding("disk", "good", f"{size(free)} free at {folder}")]


def file_system(home: str) -> list[Finding]:
    """What the home's file system is, and whether programs run from it."""
    folder = _existing(home)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        kind = kind_of(os.path.realpath(folder), file.read())
    if kind.startswith(_REMOTE):
        advice = "set RELEVO_HOME to a local disk: locks and fsync of this one are not to be trusted"
        return [Finding("file system", "lacking", f"{kind} at {folder}", advice)]
    if kind in _FLEETING:
        advice = "set RELEVO_HOME to a disk: what is kept here is gone when the machine restarts"
        return [Finding("file system", "lacking", f"{kind} at {folder}", advice)]
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        advice = (
            "steps cannot run programs that they build: mount it without noexec, or set RELEVO_HOME elsewhere"
        )
        return [Finding("file system", "lacking", f"{kind} at {folder}, mounted noexec", advice)]
    return [Finding("file system", "good", kind)]


def kind_of(path: str, mounts: str) -> str:
    """The type of the file system that a path lies on, by the text of /proc/self/mountinfo; "" if it is not found."""
    best, found = -1, ""
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        point = fields.split(" ")[4] if fields.count(" ") >= 4 else ""
        for escaped, character in _ESCAPED.items():
            point = point.replace(escaped, character)
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        # Of two on one place the later one lies above.
        if point and inside and len(point) >= best:
            best, found = len(point), rest.split(" ")[0]
    return found


def caches(home: str) -> list[Finding]:
    """What jobs have cached."""
    from relevo.agent.caches import MAX_BYTES, Caches
    from relevo.assembly.home import Home
    from relevo.cli.text import counted, size

    count, size_bytes = Caches(Home(home).caches).usage()
    found = f"{counted(count, 'cache')} of jobs, {size(size_bytes)} (at most {size(MAX_BYTES)})"
    return [Finding("caches", "good", found)]


def logs(home: str) -> list[Finding]:
    """Where engine and agent write what they have to say of themselves."""
    from relevo.assembly.home import Home
    from relevo.cli.text import size

    place = Home(home)
    found = [
        f"{path} ({size(os.stat(path).st_size)})"
        for path in (place.engine_log, place.agent_log)
        if os.path.exists(path)
    ]
    nothing = f"{place.engine_log}, once an engine has something to say"
    return [Finding("engine log", "good", "; ".join(found) or nothing)]


def agent(home: str) -> list[Finding]:
    """What the agent of this machine answers to, and what it has."""
    from relevo.assembly.place import local_place
    from relevo.assembly.resources import VARIABLE, parse
    from relevo.domain.errors import UserError

    try:
        place = local_place()
        counted = parse(os.environ.get(VARIABLE, ""))
    except UserError as error:
        return [Finding("agent", "bad", str(error), f"no agent starts: {error.hint}")]
    told = [f"answers to {', '.join(sorted(place.labels))}"]
    told += [f"{name} {value}" for name, value in (("pool", place.pool), ("zone", place.zone)) if value]
    if place.taints:
        told.append(f"only for jobs that tolerate {', '.join(sorted(place.taints))}")
    told += [f"{name}={amount:g}" for name, amount in sorted(counted.items()) if name != "disk"]
    return [Finding("agent", "good", "; ".join(told))]


def socket(home: str) -> list[Finding]:
    """Where engine, agent and clients meet."""
    from relevo.assembly.home import Home

    path = Home(home).socket
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    if folder and path.startswith(folder):
        return [Finding("socket", "good", path)]
    why = f"XDG_RUNTIME_DIR ({folder}) is not yours to write" if folder else "XDG_RUNTIME_DIR is not set"
    return [
        Finding(
            "socket",
            "good",
            f"{path} ({why}: /tmp serves)",
        )
    ]
