"""What this machine can do for relevo: each finding says what was found, and what to do about it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

from relevo.cli import doctor_limits as held
from relevo.cli import doctor_places as places
from relevo.cli.finding import Finding


def examine(home: str) -> list[Finding]:
    """Look at everything. Takes some tenths of a second; changes nothing but a file that it writes and removes in `home`."""
    looks: dict[str, Callable[[], list[Finding]]] = {
        "machine": _system,
        "python": _python,
        "git": _git,
        "bash": _bash,
        "containers": _containers,
        "home": lambda: places.keeping(home),
        "disk": lambda: places.disk(home),
        "file system": lambda: places.file_system(home),
        "caches": lambda: places.caches(home),
        "engine log": lambda: places.logs(home),
        "socket": lambda: places.socket(home),
        "limits": held.limits,
        "libraries": _libraries,
        "terminal": _terminal,
        "agent": lambda: places.agent(home),
        "sandbox": held.sandbox,
        "cgroups": held.cgroups,
        "isolation": lambda: held.isolation(home),
    }
    return [finding for name, look in looks.items() for finding in _tried(name, look)]


def _tried(name: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """A look that fails is a finding as well."""
    try:
        return look()
    except Exception as error:
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


def _containers() -> list[Finding]:
    """relevo runs jobs as processes; steps may call an engine by themselves."""
    told = []
    for name in ("docker", "podman"):
        try:
            found = _program(name, "version", "--format", "{{.Server.Version}}")
        except subprocess.TimeoutExpired:
            found = (name, "")
        if found is None:
            continue
        if found[1][:1].isdigit():
            told.append(f"{name} {found[1]}")
            continue
        advice = f"steps that call it fail: start it (systemctl start {name}), and let this user speak to it"
        return [
            Finding("containers", "lacking", f"{name} is installed, but its engine does not answer", advice)
        ]
    found_words = (
        f"{', '.join(told)}, for steps that call it"
        if told
        else "no engine; only steps that call one need it"
    )
    return [Finding("containers", "good", found_words)]


def _terminal() -> list[Finding]:
    from relevo.cli.live import terminal

    if sys.stdout.encoding.lower().replace("-", "") != "utf8":
        found = f"the locale's encoding is {sys.stdout.encoding}"
        return [Finding("terminal", "lacking", found, "export LC_ALL=C.UTF-8: signs like ✓ show as rubbish")]
    if not sys.stdout.isatty():
        return [Finding("terminal", "good", "none: runs are shown as lines")]
    if not terminal.redraws(sys.stdout, os.environ):
        return [Finding("terminal", "good", "runs are shown as lines (TERM, NO_COLOR or CI says so)")]
    columns, rows = terminal.size(sys.stdout.fileno())
    linked = ", with links" if terminal.links(os.environ) else ""
    return [Finding("terminal", "good", f"{columns} columns, {rows} rows: runs are shown live{linked}")]


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
    if importlib.util.find_spec("relevo_core") is not None:
        findings.append(Finding("accelerator", "good", "relevo-core is installed"))
    else:
        findings.append(Finding("accelerator", "good", "none; plain Python does the same work"))
    return findings
