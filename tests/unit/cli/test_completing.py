"""What the shells are offered, asked as their scripts ask."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DRIVER = str(Path(__file__).parent / "driver.py")
WORKFLOW = "on: push\njobs:\n  build: {runs-on: linux, steps: [{run: 'true'}]}\n  test: {runs-on: linux, steps: [{run: 'true'}]}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".github" / "workflows" / "ci.yml").write_text(WORKFLOW)
    (tmp_path / ".github" / "workflows" / "deploy.yml").write_text(WORKFLOW)
    return tmp_path


def offered(project: Path, scenario: str, line: str, shell: str = "bash") -> list[str]:
    """What stands behind a command line; its last word is the one that is being typed."""
    words = line.split(" ")
    ended = subprocess.run(
        [sys.executable, "-W", "error", DRIVER, scenario],
        cwd=project,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "RELEVO_HOME": str(project / "home"),
            "_RELEVO_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr == ""
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("line", "items"),
    [
        ("relevo re", ["plain,resume", "plain,retry"]),
        ("relevo nonsense x", []),
        ("relevo run --comm", ["plain,--committed"]),
        ("relevo run ", ["plain,ci.yml", "plain,deploy.yml"]),
        ("relevo check ci.yml d", ["plain,deploy.yml"]),
        ("relevo plan ./x", ["file,./x"]),
        ("relevo run ci.yml --job t", ["plain,test"]),
        ("relevo show ", ["plain,latest", "plain,r1"]),
        ("relevo cancel r", ["plain,r1"]),
        ("relevo logs latest ", ["plain,build", "plain,'test", "(3.11,", "linux)'"]),
        ("relevo logs b", ["plain,build"]),
        ("relevo logs l", ["plain,latest"]),
        ("relevo fail --job ", ["plain,build"]),
        ("relevo retry r1 --job ", ["plain,build"]),
        ("relevo db ", ["plain,check"]),
    ],
)
def test_bash(project: Path, line: str, items: list[str]) -> None:
    assert offered(project, "held_with_legs", line) == items


def test_zsh_is_told_what_each_is(project: Path) -> None:
    told = " ".join(offered(project, "held_with_legs", "relevo fail --job ", "zsh"))
    assert told == "plain build the agent went away"


@pytest.mark.parametrize("scenario", ["damaged_home", "empty"])
def test_where_nothing_can_be_told_nothing_is_offered(project: Path, scenario: str) -> None:
    assert offered(project, scenario, "relevo logs latest ") == []
    assert offered(project, scenario, "relevo run none.yml --job ") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shells_read_their_scripts(project: Path, shell: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    script = subprocess.run(
        [sys.executable, "-m", "relevo.cli.main", "completion", shell],
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "_RELEVO_COMPLETE" in script
    ended = subprocess.run([program, "-n"], input=script, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_bash_completes_a_job_with_spaces_in_quotes(project: Path) -> None:
    """The script itself, in a bash of its own, with a program in relevo's place that asks the driver."""
    (project / "relevo").write_text(f'#!/bin/sh\nexec {sys.executable} {DRIVER} held_with_legs "$@"\n')
    (project / "relevo").chmod(0o755)
    asked = (
        "source <(relevo completion bash); COMP_WORDS=(relevo logs latest te); COMP_CWORD=3; "
        '_relevo_completion relevo; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    ended = subprocess.run(
        ["bash", "--norc", "-c", asked],
        cwd=project,
        env={
            "PATH": f"{project}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "RELEVO_HOME": str(project / "home"),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "'test (3.11, linux)'\n"
