"""What this machine can do for relevo: each finding says what was found, and what to do about it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

#: Free bytes under which a disk is nearly full.
LOW_BYTES: Final = 2 << 30
#: Open files that two slots with many followers need.
FILES: Final = 1024

State = Literal["good", "lacking", "bad"]


class Finding(NamedTuple):
    """One thing that was looked at. `lacking`: relevo works without, but less well; `bad`: it does not work."""

    what: str
    state: State
    found: str
    advice: str = ""


def examine(home: str) -> list[Finding]:
    """Look at everything. Takes some tenths of a second; changes nothing but a file that it writes and removes in `home`."""
    findings: list[Finding] = []
    for look in (
        _system,
        _python,
        _git,
        _bash,
        lambda: _home(home),
        lambda: _disk(home),
        lambda: _caches(home),
        lambda: _runtime(home),
    ):
        findings += _tried(look)
    for look in (_limits, _libraries, lambda: _isolation(home)):
        findings += _tried(look)
    return findings


def _tried(look: Callable[[], list[Finding]]) -> list[Finding]:
    """A look that fails is a finding as well."""
    try:
        return look()
    except Exception as error:
        name = getattr(look, "__name__", "").strip("_").replace("<lambda>", "") or "check"
        return [Finding(name, "bad", f"{type(error).__name__}: {error}", "please report this")]


def _system() -> list[Finding]:
    kernel = os.uname()
    version = tuple(int(part) for part in kernel.release.split("-")[0].split(".")[:2] if part.isdigit())
    processors = len(os.sched_getaffinity(0))
    findings = [Finding("machine", "good", f"{kernel.machine}, {processors} processors, {_memory()}")]
    if version >= (5, 3):
        findings.append(Finding("kernel", "good", f"Linux {kernel.release}"))
    else:
        findings.append(
            Finding("kernel", "bad", f"Linux {kernel.release}", "5.3 or newer is needed (pidfd_open)")
        )
    return findings


def _memory() -> str:
    from relevo.cli.text import size

    return f"{size(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'))} of memory"


def _python() -> list[Finding]:
    found = ".".join(str(part) for part in sys.version_info[:3])
    return [Finding("python", "good", f"{found} ({sys.executable})")]


def _program(name: str, *arguments: str) -> tuple[str, str] | None:
    """Where a program is, and the first line of what it says of its version."""
    import shutil
    import subprocess

    path = shutil.which(name)
    if path is None:
        return None
    told = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=10, check=False)
    return path, (told.stdout or told.stderr).partition("\n")[0]


def _git() -> list[Finding]:
    found = _program("git", "--version")
    if found is None:
        return [Finding("git", "bad", "not found", "install it: apt-get install git")]
    return [Finding("git", "good", f"{found[1].removeprefix('git version ')} ({found[0]})")]


def _bash() -> list[Finding]:
    found = _program("bash", "-c", "echo $BASH_VERSION")
    if found is None:
        advice = "steps run with sh instead; apt-get install bash"
        return [Finding("bash", "lacking", "not found", advice)]
    return [Finding("bash", "good", f"{found[1]} ({found[0]})")]


def _home(home: str) -> list[Finding]:
    advice = "set RELEVO_HOME to a folder that you may write"
    folder = home
    while not os.path.exists(folder):
        folder = os.path.dirname(os.path.abspath(folder))
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


def _disk(home: str) -> list[Finding]:
    from relevo.cli.text import size

    folder = home
    while not os.path.exists(folder):
        folder = os.path.dirname(os.path.abspath(folder))
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    if found.f_files and not found.f_favail:
        return [Finding("disk", "bad", f"no inode is free at {folder}", "remove files there")]
    if free < LOW_BYTES:
        return [
            Finding("disk", "lacking", f"{size(free)} free at {folder}", "`relevo prune` gives room back")
        ]
    return [Finding("disk", "good", f"{size(free)} free at {folder}")]


def _caches(home: str) -> list[Finding]:
    from relevo.agent.caches import MAX_BYTES, Caches
    from relevo.assembly.home import Home
    from relevo.cli.text import counted, size

    count, size_bytes = Caches(Home(home).caches).usage()
    found = f"{counted(count, 'cache')} of jobs, {size(size_bytes)} (at most {size(MAX_BYTES)})"
    return [Finding("caches", "good", found)]


def _runtime(home: str) -> list[Finding]:
    from relevo.assembly.home import Home

    socket = Home(home).socket
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    if folder and socket.startswith(folder):
        return [Finding("socket", "good", socket)]
    why = f"XDG_RUNTIME_DIR ({folder}) is not yours to write" if folder else "XDG_RUNTIME_DIR is not set"
    return [
        Finding(
            "socket",
            "good",
            f"{socket} ({why}: /tmp serves)",
        )
    ]


def _limits() -> list[Finding]:
    import resource

    findings = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= FILES:
        findings.append(Finding("open files", "good", f"{soft} (hard limit {hard})"))
    else:
        findings.append(Finding("open files", "lacking", f"{soft} (hard limit {hard})", f"ulimit -n {FILES}"))
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    told = "unlimited" if soft == resource.RLIM_INFINITY else str(soft)
    few = soft != resource.RLIM_INFINITY and soft < 512
    findings.append(Finding("processes", "lacking" if few else "good", told, "ulimit -u 4096" if few else ""))
    return findings


def _libraries() -> list[Finding]:
    import importlib.util

    import apsw

    findings = [Finding("sqlite", "good", apsw.sqlite_lib_version())]
    if importlib.util.find_spec("uvloop") is not None:
        findings.append(Finding("uvloop", "good", "installed"))
    else:
        findings.append(
            Finding("uvloop", "good", "not installed; asyncio's own loop serves a single machine well")
        )
    return findings


def _isolation(home: str) -> list[Finding]:
    """How trees of processes are held and ended, and which limits a job can have."""
    from relevo.assembly.home import Home
    from relevo.providers.process.provider import ProcessProvider

    able = ProcessProvider(Home(home).agent).capabilities()
    chosen = able["chosen"]["mechanism"]
    others = [f"{name}: {why}" for name, why in able["mechanisms"].items() if why]
    best = not able["mechanisms"].get(chosen) and chosen == next(iter(able["mechanisms"]))
    findings = [
        Finding(
            "process trees",
            "good" if best or chosen.startswith("cgroup") else "lacking",
            chosen + (f" (not usable: {'; '.join(others)})" if others else ""),
            ""
            if best or chosen.startswith("cgroup")
            else "run as root, or give this user a cgroup of its own (systemd: Delegate=yes)",
        )
    ]
    for name, why in able["limits"].items():
        advice = "jobs that ask for it fail with this message" if why else ""
        findings.append(Finding(f"{name} limit", "lacking" if why else "good", why or "works", advice))
    return findings
