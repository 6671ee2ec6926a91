"""Which interpreters a host has: in the tool cache, under pyenv and uv, and on PATH. Blocking.

Names of folders and programs only hint at a version; before one is used it is asked (once for each state of its file).
The interpreter of a virtual environment stands for the one that it was made from.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec
from msgspec import Struct

from relevo.agent.actions import tools
from relevo.agent.actions.version_specs import Spec, SpecInvalid, Version, parse, parse_version

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
_PROGRAM: Final = re.compile(r"python(\d+)\.(\d+)(t?)$")
_FOLDER: Final = re.compile(r"(?:cpython-)?(\d+)\.(\d+)(?:\.\d+)?")


class PythonSpec(Struct, frozen=True):
    """What interpreters are asked for."""

    versions: Spec
    freethreaded: bool = False

    @property
    def text(self) -> str:
        return self.versions.text


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


def parse_spec(text: str, *, prereleases: bool = False, freethreaded: bool = False) -> PythonSpec:
    """A spec as actions/setup-python takes it: `3.13-dev` and `3.13t` beside npm's ranges.

    Raises SpecInvalid, also for pypy and graalpy, which are not looked for here.
    """
    asked = text.strip()
    lowered = asked.lower()
    if lowered.startswith(("pypy", "graalpy")):
        raise SpecInvalid(
            f"{asked}: only CPython is looked for; run {lowered.split('3')[0]} from a run: step"
        )
    if re.fullmatch(r"\d+\.\d+(\.\d+)?t(-dev)?", lowered):
        lowered, freethreaded = lowered.replace("t", ""), True
    if re.fullmatch(r"\d+\.\d+-dev", lowered):
        lowered, prereleases = lowered.removesuffix("-dev"), True
    spec = parse(lowered, prereleases=prereleases)
    return PythonSpec(msgspec.structs.replace(spec, text=asked), freethreaded)


def candidates(env: Mapping[str, str], tool_cache: str) -> list[Candidate]:
    """All programs that may be interpreters, the best kept sources first."""
    home = env.get("HOME") or os.path.expanduser("~")
    pyenvs = _pyenvs(env, home)
    data = env.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share")
    uv = env.get("UV_PYTHON_INSTALL_DIR") or os.path.join(data, "uv", "python")
    folders = [env.get("PATH", ""), "/usr/local/bin", "/usr/bin"]
    found = [
        *(found for root in tools.caches(tool_cache, "Python") for found in _versioned(root, "*/bin/python")),
        *(found for root in pyenvs for found in _versioned(os.path.join(root, "versions"), "bin/python")),
        *_versioned(uv, "bin/python"),
        *_versioned("/opt/python", "bin/python"),
        *_on_path(":".join(folders).split(":"), [os.path.join(root, "shims") for root in pyenvs]),
    ]
    unique: dict[str, Candidate] = {}
    for candidate in found:
        unique.setdefault(os.path.realpath(candidate.path), candidate)
    return list(unique.values())


def matching(spec: PythonSpec, found: Iterable[Candidate]) -> list[Python]:
    """The interpreters of the latest minor release that a spec admits, the latest first. Asks no more than it must."""
    # Those whose name tells nothing come first: they may be of any release.
    ordered = sorted(found, key=lambda candidate: candidate.minor or (1 << 30, 0), reverse=True)
    admitted: list[Python] = []
    for candidate in ordered:
        if candidate.minor is not None:
            if not spec.versions.may_admit(*candidate.minor):
                continue
            if any((python.version.major, python.version.minor) > candidate.minor for python in admitted):
                break
        python = ask(candidate.path)
        if python and python.freethreaded == spec.freethreaded and spec.versions.admits(python.version):
            admitted.append(python)
    # Sorting keeps the order of sources among equals.
    return sorted(admitted, key=lambda python: python.version, reverse=True)


def known(found: Iterable[Candidate]) -> list[Python]:
    """All that answer, each version once, the latest first: for people."""
    answers = {str(python.version): python for item in found if (python := ask(item.path))}
    return sorted(answers.values(), key=lambda python: python.version, reverse=True)


def ask(path: str) -> Python | None:
    """What a program says of itself; None when it is no CPython 3 that works."""
    said = tools.ask(path, ["-I", "-c", _ASK])
    if said is None:
        return None
    try:
        answer = msgspec.json.decode(said, type=_Answer)
        version = parse_version(answer.version)
    except (msgspec.DecodeError, SpecInvalid):
        return None  # something else of that name
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


def _pyenvs(env: Mapping[str, str], home: str) -> list[str]:
    """Where pyenv keeps its versions: as it is told or by default, and beside the shims on PATH (steps need not know PYENV_ROOT)."""
    roots = [env.get("PYENV_ROOT") or os.path.join(home, ".pyenv")]
    for folder in env.get("PATH", "").split(":"):
        root, name = os.path.split(folder)
        if name == "shims" and os.path.isdir(os.path.join(root, "versions")):
            roots.append(root)
    return list(dict.fromkeys(roots))


def _on_path(folders: Iterable[str], shims: Iterable[str]) -> Iterator[Candidate]:
    hidden = {os.path.realpath(folder) for folder in shims}
    for folder in dict.fromkeys(folders):
        # pyenv's shims are scripts that may refuse; what they stand for was found already.
        if not os.path.isabs(folder) or os.path.realpath(folder) in hidden:
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
