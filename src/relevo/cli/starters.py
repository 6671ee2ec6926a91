"""What a repository is made with, and the jobs of a first workflow for it. Reads files of the repository's root, runs nothing."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable
from typing import Any, Final, NamedTuple

#: Files that are larger are not looked into.
SIZE_LIMIT: Final = 1 << 20
#: Names of extras and dependency groups that bring what tests need, the best first.
_TEST_EXTRAS: Final = ("test", "tests", "testing", "dev")
#: What both Python's packages and actions/setup-python understand.
_AT_LEAST: Final = re.compile(r">=[0-9]+(\.[0-9]+)?", re.ASCII)
_TARGET: Final = re.compile(r"^([A-Za-z][\w-]*)\s*:(?!=)", re.MULTILINE)


class Starter(NamedTuple):
    """A part of the repository, with the job that builds and tests it."""

    job: str  #: the job's id
    found: str  #: what was found, for people: `Python (pyproject.toml)`
    steps: tuple[tuple[str, str], ...]  #: name and script of each, after the checkout
    python: str = ""  #: the version for actions/setup-python, "" to leave it out
    programs: tuple[str, ...] = ()  #: that must be installed where it runs


class Files:
    """The root of a repository."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def has(self, *names: str) -> str | None:
        """The first of these files and folders that there is."""
        return next((name for name in names if os.path.exists(os.path.join(self.directory, name))), None)

    def read(self, name: str) -> str:
        """A file's text; "" if there is none that can be read."""
        try:
            with open(os.path.join(self.directory, name), "rb") as file:
                return file.read(SIZE_LIMIT).decode("utf-8", "replace")
        except OSError:
            return ""


def starters(directory: str) -> list[Starter]:
    """The jobs for what is found; make alone counts only where nothing else does. Never empty."""
    files = Files(directory)
    looks: tuple[Callable[[Files], Starter | None], ...] = (_python, _node, _go, _rust)
    found = [one for one in (look(files) for look in looks) if one is not None]
    if not found:
        found = [_make(files) or Starter("hello", "nothing that says how it is built", (_HELLO,))]
    return found


_HELLO: Final = ("Say hello", 'echo "Hello from $GITHUB_WORKFLOW"')


def _python(files: Files) -> Starter | None:
    named = files.has("pyproject.toml", "tox.ini", "setup.py", "setup.cfg", "requirements.txt", "manage.py")
    if named is None:
        return None
    project = _toml(files.read("pyproject.toml"))
    required = str(_at(project, "project", "requires-python") or "")
    version = required if _AT_LEAST.fullmatch(required) else "3.x"
    if files.has("uv.lock"):
        manager, run = "uv", "uv run "
        install = ["python -m pip install uv", "uv sync"]
    elif files.has("poetry.lock"):
        manager, run = "poetry", "poetry run "
        install = ["python -m pip install poetry", "poetry install"]
    elif files.has("tox.ini") or _at(project, "tool", "tox"):
        return Starter(
            "python",
            f"Python with tox ({files.has('tox.ini') or named})",
            (("Install", "python -m pip install tox"), ("Test", "python -m tox run")),
            version,
        )
    else:
        manager, run = "", ""
        install = _pip(files, project)
    test = _python_test(files)
    if test == "python -m pytest" and not manager:
        install.append("python -m pip install pytest")
    steps = [("Install", "\n".join(install))] if install else []
    found = f"Python with {manager} ({named})" if manager else f"Python ({named})"
    return Starter("python", found, (*steps, ("Test", f"{run}{test}")), version)


def _pip(files: Files, project: dict[str, Any]) -> list[str]:
    commands = [
        f"python -m pip install -r {name}"
        for name in (
            "requirements.txt",
            "requirements-dev.txt",
            "requirements-test.txt",
            "dev-requirements.txt",
        )
        if files.has(name)
    ]
    if files.has("setup.py") or "project" in project or "build-system" in project:
        extras = _at(project, "project", "optional-dependencies") or {}
        extra = next((name for name in _TEST_EXTRAS if name in extras), None)
        commands.append(f"python -m pip install '.[{extra}]'" if extra else "python -m pip install .")
    groups = project.get("dependency-groups") or {}
    group = next((name for name in _TEST_EXTRAS if name in groups), None)
    if group:
        commands += [
            "python -m pip install --upgrade pip  # older ones know no groups",
            f"python -m pip install --group {group}",
        ]
    return commands


