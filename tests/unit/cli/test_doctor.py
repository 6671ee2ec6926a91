from __future__ import annotations

import os
from pathlib import Path

import pytest

from relevo.cli import doctor


def states(findings: list[doctor.Finding]) -> dict[str, str]:
    return {finding.what: finding.state for finding in findings}


def test_what_is_missing_comes_with_advice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    findings = doctor.examine(str(tmp_path / "home"))
    assert states(findings)["git"] == "bad"
    assert states(findings)["bash"] == "lacking"
    assert all(finding.advice for finding in findings if finding.state != "good")


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    doctor.examine(str(tmp_path / "not" / "there"))
    assert list(tmp_path.iterdir()) == []
    os.chmod(tmp_path, 0o700)
    assert states(doctor.examine(str(tmp_path)))["home"] == "good"
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_is_bad(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert states(doctor.examine(str(tmp_path / "file")))["home"] == "bad"
    os.chmod(tmp_path, 0o755)
    assert states(doctor.examine(str(tmp_path)))["home"] == "lacking"


def test_a_look_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken() -> list[doctor.Finding]:
        raise OSError("no such thing")

    monkeypatch.setattr(doctor, "_git", broken)
    found = [finding for finding in doctor.examine(str(tmp_path)) if "no such thing" in finding.found]
    assert [finding.state for finding in found] == ["bad"]
