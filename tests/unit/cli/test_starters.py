from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.cli.starters import Starter, starters, workflow
from relevo.workflow.reader import read
from relevo.workflow.support import unsupported


def lay(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


CASES: list[tuple[dict[str, str], str, list[str]]] = [
    ({}, "nothing that says how it is built", ['echo "Hello from $GITHUB_WORKFLOW"']),
    ({"requirements.txt": "flask\n"}, "Python (requirements.txt)", ["python -m pip install -r requirements.txt", "python -m compileall -q ."]),
    (
        {"pyproject.toml": '[project]\nname = "a"\noptional-dependencies.test = ["pytest"]\n'},
        "Python (pyproject.toml)",
        ["python -m pip install '.[test]'\npython -m pip install pytest", "python -m pytest"],
    ),
    ({"tox.ini": "", "setup.py": ""}, "Python with tox (tox.ini)", ["python -m pip install tox", "python -m tox run"]),
    ({"uv.lock": "", "pyproject.toml": "", "tests/conftest.py": ""}, "Python with uv (pyproject.toml)", ["python -m pip install uv\nuv sync", "uv run python -m pytest"]),
    ({"poetry.lock": "", "pyproject.toml": "no = toml ="}, "Python with poetry (pyproject.toml)", ["python -m pip install poetry\npoetry install", "poetry run python -m compileall -q ."]),
    ({"manage.py": ""}, "Python (manage.py)", ["python manage.py test"]),
    ({"setup.cfg": "", "tests/__init__.py": ""}, "Python (setup.cfg)", ["python -m unittest discover"]),
    (
        {"pyproject.toml": '[dependency-groups]\ndev = ["pytest"]\n'},
        "Python (pyproject.toml)",
        [
            "python -m pip install --upgrade pip  # older ones know no groups\npython -m pip install --group dev\npython -m pip install pytest",
            "python -m pytest",
        ],
    ),
    ({"package.json": '{"scripts": {"test": "jest", "build": "tsc"}}', "package-lock.json": ""}, "Node with npm (package.json)", ["npm ci", "npm run build", "npm run test"]),
    ({"package.json": '{"scripts": {"test": "echo no test specified"}}'}, "Node with npm (package.json)", ["npm install"]),
    ({"package.json": '{"packageManager": "pnpm@9.1.0"}'}, "Node with pnpm (package.json)", ["pnpm install"]),
    ({"package.json": "[]", "yarn.lock": ""}, "Node with yarn (package.json)", ["yarn install"]),
    ({"package.json": "{", "bun.lockb": ""}, "Node with bun (package.json)", ["bun install"]),
    ({"go.mod": ""}, "Go (go.mod)", ["go build ./...", "go vet ./...", "go test ./..."]),
    ({"Cargo.toml": "", "Cargo.lock": ""}, "Rust (Cargo.toml)", ["cargo build --all-targets --locked", "cargo test --locked"]),
    ({"Makefile": "V := 1\nall: x\ntest: all\n\ttrue\nlint:\n"}, "make (Makefile)", ["make lint", "make test"]),
    ({"Makefile": "all:\n\ttrue\n"}, "make (Makefile)", ["make"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "found", "scripts"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_is_found_becomes_a_job_that_can_be_run(
    tmp_path: Path, files: dict[str, str], found: str, scripts: list[str]
) -> None:
    made = starters(str(lay(tmp_path, files)))
    assert [starter.found for starter in made] == [found]
    assert [script for _, script in made[0].steps] == scripts
    assert jobs(made) == {made[0].job: scripts}


def jobs(made: list[Starter]) -> dict[str, list[str]]:
    """The scripts of each job, as the file is read again; it has nothing to complain of."""
    read_again = read(workflow(made).encode(), "ci.yml")
    assert read_again.warnings == ()
    assert unsupported(read_again) == ()
    return {
        name: [(step.run or "").rstrip("\n") for step in job.spec.steps if step.run is not None]
        for name, job in read_again.jobs.items()
    }


def test_each_part_has_a_job_and_make_counts_only_alone(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {"package.json": "{}", "go.mod": "", "Cargo.toml": "", "setup.py": "", "Makefile": "test:\n"},
    )
    assert list(jobs(starters(str(tmp_path)))) == ["python", "node", "go", "rust"]


@given(st.text(max_size=20))
def test_whatever_a_project_requires_the_file_can_be_read(required: str) -> None:
    with TemporaryDirectory() as folder:
        lay(Path(folder), {"pyproject.toml": f"project.requires-python = {json.dumps(required)}"})
        assert list(jobs(starters(folder))) == ["python"]


def test_a_file_that_is_a_folder_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "package.json").mkdir()
    assert starters(str(tmp_path))[0].found == "Node with npm (package.json)"


def test_the_version_that_a_project_requires_is_asked_for(tmp_path: Path) -> None:
    lay(tmp_path, {"pyproject.toml": '[project]\nname = "a"\nrequires-python = ">=3.11"\n'})
    assert starters(str(tmp_path))[0].python == ">=3.11"
    assert 'python-version: ">=3.11"' in workflow(starters(str(tmp_path)))
