"""Where the public test data lies."""

from __future__ import annotations

import os

import pytest

DEFAULT = "../shared/conformance"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--conformance", default=None, help=f"folder with the public test data (default {DEFAULT})"
    )


@pytest.fixture
def data_directory(request: pytest.FixtureRequest) -> str:
    """The folder that --conformance names; beside the repository by default. Skips when there is none."""
    given = request.config.getoption("--conformance", None) or os.environ.get("RELEVO_CONFORMANCE")
    directory = str(given or os.path.join(request.config.rootpath, DEFAULT))
    if not os.path.isdir(directory):
        pytest.skip(f"no public test data in {directory} (name it with --conformance DIR)")
    return directory
