from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from relevo.cli import doctor, doctor_limits, doctor_places
from relevo.cli.finding import Finding


def states(findings: list[Finding]) -> dict[str, str]:
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
    def broken() -> list[Finding]:
        raise OSError("no such thing")

    monkeypatch.setattr(doctor, "_git", broken)
    found = [finding for finding in doctor.examine(str(tmp_path)) if "no such thing" in finding.found]
    assert [finding.state for finding in found] == ["bad"]


MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:5 / /home rw shared:3 - nfs4 server:/home rw
31 30 0:6 / /home/a\\040b/tmp rw shared:4 master:1 - tmpfs tmpfs rw
32 22 0:7 / /sys/fs/cgroup ro - tmpfs tmpfs rw
33 32 0:8 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct
34 32 0:9 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
35 22 0:10 / / rw - overlay overlay rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib", "overlay"),
        ("/homes", "overlay"),
        ("/home/x", "nfs4"),
        ("/home/a b/tmp/y", "tmpfs"),
        ("/home/a b", "nfs4"),
    ],
)
def test_what_a_path_lies_on(path: str, kind: str) -> None:
    assert doctor_places.kind_of(path, MOUNTS) == kind
    assert doctor_places.kind_of(path, "") == ""


def test_a_home_on_a_network_or_in_memory_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for kind, word in (("nfs4", "local disk"), ("tmpfs", "restarts")):
        monkeypatch.setattr(doctor_places, "kind_of", lambda path, mounts, kind=kind: kind)
        (finding,) = doctor_places.file_system(str(tmp_path / "not" / "there"))
        assert finding.state == "lacking"
        assert word in finding.advice


def test_which_cgroups_there_are() -> None:
    assert doctor_limits.hierarchies(MOUNTS) == {"cgroup2": ["/sys/fs/cgroup/unified"], "cgroup": ["cpu"]}
    assert doctor_limits.hierarchies("") == {"cgroup2": [], "cgroup": []}


def test_a_limit_on_the_size_of_files_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1 << 20, 1 << 20))
    found = states(doctor_limits.limits())
    assert found["file size"] == found["address space"] == "lacking"


def test_a_container_engine_that_does_not_answer_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = doctor._containers()
    assert (finding.state, "systemctl start docker" in finding.advice) == ("lacking", True)
    program.write_text("#!/bin/sh\necho 27.1.0\n")
    assert doctor._containers() == [Finding("containers", "good", "docker 27.1.0, for steps that call it")]
    program.unlink()
    assert doctor._containers()[0].state == "good"