def _python_test(files: Files) -> str:
    told = "".join(
        map(files.read, ("pyproject.toml", "setup.cfg", "requirements.txt", "requirements-dev.txt"))
    )
    if "pytest" in told or files.has("pytest.ini", "conftest.py", "tests/conftest.py"):
        return "python -m pytest"
    if files.has("manage.py"):
        return "python manage.py test"
    if files.has("tests/__init__.py", "test/__init__.py"):
        return "python -m unittest discover"
    return "python -m compileall -q ."


def _node(files: Files) -> Starter | None:
    if not files.has("package.json"):
        return None
    try:
        package = json.loads(files.read("package.json"))
    except ValueError:
        package = {}
    package = package if isinstance(package, dict) else {}
    manager = str(package.get("packageManager") or "").partition("@")[0]
    if manager not in ("npm", "pnpm", "yarn", "bun"):
        locks = {"pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn", "bun.lock": "bun", "bun.lockb": "bun"}
        manager = locks.get(files.has(*locks) or "", "npm")
    frozen = "npm ci" if files.has("package-lock.json", "npm-shrinkwrap.json") else "npm install"
    install = {
        "npm": frozen,
        "pnpm": "pnpm install --frozen-lockfile" if files.has("pnpm-lock.yaml") else "pnpm install",
    }.get(manager, f"{manager} install")
    scripts = package.get("scripts")
    scripts = scripts if isinstance(scripts, dict) else {}
    steps = [("Install", install)]
    steps += [
        (script.capitalize(), f"{manager} run {script}")
        for script in ("lint", "build", "test")
        if script in scripts and "no test specified" not in str(scripts[script])
    ]
    programs = (manager,) if manager == "bun" else ("node", manager)
    return Starter("node", f"Node with {manager} (package.json)", tuple(steps), programs=programs)


def _go(files: Files) -> Starter | None:
    if not files.has("go.mod"):
        return None
    steps = (("Build", "go build ./..."), ("Vet", "go vet ./..."), ("Test", "go test ./..."))
    return Starter("go", "Go (go.mod)", steps, programs=("go",))


def _rust(files: Files) -> Starter | None:
    if not files.has("Cargo.toml"):
        return None
    locked = " --locked" if files.has("Cargo.lock") else ""
    steps = (("Build", f"cargo build --all-targets{locked}"), ("Test", f"cargo test{locked}"))
    return Starter("rust", "Rust (Cargo.toml)", steps, programs=("cargo",))


def _make(files: Files) -> Starter | None:
    name = files.has("GNUmakefile", "makefile", "Makefile")
    if name is None:
        return None
    targets = _TARGET.findall(files.read(name))
    chosen = [target for target in ("lint", "build", "check", "test") if target in targets]
    steps = tuple((target.capitalize(), f"make {target}") for target in chosen) or (("Make", "make"),)
    return Starter("make", f"make ({name})", steps, programs=("make",))


def workflow(found: list[Starter]) -> str:
    """The file."""
    lines = [
        "name: CI",
        "on:",
        "  push:",
        "  pull_request:",
        "  workflow_dispatch:",
        "",
        "jobs:",
    ]
    for place, starter in enumerate(found):
        lines += [""] if place else []
        lines += [
            f"  {starter.job}:",
            "    runs-on: ubuntu-latest",
            "    steps:",
            "      - uses: actions/checkout@v4",
        ]
        if starter.python:
            lines += ["      - uses: actions/setup-python@v5", "        with:"]
            lines += [f'          python-version: "{starter.python}"']
        for name, script in starter.steps:
            lines.append(f"      - name: {name}")
            commands = script.split("\n")
            if len(commands) == 1:
                lines.append(f"        run: {script}")
            else:
                lines += ["        run: |", *(f"          {command}" for command in commands)]
    return "\n".join(lines) + "\n"


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def _at(table: Any, *keys: str) -> Any:
    for key in keys:
        table = table.get(key) if isinstance(table, dict) else None
    return table
