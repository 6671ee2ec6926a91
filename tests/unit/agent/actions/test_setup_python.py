from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from relevo.agent.actions import pythons, setup_python
from relevo.agent.actions.contract import ActionFailed
from relevo.agent.actions.pythons import Candidate, parse_spec

OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture
def interpreter(tmp_path: Path) -> Callable[..., Path]:
    """Makes programs that answer as an interpreter of some version would, and count how often they are asked."""

    def make(path: str, version: str, implementation: str = "cpython", freethreaded: bool = False) -> Path:
        program = tmp_path / path
        program.parent.mkdir(parents=True, exist_ok=True)
        answer = {
            "version": version,
            "executable": str(program),
            "prefix": "/nowhere",
            "implementation": implementation,
            "purelib": "/nowhere",
            "freethreaded": freethreaded,
        }
        program.write_text(f"#!/bin/sh\necho asked >> {program}.asked\ncat <<'E'\n{json.dumps(answer)}\nE\n")
        program.chmod(0o755)
        return program

    return make


def found_in(tmp_path: Path, **env: str) -> list[Candidate]:
    """Candidates below the test's own folder: the machine has some of its own."""
    found = pythons.candidates({"HOME": str(tmp_path), "PATH": "", **env}, str(tmp_path / "tools"))
    return [candidate for candidate in found if candidate.path.startswith(str(tmp_path))]


def test_all_the_places(tmp_path: Path, interpreter: Any) -> None:
    interpreter("tools/Python/3.13.1/x64/bin/python", "3.13.1")
    interpreter(".pyenv/versions/3.12.1/bin/python", "3.12.1")
    interpreter(".local/share/uv/python/cpython-3.11.7-linux-x86_64-gnu/bin/python", "3.11.7")
    interpreter("bin/python3.10", "3.10.2")
    interpreter("bin/python3", "3.9.1")
    interpreter("bin/python3-config", "0.0.0")
    interpreter(".pyenv/shims/python3.8", "3.8.1")
    shims = tmp_path / ".pyenv" / "shims"
    found = found_in(tmp_path, PATH=f"{shims}:{tmp_path / 'bin'}:relative:/does/not/exist")
    versions = [str(python.version) for python in pythons.known(found)]
    assert versions == ["3.13.1", "3.12.1", "3.11.7", "3.10.2", "3.9.1"]


def test_versions_beside_the_shims_on_path_are_found_wherever_they_lie(
    tmp_path: Path, interpreter: Any
) -> None:
    interpreter("opt/pyenv/versions/3.12.1/bin/python", "3.12.1")
    interpreter("opt/pyenv/shims/python3.8", "3.8.1")
    found = found_in(tmp_path, PATH=str(tmp_path / "opt/pyenv/shims"))
    assert [str(python.version) for python in pythons.known(found)] == ["3.12.1"]


def test_only_those_that_may_match_are_asked_and_only_once(tmp_path: Path, interpreter: Any) -> None:
    old = interpreter("bin/python3.8", "3.8.18")
    late = interpreter("bin/python3.11", "3.11.1")
    new = interpreter("bin/python3.12", "3.12.1")
    found = found_in(tmp_path, PATH=str(tmp_path / "bin"))
    for _ in range(2):
        assert [str(python.version) for python in pythons.matching(parse_spec(">=3.10"), found)] == ["3.12.1"]
    assert not Path(f"{old}.asked").exists()
    assert not Path(f"{late}.asked").exists()
    assert Path(f"{new}.asked").read_text() == "asked\n"


def test_the_latest_comes_first_and_sources_decide_among_equals(tmp_path: Path, interpreter: Any) -> None:
    interpreter("bin/python3.12", "3.12.4")
    kept = interpreter(".pyenv/versions/3.12.4/bin/python", "3.12.4")
    interpreter(".pyenv/versions/3.12.1/bin/python", "3.12.1")
    found = found_in(tmp_path, PATH=str(tmp_path / "bin"))
    matching = pythons.matching(parse_spec("3.12"), found)
    assert [str(python.version) for python in matching] == ["3.12.4", "3.12.4", "3.12.1"]
    assert matching[0].executable == str(kept)


