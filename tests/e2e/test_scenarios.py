"""Workflow files and what comes of them: each folder of `scenarios/` is run by the program itself, as the working tree, in a home
of its own.

expected.json: `exit`, `status`, `jobs` {id: {status, attempts?, outputs?}} (exactly these jobs); `log` {job: text, exact},
`log_ends`, `log_hex`, `log_has` {job: [parts]}; `stderr` [parts]; `events` [parts of events that must be there]; `args` for the
command line; `environment` of relevo; files of its `home`; `witness`: the steps get a file to write to in $WITNESS; `programs`: what the machine must have, else the scenario is
skipped by their name; `limits`: what it must be able to limit. Whatever lies beside workflow.yml is in the tree, too.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from relevo.providers.process import cgroups
from relevo.providers.process.limits import why_no_limit

FOLDER = Path(__file__).parent / "scenarios"
RELEVO = [sys.executable, "-m", "relevo.cli.main"]


def relevo(*args: str, folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*RELEVO, *args], cwd=folder, env=env, capture_output=True, timeout=100, check=False
    )


@pytest.mark.parametrize("scenario", sorted(path.name for path in FOLDER.iterdir()))
def test_scenario(scenario: str, tmp_path: Path) -> None:
    expected = json.loads((FOLDER / scenario / "expected.json").read_text())
    lacking = [name for name in expected.get("programs", []) if shutil.which(name) is None]
    if lacking:
        pytest.skip(f"not on PATH: {', '.join(lacking)}")
    for controller in expected.get("limits", []):
        if reason := why_no_limit(controller, cgroups.discover()):
            pytest.skip(f"{controller} cannot be limited: {reason}")
    folder = tmp_path / "tree"
    shutil.copytree(FOLDER / scenario, folder, ignore=shutil.ignore_patterns("expected.json"))
    env = {**os.environ, "RELEVO_HOME": str(tmp_path / "home"), "NO_COLOR": "1"}
    env |= expected.get("environment", {})
    for name, text in expected.get("home", {}).items():
        (tmp_path / "home").mkdir(mode=0o700, exist_ok=True)
        (tmp_path / "home" / name).write_text(text)
    args = [*expected.get("args", [])]
    if expected.get("witness"):
        args += ["--env", f"WITNESS={tmp_path / 'witness'}"]
    done = relevo("run", "workflow.yml", "--json", *args, folder=folder, env=env)
    told = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == expected["exit"], told
    for part in expected.get("stderr", []):
        assert part in done.stderr.decode()
    assert "Traceback" not in told
    if expected["jobs"] is None:
        assert not done.stdout
        return
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0]["event"] == "run.accepted"
    last = lines[-1]
    assert last["status"] == expected["status"]
    assert set(last["jobs"]) == set(expected["jobs"])
    finished = {line["job"]: line for line in lines if line.get("event") == "job.finished"}
    for job, wanted in expected["jobs"].items():
        assert last["jobs"][job]["status"] == wanted["status"], (job, told)
        assert last["jobs"][job]["attempts"] == wanted.get("attempts", last["jobs"][job]["attempts"])
        if "outputs" in wanted:
            assert finished[job]["outputs"] == wanted["outputs"]
    for part in expected.get("events", []):
        assert any(part.items() <= line.items() for line in lines), (part, told)
    for kind, agree in (
        ("log", lambda found, text: found == text.encode()),
        ("log_ends", lambda found, text: found.endswith(text.encode())),
        ("log_has", lambda found, parts: all(part.encode() in found for part in parts)),
        ("log_hex", lambda found, text: found.hex() == text),
    ):
        for job, text in expected.get(kind, {}).items():
            found = relevo("logs", last["run"], job, "--raw", folder=folder, env=env)
            assert found.returncode == 0, found.stderr
            assert agree(found.stdout, text), (job, found.stdout)
