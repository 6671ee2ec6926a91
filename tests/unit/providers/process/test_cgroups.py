from __future__ import annotations

import errno
from pathlib import Path

import pytest

from relevo.domain.ids import AttemptKey
from relevo.providers.contract import WorkerSpec, WorkerUnavailable
from relevo.providers.process import ProcessProvider, cgroups, trees
from relevo.providers.process import provider as provider_module
from relevo.providers.process.cgroups import Layout, layout
from relevo.providers.process.limits import why_no_limit

UNIFIED = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = """\
25 1 0:22 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
26 25 0:23 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
29 25 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
31 25 0:28 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
33 25 0:30 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
34 25 0:31 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
35 25 0:32 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""


def test_layout_of_a_unified_machine() -> None:
    own = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/term.scope\n"
    assert layout(UNIFIED, own) == Layout(
        unified="/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/term.scope"
    )


def test_layout_of_a_hybrid_machine() -> None:
    own = "9:name=systemd:/\n8:pids:/\n6:freezer:/\n4:memory:/box/a:b\n2:cpuacct,cpu:/\n0::/\n"
    assert layout(HYBRID, own) == Layout(
        unified="/sys/fs/cgroup/unified",
        freezer="/sys/fs/cgroup/freezer",
        memory="/sys/fs/cgroup/memory/box/a:b",
        pids="/sys/fs/cgroup/pids",
        cpu="/sys/fs/cgroup/cpu,cpuacct",
    )


def test_layout_in_a_container_that_sees_a_part_of_the_tree() -> None:
    mounts = "30 24 0:26 /docker/abc /sys/fs/cgroup/freezer ro - cgroup cgroup rw,freezer\n"
    assert layout(mounts, "6:freezer:/docker/abc/inner\n").freezer == "/sys/fs/cgroup/freezer/inner"
    assert layout(mounts, "6:freezer:/docker/abc\n").freezer == "/sys/fs/cgroup/freezer"


def test_layout_of_a_machine_without_control_groups() -> None:
    assert layout("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n", "") == Layout()


def test_why_a_folder_is_unusable(tmp_path: Path) -> None:
    assert cgroups.why_unusable("") == "not mounted"
    assert "is not there" in cgroups.why_unusable(str(tmp_path / "absent"))
    assert "cgroup.procs is not writable" in cgroups.why_unusable(str(tmp_path))
    (tmp_path / "cgroup.procs").write_text("")
    assert cgroups.why_unusable(str(tmp_path)) == ""


def test_why_version_2_gives_no_limit(tmp_path: Path) -> None:
    (tmp_path / "cgroup.procs").write_text("")
    (tmp_path / "cgroup.controllers").write_text("cpu pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("pids\n")
    where = Layout(unified=str(tmp_path))
    assert "was not given the memory controller" in why_no_limit("memory", where)
    assert why_no_limit("pids", where) == ""
    assert why_no_limit("cpu", where) == ""
    (tmp_path / "cgroup.type").write_text("domain\n")
    (tmp_path / "cgroup.procs").write_text("1\n")
    assert "processes stand in" in why_no_limit("cpu", where)


def test_without_control_groups_another_mechanism_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        trees, "why_unusable", lambda name, layout: "" if name in ("pid-namespace", "subreaper") else "no"
    )
    monkeypatch.setattr(provider_module.os, "geteuid", lambda: 0)
    assert provider_module.choose_mechanism(Layout()) == "pid-namespace"
    monkeypatch.setattr(provider_module.os, "geteuid", lambda: 1000)
    assert provider_module.choose_mechanism(Layout()) == "subreaper"


def test_capabilities_tell_what_does_not_work_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = ProcessProvider(str(tmp_path))
    monkeypatch.setattr(provider, "_layout", Layout())
    told = provider.capabilities()
    assert told["chosen"]["mechanism"] in ("pid-namespace", "subreaper")
    assert told["mechanisms"]["cgroup-v2"] == told["mechanisms"]["cgroup-v1"] == "not mounted"
    assert told["mechanisms"]["subreaper"] == ""
    assert told["limits"] == dict.fromkeys(("memory", "pids", "cpu"), "cgroup v2: not mounted")


async def test_a_mechanism_that_fails_after_all_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`why_unusable` can only guess: a group may refuse processes for reasons that no file tells."""

    def refuse(self: object, launcher: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "this group is threaded")

    monkeypatch.setattr(trees.GroupTree, "hold", refuse)
    provider = ProcessProvider(str(tmp_path / "state"))
    worker = await provider.create(WorkerSpec(AttemptKey("r", 1, 1), "/"))
    assert provider.mechanism in ("pid-namespace", "subreaper")
    await worker.destroy()
    await provider.close()
    forced = ProcessProvider(str(tmp_path / "state"), mechanism="cgroup-v2")
    with pytest.raises(WorkerUnavailable, match="threaded"):
        await forced.create(WorkerSpec(AttemptKey("r", 1, 1), "/"))
    await forced.close()