def test_what_does_not_answer_is_no_interpreter(tmp_path: Path, interpreter: Any) -> None:
    interpreter("bin/python3.12", "nonsense")
    interpreter("bin/python3.11", "3.11.1", implementation="pypy")
    broken = interpreter("bin/python3.10", "3.10.1")
    broken.write_text("#!/nowhere/at/all\n")
    failing = interpreter("bin/python3.9", "3.9.1")
    failing.write_text("#!/bin/sh\nexit 1\n")
    assert pythons.known(found_in(tmp_path, PATH=str(tmp_path / "bin"))) == []


def test_freethreaded_only_when_asked_for(tmp_path: Path, interpreter: Any) -> None:
    interpreter("bin/python3.13t", "3.13.1", freethreaded=True)
    interpreter("bin/python3.13", "3.13.0")
    found = found_in(tmp_path, PATH=str(tmp_path / "bin"))
    assert [str(python.version) for python in pythons.matching(parse_spec("3.13"), found)] == ["3.13.0"]
    assert [str(python.version) for python in pythons.matching(parse_spec("3.13t"), found)] == ["3.13.1"]


def test_a_virtual_environment_stands_for_its_interpreter() -> None:
    python = pythons.ask(sys.executable)
    assert python is not None
    assert (
        not os.path.realpath(python.purelib).startswith(os.path.realpath(sys.prefix))
        or sys.prefix == sys.base_prefix
    )
    assert python.prefix == sys.base_prefix


def printed(command: list[str], **env: str) -> str:
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else f"{done.returncode}: {done.stderr}"


async def test_later_steps_get_it(context: Any) -> None:
    ctx = context(python_version=OWN)
    ctx.env = dict(os.environ)
    await setup_python.main(ctx)
    location = ctx.exported["pythonLocation"]
    assert ctx.paths == [f"{location}/bin"]
    assert location.startswith(ctx.temp)
    assert ctx.outputs["python-path"] == f"{location}/bin/python"
    assert ctx.outputs["python-version"].startswith(f"{OWN}.")
    assert ctx.outputs["cache-hit"] == "false"
    env = {"PATH": f"{location}/bin:{os.environ['PATH']}", "HOME": ctx.workspace}
    for command in ("python", "python3", f"python{OWN}"):
        shown = printed([command, "-V"], **env)
        assert shown == f"Python {ctx.outputs['python-version']}\n"
    for command in ("pip", f"pip{OWN}"):
        shown = printed([command, "--version"], **env)
        assert location in shown
        assert f"(python {OWN})" in shown


