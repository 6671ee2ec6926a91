"""The page's own unit tests (web/tests), run here where there is Node."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

WEB = Path(__file__).parents[3] / "web"


def test_the_logic_of_the_page() -> None:
    if shutil.which("node") is None:
        pytest.skip("this machine lacks Node")
    if not (WEB / "node_modules" / ".stamp").exists():
        pytest.skip("the packages of web/ are not installed: scripts/console --packages")
    ran = subprocess.run(
        ["node", "node_modules/vitest/vitest.mjs", "run"],
        cwd=WEB,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-6_000:] + ran.stderr[-2_000:]
