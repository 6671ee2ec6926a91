from __future__ import annotations

import io
from pathlib import Path

import pytest

from relevo.cli import workflows
from relevo.domain.errors import UserError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    return tmp_path


def write(project: Path, name: str, text: str = "on: push\n") -> Path:
    path = project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_only_one_is_meant(project: Path) -> None:
    write(project, ".github/workflows/ci.yml")
    for start in (project, project / "deep" / "er"):
        found = workflows.find(None, str(start))
        assert found == (".github/workflows/ci.yml", b"on: push\n", str(project))


def test_several_are_a_choice(project: Path) -> None:
    write(project, ".github/workflows/ci.yml", 'name: "Continuous"\n')
    write(project, "relevo.yml")
    with pytest.raises(UserError, match="which one") as raised:
        workflows.find(None, str(project))
    assert raised.value.hint is not None
    assert "relevo run .github/workflows/ci.yml   (Continuous)" in raised.value.hint
    assert "relevo run relevo.yml" in raised.value.hint


def test_none_says_where_to_write_one(project: Path) -> None:
    with pytest.raises(UserError, match="there is no workflow") as raised:
        workflows.find(None, str(project))
    assert "relevo init" in str(raised.value.hint)


@pytest.mark.parametrize("asked", ["ci", "ci.yml", ".github/workflows/ci.yml", "my checks", "My Checks"])
def test_a_workflow_is_found_by_name(project: Path, asked: str) -> None:
    write(project, ".github/workflows/ci.yml", "name: My Checks # all\non: push\n")
    write(project, ".github/workflows/release.yml", "name: Release\n")
    assert workflows.find(asked, str(project)).path == ".github/workflows/ci.yml"


def test_an_unknown_name_lists_what_there_is(project: Path) -> None:
    write(project, ".github/workflows/ci.yml")
    for asked in ("cj", "cj.yml", "no/such/file"):
        with pytest.raises(UserError, match=r"there is no (workflow|file)") as raised:
            workflows.find(asked, str(project))
        assert "ci.yml" in str(raised.value.hint)


def test_a_file_elsewhere_brings_its_own_tree(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    path = write(other, "flow.yml")
    found = workflows.find(str(path), str(project))
    assert (found.path, found.directory) == ("flow.yml", str(other))


def test_a_folder_and_a_giant_are_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="is a folder"):
        workflows.find("deep", str(project))
    monkeypatch.setattr(workflows, "SIZE_LIMIT", 10)
    write(project, "big.yml", "x" * 11)
    with pytest.raises(UserError, match="no workflow file"):
        workflows.find("big.yml", str(project))


def test_stdin(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"on: push")))
    assert workflows.find("-", str(project)) == ("-", b"on: push", str(project))
