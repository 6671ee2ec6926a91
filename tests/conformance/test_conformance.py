"""What passes of the public test data must go on passing."""

from __future__ import annotations

import importlib.util
import os
import sys
from types import ModuleType

import pytest


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

#: Cases of the reader that do not pass, and why.
KNOWN = {
    "background-steps.yml": "steps in the background are refused, the model does not keep them",
    "errors-max-result-size.yml": "the size of a file is bounded by its bytes and values, not by this measure",
}


@pytest.mark.parametrize("folder", list(harness.FOLDERS))
def test_folder(folder: str, data_directory: str) -> None:
    directory = os.path.join(data_directory, folder)
    if not os.path.isdir(directory):
        pytest.skip(f"no folder {folder} in {data_directory}")
    outcomes = list(harness.FOLDERS[folder](directory))
    assert outcomes
    failed = {outcome.name: outcome.problem for outcome in outcomes if outcome.problem is not None}
    calls = [name for name, problem in failed.items() if "call others" in problem]
    unexpected = {name: why for name, why in failed.items() if name not in KNOWN and name not in calls}
    print(f"{folder}: {len(outcomes) - len(failed)}/{len(outcomes)}")
    assert not unexpected
