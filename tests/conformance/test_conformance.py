"""What passes of the public test data must go on passing."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from jsonschema import Draft202012Validator

from relevo.workflow.json_schema import json_schema
from relevo.workflow.nodes import compose, plain


def _harness() -> ModuleType:
    path = os.path.join(os.path.dirname(__file__), "harness.py")
    spec = importlib.util.spec_from_file_location("relevo_conformance_harness", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


harness = _harness()

PAGE = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "conformance.md")


@pytest.mark.parametrize("folder", list(harness.FOLDERS))
def test_folder(folder: str, data_directory: str) -> None:
    directory = os.path.join(data_directory, folder)
    if not os.path.isdir(directory):
        pytest.skip(f"no folder {folder} in {data_directory}")
    outcomes = list(harness.FOLDERS[folder](directory))
    assert outcomes
    failed = {outcome.name: outcome.problem for outcome in outcomes if outcome.problem is not None}
    assert not failed


@pytest.mark.parametrize("folder", list(harness.FOLDERS))
def test_the_published_score_is_the_one_reached(folder: str, data_directory: str) -> None:
    with open(PAGE, encoding="utf-8") as file:
        row = re.search(rf"^\| {folder} \| (\d+)/(\d+) \| `(\w+)` \|", file.read(), re.MULTILINE)
    assert row is not None, f"docs/conformance.md has no row for {folder}"
    directory = os.path.join(data_directory, folder)
    if not os.path.isdir(directory) or harness.digest(directory) != row[3]:
        pytest.skip(f"{directory} is not the edition that the score was published for")
    outcomes = list(harness.FOLDERS[folder](directory))
    assert (sum(outcome.problem is None for outcome in outcomes), len(outcomes)) == (int(row[1]), int(row[2]))


def test_what_is_not_there_is_skipped_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    valid = tmp_path / "schema-valid"
    valid.mkdir()
    valid.joinpath("good.yml").write_text("on: push\njobs: {a: {runs-on: x}}\n")
    assert harness.main(str(tmp_path)) == 0
    assert "schema-valid: 1/1\n" in (told := capsys.readouterr().out)
    assert f"reader: skipped, there is no {tmp_path}/reader\n" in told
    valid.joinpath("bad.yml").write_text("on: push\n")
    assert harness.main(str(tmp_path)) == 1
    assert "FAILED schema-valid/bad.yml: " in capsys.readouterr().out


@pytest.mark.parametrize("folder", ["schema-valid", "schema-invalid", "lint-ok"])
def test_the_json_schema_says_the_same(folder: str, data_directory: str) -> None:
    directory = os.path.join(data_directory, folder)
    if not os.path.isdir(directory):
        pytest.skip(f"no folder {folder} in {data_directory}")
    validator = Draft202012Validator(json_schema())
    for file in Path(directory).iterdir():
        errors = [
            error.message for error in validator.iter_errors(plain(compose(file.read_bytes(), file.name)[0]))
        ]
        assert bool(errors) == (folder == "schema-invalid"), (file.name, errors)
