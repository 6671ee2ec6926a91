"""The projects of examples/: their workflow files run end to end, unchanged, each in a repository of its own.

What a project needs that this machine lacks (a language, a package registry in reach) skips it, by name.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from relevo.agent.actions import pythons
from relevo.workflow.reader import read

PROJECTS = Path(__file__).parents[2] / "examples" / "projects"
#: A guard against hanging, not a measure: other work may share the machine.
PATIENCE_S = 600


class Project(NamedTuple):
    """A workflow file and what comes of it."""

    name: str
    file: str
    needs: tuple[str, ...]
    jobs: dict[str, str]  #: every job, with its status
    artifacts: tuple[str, ...] = ()
    args: tuple[str, ...] = ()


def succeeded(*jobs: str) -> dict[str, str]:
    return dict.fromkeys(jobs, "succeeded")


RUN = [
    Project(
        "python-library",
        "ci.yml",
        ("PyPI", "Python 3.11", "Python 3.13"),
        succeeded("lint", "Python 3.11", "Python 3.13", "all-green"),
        ("coverage",),
    ),
    Project(
        "python-package",
        "package.yml",
        ("PyPI",),
        {**succeeded("build", "Install the wheel", "Install the sdist"), "publish": "skipped"},
        ("dist",),
    ),
    Project(
        "python-docs",
        "docs.yml",
        ("PyPI",),
        {**succeeded("build", "links"), "deploy": "skipped"},
        ("site",),
    ),
    Project("django-app", "django.yml", ("PyPI", "Python 3.11"), succeeded("test (4.2)", "test (5.2)")),
    Project(
        "release",
        "release.yml",
        (),
        {
            **succeeded("prepare", "build (linux-amd64)", "build (linux-arm64)", "build (darwin-arm64)"),
            **succeeded("checksums", "rehearsal"),
            "publish": "skipped",
        },
        ("build-darwin-arm64", "build-linux-amd64", "build-linux-arm64", "notes", "release"),
        ("--input", "version=2.1.0"),
    ),
    Project(
        "js-library",
        "node.js.yml",
        ("node", "npm's registry", "Node 20"),
        succeeded("test (ubuntu-latest, 20.x, false)"),
    ),
    Project("typescript-app", "build.yml", ("node", "npm's registry"), succeeded("build", "smoke"), ("app",)),
    Project(
        "go-module",
        "go.yml",
        ("go", "a C compiler"),
        succeeded(
            *("Lint", "Test (plain)", "Test (-race)", "Release (dry run)"),
            *(f"Build {target}" for target in ("linux/amd64", "windows/amd64")),
        ),
        ("wordcount-linux-amd64", "wordcount-windows-amd64"),
    ),
    Project(
        "monorepo",
        "ci.yml",
        ("jq", "make"),
        succeeded("changes", "package (api) / test", "package (web) / test", "done"),
    ),
    Project("composite-action", "ci.yml", (), succeeded("greet (Ada)", "greet (Grace)")),
]
#: Files with actions that are not built in, and those actions.
REFUSED = {
    ("python-package", "publish.yml"): (
        "astral-sh/setup-uv@v5",
        "pypa/gh-action-pypi-publish@release/v1",
        "softprops/action-gh-release@v2",
        "some-company/notify@v3",
    ),
}


@functools.cache
def reached(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


def on_path(program: str) -> Callable[[Path], bool]:
    return lambda folder: shutil.which(program) is not None


def python(version: str) -> Callable[[Path], bool]:
    def there(folder: Path) -> bool:
        found = pythons.known(pythons.candidates(os.environ, str(folder)))
        return any(f"{one.version}".startswith(f"{version}.") for one in found)

    return there


THERE: dict[str, Callable[[Path], bool]] = {
    "PyPI": lambda folder: reached(
        *(sys.executable, "-m", "pip", "download", "--quiet", "--timeout", "5", "--retries", "0"),
        *("--no-deps", "--no-cache-dir", "--dest", str(folder), "flit_core"),
    ),
    "npm's registry": lambda folder: reached(
        "npm", "view", "undici-types", "version", "--fetch-timeout=5000", "--fetch-retries=0"
    ),
    "node": on_path("node"),
    "Node 20": lambda folder: reached(
        "node", "-e", "process.exit(process.version.startsWith('v20.') ? 0 : 1)"
    ),
    "go": on_path("go"),
    "a C compiler": on_path("cc"),
    "jq": on_path("jq"),
    "make": on_path("make"),
    "Python 3.11": python("3.11"),
    "Python 3.13": python("3.13"),
}


def repository(user, name: str) -> None:
    caches = shutil.ignore_patterns(".*_cache", "__pycache__")
    shutil.copytree(PROJECTS / name, user.tree, dirs_exist_ok=True, ignore=caches)
    git = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "First version"]):
        subprocess.run([*git, *command], cwd=user.tree, check=True, capture_output=True)


@pytest.mark.projects
@pytest.mark.timeout(PATIENCE_S + 60)
@pytest.mark.parametrize("project", RUN, ids=lambda project: f"{project.name}/{project.file}")
def test_it_runs_as_it_is(user, tmp_path: Path, project: Project) -> None:
    for need in project.needs:
        if not THERE[need](tmp_path):
            pytest.skip(f"{project.name} needs {need}")
    repository(user, project.name)
    done = user.relevo("run", project.file, "--json", *project.args, timeout_s=PATIENCE_S)
    told = done.out.decode() + done.err
    assert {name: job["status"] for name, job in done.last["jobs"].items()} == project.jobs, told
    assert (done.code, done.last["status"]) == (0, "succeeded"), told
    shown = user.relevo("show", done.run, "--json").last
    assert sorted(shown["artifacts"]) == sorted(project.artifacts)


@pytest.mark.parametrize(("name", "file"), REFUSED, ids="/".join)
def test_other_actions_are_named_in_one_pass_before_anything_starts(user, name: str, file: str) -> None:
    repository(user, name)
    checked = user.relevo("check", file)
    assert checked.code == 0
    for command in (("plan",), ("run", "--json")):
        done = user.relevo(*command, file)
        assert done.code == 2
        for action in REFUSED[name, file]:
            assert f"the action {action} is not built in" in done.err
        assert done.err.count("hint: ") >= len(REFUSED[name, file])
    assert user.relevo("runs").out == b"no runs yet: `relevo run` starts one\n"


@pytest.mark.parametrize(
    "path",
    sorted(PROJECTS.glob("*/.github/workflows/*.yml")),
    ids=lambda path: f"{path.parts[-4]}/{path.name}",
)
def test_it_is_read_without_a_warning_and_told_of(path: Path) -> None:
    assert read(path.read_bytes(), str(path)).warnings == ()
    place = f"projects/{path.parts[-4]}/.github/workflows/{path.name}"
    assert place in (PROJECTS.parent / "README.md").read_text()


def test_each_file_is_run_or_refused() -> None:
    files = {(path.parts[-4], path.name) for path in PROJECTS.glob("*/.github/workflows/*.yml")}
    called = {("monorepo", "package.yml")}
    assert files == {(one.name, one.file) for one in RUN} | set(REFUSED) | called
