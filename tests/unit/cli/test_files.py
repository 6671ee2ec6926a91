"""The commands that read workflow files, without an engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[3] / "src"

GOOD = "on: push\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps: [{run: make}]\n  test:\n    needs: build\n    if: always()\n    runs-on: ubuntu-latest\n    strategy: {matrix: {n: [1, 2]}}\n    steps: [{run: make test}, {run: make lint}]\n"


def relevo(folder: Path, *arguments: str) -> tuple[int, str, str]:
    ended = subprocess.run(
        [sys.executable, "-m", "relevo.cli.main", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(SOURCE), "PATH": os.environ["PATH"], "RELEVO_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_check_names_every_mistake_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "good.yml").write_text(GOOD)
    (tmp_path / "bad.yml").write_text(
        GOOD.replace("needs: build", "needs: biuld").replace("runs-on", "runs_on", 1)
    )
    (tmp_path / "asks.yml").write_text(GOOD.replace("    if: always()\n", "    container: debian\n"))
    assert relevo(tmp_path, "check", "good.yml") == (0, "good.yml: good\n", "")
    code, out, err = relevo(tmp_path, "check", "good.yml", "bad.yml", "asks.yml")
    assert (code, out) == (2, "good.yml: good\n")
    assert "bad.yml:4:5" in err
    assert "biuld" in err
    assert "asks.yml:8:" in err
    assert not (tmp_path / "home").exists()


def test_plan_tells_the_order(tmp_path: Path) -> None:
    (tmp_path / "good.yml").write_text(GOOD)
    code, out, _ = relevo(tmp_path, "plan", "good.yml")
    assert code == 0
    assert [line.split() for line in out.splitlines()[2:]] == [
        ["1", "build", "ubuntu-latest", "1"],
        ["2", "test", "build", "ubuntu-latest", "2", "matrix", "if:", "always()"],
    ]


def test_a_home_that_was_never_used_is_not_made_by_looking(tmp_path: Path) -> None:
    assert relevo(tmp_path, "runs") == (0, "no runs yet: `relevo run` starts one\n", "")
    assert relevo(tmp_path, "resume")[:2] == (0, "nothing to resume\n")
    code, out, err = relevo(tmp_path, "show")
    assert (code, out) == (2, "")
    assert "there is no run yet" in err
    assert not (tmp_path / "home").exists()
