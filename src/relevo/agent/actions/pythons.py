"""Which interpreters a host has: in the tool cache, under pyenv and uv, and on PATH. Blocking.

Names of folders and programs only hint at a version; before one is used it is asked (once for each state of its file).
The interpreter of a virtual environment stands for the one that it was made from.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct

from relevo.agent.actions.version_specs import Spec, SpecInvalid, Version, parse_version

_ASK: Final = """
import json, sys, sysconfig
print(json.dumps({
    "version": "%d.%d.%d" % sys.version_info[:3] + {"alpha": "a%d", "beta": "b%d", "candidate": "rc%d", "final": ""}
        [sys.version_info[3]].replace("%d", str(sys.version_info[4])),
    "executable": getattr(sys, "_base_executable", sys.executable),
    "prefix": sys.base_prefix,
    "implementation": sys.implementation.name,
    "purelib": sysconfig.get_path("purelib", vars={"base": sys.base_prefix}),
    "freethreaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
}))
"""
_TIMEOUT_S: Final = 20.0
_PROGRAM: Final = re.compile(r"python(\d+)\.(\d+)(t?)$")
_FOLDER: Final = re.compile(r"(?:cpython-)?(\d+)\.(\d+)(?:\.\d+)?")


class Python(Struct, frozen=True):
    """An interpreter that answered."""

    version: Version
    executable: str
    prefix: str
    purelib: str
    freethreaded: bool


class Candidate(Struct, frozen=True):
    """A program that may be an interpreter."""

    path: str
    minor: tuple[int, int] | None  #: as its name tells; None: it does not


class _Answer(Struct):
    version: str
    executable: str
    prefix: str
    implementation: str
    purelib: str
    freethreaded: bool


#: path, size and time of change of a program → what it answered. Interpreters do not change under a running agent.
_asked: dict[tuple[str, int, int], Python | None] = {}


def candidates(env: Mapping[str, str], tool_cache: str) -> list[Candidate]:
    """All programs that may be interpreters, the best kept sources first."""
    home = env.get("HOME") or os.path.expanduser("~")
    pyenv = env.get("PYENV_ROOT") or os.path.join(home, ".pyenv")
    data = env.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share")
    uv = env.get("UV_PYTHON_INSTALL_DIR") or os.path.join(data, "uv", "python")
    folders = [env.get("PATH", ""), "/usr/local/bin", "/usr/bin"]
    found = [
        *_versioned(os.path.join(tool_cache, "Python"), "*/bin/python"),
        *_versioned(os.path.join(pyenv, "versions"), "bin/python"),
        *_versioned(uv, "bin/python"),
        *_versioned("/opt/python", "bin/python"),
        *_on_path(":".join(folders).split(":"), os.path.join(pyenv, "shims")),
    ]
    unique: dict[str, Candidate] = {}
    for candidate in found:
        unique.setdefault(os.path.realpath(candidate.path), candidate)
    return list(unique.values())


def matching(spec: Spec, found: Iterable[Candidate]) -> list[Python]:
    """The interpreters of the latest minor release that a spec admits, the latest first. Asks no more than it must."""
    # Those whose name tells nothing come first: they may be of any release.
    ordered = sorted(found, key=lambda candidate: candidate.minor or (1 << 30, 0), reverse=True)
    admitted: list[Python] = []
    for candidate in ordered:
        if candidate.minor is not None:
            if not spec.may_admit(*candidate.minor):
                continue
            if any((python.version.major, python.version.minor) > candidate.minor for python in admitted):
                break
        python = ask(candidate.path)
        if python and python.freethreaded == spec.freethreaded and spec.admits(python.version):
            admitted.append(python)
    # Sorting keeps the order of sources among equals.
    return sorted(admitted, key=lambda python: python.version, reverse=True)


def known(found: Iterable[Candidate]) -> list[Python]:
    """All that answer, each version once, the latest first: for people."""
    answers = {str(python.version): python for item in found if (python := ask(item.path))}
    return sorted(answers.values(), key=lambda python: python.version, reverse=True)


def ask(path: str) -> Python | None:
    """What a program says of itself; None when it is no CPython 3 that works."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    key = (os.path.realpath(path), stat.st_size, stat.st_mtime_ns)
    if key not in _asked:
        _asked[key] = _run(path)
    return _asked[key]


def _run(path: str) -> Python | None:
    import subprocess

    import msgspec

    # Variables such as PYTHONHOME would make every interpreter pretend to be another one.
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
    try:
        done = subprocess.run(
            [path, "-I", "-c", _ASK],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            env=env,
            check=True,
        )
        answer = msgspec.json.decode(done.stdout, type=_Answer)
        version = parse_version(answer.version)
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError, SpecInvalid):
        return None  # broken, or something else of that name
    if answer.implementation != "cpython" or not answer.executable:
        return None
    return Python(version, answer.executable, answer.prefix, answer.purelib, answer.freethreaded)


def _versioned(root: str, below: str) -> Iterator[Candidate]:
    """Interpreters in folders that are named by their version."""
    import glob

    for path in sorted(glob.glob(os.path.join(glob.escape(root), "*", below)), reverse=True):
        folder = os.path.relpath(path, root).split(os.sep)[0]
        if (match := _FOLDER.match(folder)) and os.access(path, os.X_OK):
            yield Candidate(path, (int(match[1]), int(match[2])))


def _on_path(folders: Iterable[str], shims: str) -> Iterator[Candidate]:
    for folder in dict.fromkeys(folders):
        # pyenv's shims are scripts that may refuse; what they stand for was found already.
        if not os.path.isabs(folder) or os.path.realpath(folder) == os.path.realpath(shims):
            continue
        try:
            names = sorted(os.listdir(folder), reverse=True)
        except OSError:
            continue
        for name in names:
            path = os.path.join(folder, name)
            if (match := _PROGRAM.match(name)) and os.access(path, os.X_OK):
                yield Candidate(path, (int(match[1]), int(match[2])))
            elif name in ("python3", "python") and os.access(path, os.X_OK):
                yield Candidate(path, None)