async def test_what_a_job_installs_stays_in_the_job(context: Any) -> None:
    ctx = context(python_version=OWN)
    ctx.env = dict(os.environ)
    await setup_python.main(ctx)
    project = Path(ctx.workspace) / "project"
    project.mkdir()
    metadata = "Metadata-Version: 2.1\nName: relevo-sample\nVersion: 1\n"
    import zipfile

    wheel = project / "relevo_sample-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("relevo_sample.py", "x = 1\n")
        archive.writestr("relevo_sample-1.dist-info/METADATA", metadata)
        archive.writestr(
            "relevo_sample-1.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("relevo_sample-1.dist-info/RECORD", "")
    python = ctx.outputs["python-path"]
    install = [python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", str(wheel)]
    assert printed(install, HOME=ctx.workspace, PIP_DISABLE_PIP_VERSION_CHECK="1") == ""
    assert printed([python, "-c", "import relevo_sample"]) == ""
    other = pythons.ask(sys.executable)
    assert other is not None
    assert "No module named 'relevo_sample'" in printed([other.executable, "-c", "import relevo_sample"])


async def test_without_touching_the_environment(context: Any) -> None:
    ctx = context(python_version=OWN, update_environment="false")
    ctx.env = dict(os.environ)
    await setup_python.main(ctx)
    assert ctx.paths == []
    assert ctx.exported == {}
    assert os.access(ctx.outputs["python-path"], os.X_OK)
    assert not ctx.outputs["python-path"].startswith(ctx.temp)


async def test_what_is_not_there_is_told_with_what_is(
    context: Any, tmp_path: Path, interpreter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    interpreter("bin/python3.10", "3.10.2")
    found = found_in(tmp_path, PATH=str(tmp_path / "bin"))
    monkeypatch.setattr(pythons, "candidates", lambda env, tools: found)
    with pytest.raises(ActionFailed, match=r"no Python 3\.99 on this host, it has 3\.10\.2\."):
        await setup_python.main(context(python_version="3.99"))
    with pytest.raises(ActionFailed, match=r"if you mean 3\.10, write it in quotes: '3\.10'"):
        await setup_python.main(context(python_version="3.1"))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"python_version": "pypy3.9"}, "only CPython"),
        ({"python_version": "latest"}, "no version spec"),
        ({"python_version": "3.x", "architecture": "s390x"}, "cannot run here"),
        ({"python_version": "3.x", "cache": "conda"}, "none of pip, pipenv, poetry"),
        ({"python_version_file": "missing"}, "there is no missing in the workspace"),
        ({"python_version_file": "../x"}, "outside of the workspace"),
    ],
)
async def test_what_is_refused(context: Any, inputs: dict[str, str], message: str) -> None:
    with pytest.raises(ActionFailed, match=message):
        await setup_python.main(context(**inputs))


