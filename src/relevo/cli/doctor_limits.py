"""How jobs are held apart, and what they may use."""

from __future__ import annotations

import os
from typing import Final

from relevo.cli.finding import Finding

#: Open files that two slots with many followers need.
FILES: Final = 1024
_CONTROLLERS: Final = ("cpu", "memory", "pids")


def limits() -> list[Finding]:
    """What this process, and all that it starts, may use."""
    import resource

    from relevo.cli.text import size

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
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if soft != resource.RLIM_INFINITY:
        advice = "ulimit -f unlimited: logs and artifacts that grow beyond it are lost"
        findings.append(Finding("file size", "lacking", f"at most {size(soft)}", advice))
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        advice = "ulimit -v unlimited: compilers and browsers need more than they use"
        findings.append(Finding("address space", "lacking", f"at most {size(soft)}", advice))
    return findings


def sandbox() -> list[Finding]:
    """As whom steps run, and what keeps them apart."""
    import pwd

    user = os.geteuid()
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:
        name = "without a name"
    told = f"steps are processes of this user ({name}, {user}), each job in a folder and a process tree of its own"
    if user == 0:
        return [
            Finding("sandbox", "good", f"{told}; root may do anything: run only workflows that you trust")
        ]
    return [Finding("sandbox", "good", f"{told}; they may read and write what this user may")]


def cgroups() -> list[Finding]:
    """Which versions of cgroups there are, with the controllers that matter."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        found = hierarchies(file.read())
    told = []
    for point in found["cgroup2"]:
        try:
            with open(os.path.join(point, "cgroup.controllers"), encoding="utf-8") as file:
                named = [name for name in _CONTROLLERS if name in file.read().split()]
        except OSError:
            named = []
        told.append(f"v2 at {point} ({', '.join(named) or 'no controllers'})")
    if found["cgroup"]:
        told.append(f"v1 ({', '.join(found['cgroup'])})")
    if not told:
        advice = "mount them, or give the container that relevo runs in a writable /sys/fs/cgroup"
        return [Finding("cgroups", "lacking", "none is mounted", advice)]
    return [Finding("cgroups", "good", "; ".join(told))]


def hierarchies(mounts: str) -> dict[str, list[str]]:
    """By the text of /proc/self/mountinfo: where version 2 is mounted, and the controllers that version 1 has."""
    points: list[str] = []
    controllers: set[str] = set()
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.partition(" ")
        if kind == "cgroup2":
            points.append(fields.split(" ")[4])
        elif kind == "cgroup":
            controllers |= {name for name in _CONTROLLERS if name in options.replace(" ", ",").split(",")}
    return {"cgroup2": points, "cgroup": sorted(controllers)}


def isolation(home: str) -> list[Finding]:
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
