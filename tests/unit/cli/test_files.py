"""The commands that read workflow files, without an engine."""

from __future__ import annotations

import json
import os
import re
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
    assert relevo(tmp_path, "check", "good.yml") == (0, "good.yml: good\n", "")
    code, out, err = relevo(tmp_path, "check", "good.yml", "bad.yml")
    assert (code, out) == (2, "good.yml: good\n")
    assert "bad.yml:4:5" in err
    assert "biuld" in err
    assert not (tmp_path / "home").exists()


def test_check_warns_of_what_is_good_but_cannot_be_meant_or_run(tmp_path: Path) -> None:
    asks = GOOD.replace("    if: always()\n", "    container: debian\n")
    (tmp_path / "asks.yml").write_text(asks.replace("{run: make}", "{run: 'echo ${{ github.head_ref }}'}"))
    code, out, err = relevo(tmp_path, "check", "asks.yml")
    assert (code, out) == (0, "asks.yml: good, with 2 warnings; relevo cannot run it\n")
    assert "asks.yml:5:19: warning: whoever chooses github.head_ref" in err
    assert "asks.yml:8:5: warning: a job cannot run in a container" in err


def test_plan_tells_the_order(tmp_path: Path) -> None:
    (tmp_path / "good.yml").write_text(GOOD)
    code, out, _ = relevo(tmp_path, "plan", "good.yml")
    assert code == 0
    assert [re.split(r" {2,}", line.strip()) for line in out.splitlines()[2:]] == [
        ["1", "build", "ubuntu-latest", "1"],
        ["2", "test", "build", "ubuntu-latest", "2", "matrix of 2, if: always()"],
    ]


def test_plan_for_programs_and_for_pages(tmp_path: Path) -> None:
    (tmp_path / "good.yml").write_text(GOOD)
    code, out, _ = relevo(tmp_path, "plan", "good.yml", "--json")
    plan = json.loads(out)
    assert code == 0
    assert (plan["path"], plan["on"], plan["problems"]) == ("good.yml", ["push"], [])
    assert [(job["id"], job["stage"], job["needs"], job["matrix"]) for job in plan["jobs"]] == [
        ("build", 1, [], []),
        ("test", 2, ["build"], [{"n": 1}, {"n": 2}]),
    ]
    code, out, _ = relevo(tmp_path, "plan", "good.yml", "--mermaid")
    assert (code, out) == (
        0,
        'flowchart LR\n  j0["build"]\n  j1["test · matrix of 2"]\n  j0 --> j1\n',
    )


def test_plan_refuses_what_cannot_be_run_all_in_one_pass(tmp_path: Path) -> None:
    steps = "[{uses: docker/login-action@v3}, {uses: some/action@v1}]"
    (tmp_path / "asks.yml").write_text(GOOD.replace("[{run: make}]", steps))
    for option in ((), ("--mermaid",)):
        code, _, err = relevo(tmp_path, "plan", "asks.yml", *option)
        assert code == 2
        assert "asks.yml:5:20: the action docker/login-action@v3 is not built in" in err
        assert "some/action@v1" in err
    code, out, _ = relevo(tmp_path, "plan", "asks.yml", "--json")
    assert (code, [one["line"] for one in json.loads(out)["problems"]]) == (2, [5, 5])


def test_a_plan_shows_the_jobs_of_called_workflows(tmp_path: Path) -> None:
    (tmp_path / "called.yml").write_text(GOOD.replace("on: push", "on: workflow_call"))
    (tmp_path / "caller.yml").write_text("on: push\njobs: {first: {uses: ./called.yml}}\n")
    _, out, _ = relevo(tmp_path, "plan", "caller.yml")
    assert [line.split()[:4] for line in out.splitlines()[2:]] == [
        ["1", "first", "calls", "./called.yml"],
        ["1", "first", "/", "build"],
        ["2", "first", "/", "test"],
    ]
    _, out, _ = relevo(tmp_path, "plan", "caller.yml", "--mermaid")
    assert out.splitlines()[1:] == [
        '  subgraph j0["first"]',
        '    j0_j0["build"]',
        '    j0_j1["test · matrix of 2"]',
        "    j0_j0 --> j0_j1",
        "  end",
    ]


def test_a_home_that_was_never_used_is_not_made_by_looking(tmp_path: Path) -> None:
    assert relevo(tmp_path, "runs") == (0, "no runs yet: `relevo run` starts one\n", "")
    assert relevo(tmp_path, "resume")[:2] == (0, "nothing to resume\n")
    code, out, err = relevo(tmp_path, "show")
    assert (code, out) == (2, "")
    assert "there is no run yet" in err
    assert not (tmp_path / "home").exists()