async def test_several_versions_and_the_last_one_is_python(
    context: Any, tmp_path: Path, interpreter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    interpreter("bin/python3.10", "3.10.2")
    interpreter("bin/python3.11", "3.11.3")
    found = found_in(tmp_path, PATH=str(tmp_path / "bin"))
    monkeypatch.setattr(pythons, "candidates", lambda env, tools: found)
    ctx = context(python_version="3.11\n3.10\n", update_environment="false")
    await setup_python.main(ctx)
    assert ctx.outputs["python-version"] == "3.10.2"
    assert len(ctx.logged) == 2


async def test_pip_inputs(context: Any) -> None:
    ctx = context(python_version=OWN, pip_version="24.0", pip_install="-r 'my requirements.txt' wheel")
    ctx.env = dict(os.environ)
    await setup_python.main(ctx)
    assert [argv[1:] for argv in ctx.ran] == [
        ["-m", "pip", "install", "--upgrade", "pip==24.0"],
        ["-m", "pip", "install", "-r", "my requirements.txt", "wheel"],
    ]
    assert ctx.warnings == []


async def test_what_pip_downloaded_is_cached_by_its_requirements(working: Any, tmp_path: Path) -> None:
    def prepared(place: str, wanted: str) -> Any:
        ctx = working(place, python_version=OWN, cache="pip")
        ctx.env = {
            **os.environ,
            "HOME": str(tmp_path / place),
            "PIP_CACHE_DIR": str(tmp_path / place / "pip"),
        }
        (Path(ctx.workspace) / "requirements.txt").write_text(wanted)
        return ctx

    first = prepared("one", "a==1")
    await setup_python.main(first)
    assert first.outputs["cache-hit"] == "false"
    (tmp_path / "one/pip").mkdir()
    (tmp_path / "one/pip/wheel").write_text("bytes")
    await setup_python.post(first)
    second = prepared("two", "a==1")
    await setup_python.main(second)
    assert second.outputs["cache-hit"] == "true"
    assert (tmp_path / "two/pip/wheel").read_text() == "bytes"
    other = prepared("three", "a==2")
    await setup_python.main(other)
    assert other.outputs["cache-hit"] == "false"
    assert (tmp_path / "three/pip/wheel").read_text() == "bytes", "the nearest is better than none"


async def test_pyproject_serves_where_there_are_no_requirements(working: Any, tmp_path: Path) -> None:
    ctx = working(python_version=OWN, cache="pip")
    ctx.env = {**os.environ, "PIP_CACHE_DIR": str(tmp_path / "pip")}
    with pytest.raises(
        ActionFailed, match=r"no file in .* matches \*\*/pyproject.toml: check the repository out"
    ):
        await setup_python.main(ctx)
    (Path(ctx.workspace) / "pyproject.toml").write_text("[project]")
    await setup_python.main(ctx)
    assert ctx.posts == 1


async def test_the_caches_of_pipenv_and_poetry(working: Any, tmp_path: Path) -> None:
    poetry = tmp_path / "bin/poetry"
    poetry.parent.mkdir()
    listed = 'virtualenvs.in-project = true\nvirtualenvs.path = "{cache-dir}/v"  # /nowhere/pypoetry/v'
    poetry.write_text(f"#!/bin/sh\ncat <<'E'\n{listed}\nE\n")
    poetry.chmod(0o755)
    for manager, lock, paths in (
        ("pipenv", "Pipfile.lock", "~/.local/share/virtualenvs"),
        ("poetry", "poetry.lock", "/nowhere/pypoetry/v\\n**/.venv"),
    ):
        ctx = working(manager, python_version=OWN, cache=manager)
        ctx.env = {**os.environ, "PATH": f"{poetry.parent}:{os.environ['PATH']}"}
        (Path(ctx.workspace) / lock).write_text("x")
        await setup_python.main(ctx)
        assert f'"{paths}"' in ctx.state["cache"]
        assert f"-{manager}-" in ctx.state["cache"]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (".python-version", "# ours\n3.12\n", "3.12"),
        (".python-version", "3.12\n3.11\n", "3.12\n3.11"),
        (".tool-versions", "nodejs 20\npython 3.11.4\n", "3.11.4"),
        ("pyproject.toml", '[project]\nrequires-python = ">=3.9, !=3.9.7, <3.13"\n', ">=3.9 <3.13"),
        ("pyproject.toml", '[project]\nrequires-python = "~=3.10"\n', ">=3.10 <4"),
        ("pyproject.toml", '[project]\nrequires-python = "~=3.10.2"\n', "~3.10.2"),
        ("pyproject.toml", '[project]\nrequires-python = "==3.12.*"\n', "3.12.*"),
        ("pyproject.toml", '[tool.poetry.dependencies]\npython = "^3.10"\n', "^3.10"),
        ("Pipfile", '[requires]\npython_version = "3.11"\n', "3.11"),
    ],
)
def test_version_files(tmp_path: Path, name: str, text: str, expected: str) -> None:
    (tmp_path / name).write_text(text)
    assert setup_python.read_version_file(str(tmp_path / name)) == expected
    for line in expected.splitlines():
        parse_spec(line)


@pytest.mark.parametrize(
    ("name", "text"), [("pyproject.toml", "]["), ("pyproject.toml", ""), (".python-version", "\n")]
)
def test_version_files_that_tell_nothing(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ActionFailed, match="python-version-file"):
        setup_python.read_version_file(str(tmp_path / name))


async def test_the_file_is_taken_by_default(context: Any) -> None:
    ctx = context(update_environment="false")
    ctx.env = dict(os.environ)
    (Path(ctx.workspace) / ".python-version").write_text(f"{OWN}\n")
    await setup_python.main(ctx)
    assert ctx.outputs["python-version"].startswith(OWN)
    assert ctx.warnings == []
    (Path(ctx.workspace) / ".python-version").unlink()
    await setup_python.main(ctx)
    assert "Neither" in ctx.warnings[0]
