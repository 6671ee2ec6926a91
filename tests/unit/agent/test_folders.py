from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from relevo.agent.temp_folder import TempFolder
from relevo.agent.workspace import Folders, Places, remove_tree
from relevo.domain.ids import AttemptKey
from relevo.testing.small_disk import needs_root


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(str(tmp_path / "work"), str(tmp_path / "temp"), str(tmp_path / "tools"))


def folders(places: Places, job: int = 0) -> Folders:
    return Folders(places, AttemptKey("run", job, 1), keep=False)


def used(places: Places, job: int = 0) -> TempFolder:
    temp = folders(places, job).make()
    temp.write_event(b"{}")
    temp.write_script("_1.sh", "a secret")
    return temp


def test_nothing_is_on_disk_before_make(places: Places, tmp_path: Path) -> None:
    one = folders(places)
    assert one.remove_quickly()
    one.remove()
    assert os.listdir(tmp_path) == []


def test_a_workspace_is_empty_though_an_agent_died_in_it(places: Places) -> None:
    one = folders(places)
    os.makedirs(one.workspace)
    Path(one.workspace, "left").touch()
    one.make()
    assert os.listdir(one.workspace) == []


@needs_root
def test_what_was_given_to_another_user_serves_nobody_else(places: Places) -> None:
    first = folders(places)
    script = first.make().write_script("_1.sh", "true")
    for path in (first.workspace, script):
        os.chown(path, 65_534, 65_534)
    first.remove_quickly()
    second = folders(places, 1)
    owners = {
        os.stat(path).st_uid for path in (second.make().write_script("_1.sh", "true"), second.workspace)
    }
    assert owners == {os.geteuid()}


def test_an_untouched_folder_serves_the_next_attempt_without_what_was_in_it(places: Places) -> None:
    first = folders(places)
    temp = first.make()
    temp.write_event(b"{}")
    script = temp.write_script("_1.sh", "a secret")
    assert first.remove_quickly()
    assert not os.path.exists(script)
    second = folders(places, 1)
    assert second.make() is temp
    temp.write_event(b'{"a":1}')
    assert Path(temp.event_path).read_bytes() == b'{"a":1}'
    assert temp.command_files.collect() == {}


def _write_output(temp: TempFolder) -> None:
    Path(temp.command_files.variables["GITHUB_OUTPUT"]).write_text("a=1")


def _link_output(temp: TempFolder) -> None:
    os.link(temp.command_files.variables["GITHUB_OUTPUT"], f"{temp.path}.elsewhere")


def _change_event(temp: TempFolder) -> None:
    Path(temp.event_path).write_bytes(b"[]")


SPOILS: dict[str, Callable[[TempFolder], None]] = {
    "a file more": lambda temp: Path(temp.path, "mine").touch(),
    "a file less": lambda temp: os.unlink(temp.event_path),
    "another mode": lambda temp: os.chmod(temp.path, 0o755),
    "gone": lambda temp: remove_tree(temp.path),
    "output that nobody read": _write_output,
    "a second name": _link_output,
    "a file that may not be written": lambda temp: os.chmod(
        temp.command_files.variables["GITHUB_ENV"], 0o444
    ),
    "another event": _change_event,
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_folder_that_was_changed_is_not_used_again(places: Places, spoil: str) -> None:
    one = folders(places)
    temp = one.make()
    temp.write_event(b"{}")
    temp.write_script("_1.sh", "a secret")
    SPOILS[spoil](temp)
    if not one.remove_quickly():
        one.remove()
    assert not os.path.lexists(temp.path)
    assert folders(places, 1).make() is not temp


def test_a_link_in_the_place_of_a_script_leads_nowhere(places: Places, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    one = folders(places)
    temp = one.make()
    temp.write_event(b"{}")
    script = temp.write_script("_1.sh", "first")
    os.unlink(script)
    os.symlink(mine, script)
    assert Path(temp.write_script("_1.sh", "second")).read_text() == "second"
    os.unlink(script)
    os.symlink(mine, script)
    assert one.remove_quickly()
    assert not os.path.lexists(script)
    assert mine.read_text() == "mine"


def test_no_script_stays(places: Places) -> None:
    one = folders(places)
    temp = one.make()
    temp.write_event(b"{}")
    for number in range(40):
        temp.write_script(f"_{number}.sh", "x")
    assert one.remove_quickly()
    assert [name for name in os.listdir(temp.path) if name.endswith(".sh")] == []


def test_folders_and_scripts_of_one_attempt_serve_the_next(places: Places) -> None:
    first = folders(places)
    script = first.make().write_script("_1.sh", "echo the secret of somebody")
    known = os.stat(first.workspace).st_ino, os.stat(first.of_run).st_ino, os.stat(script).st_ino
    assert first.remove_quickly()
    assert os.listdir(places.work) == []
    second = Folders(places, AttemptKey("another", 5, 1), keep=False)
    script = second.make().write_script("_2.py", "x")
    assert sorted(known) == sorted(os.stat(path).st_ino for path in (second.workspace, second.of_run, script))
    assert Path(script).read_bytes() == b"x"
    assert os.listdir(second.workspace) == []
    assert os.listdir(second.of_run) == ["5-1"]


def test_what_a_script_said_does_not_stay(places: Places) -> None:
    one = folders(places)
    one.make().write_script("_1.sh", "echo the secret of somebody")
    assert one.remove_quickly()
    left = [Path(folder, name) for folder, _, names in os.walk(places.temp) for name in names]
    assert all("ecret" not in path.read_text() for path in left)


def test_a_script_that_cannot_be_cut_is_no_spare(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, length: int) -> None:
        raise OSError(errno.EIO, "no")

    one = folders(places)
    one.make().write_script("_1.sh", "echo the secret of somebody")
    with monkeypatch.context() as broken:
        broken.setattr(os, "truncate", refuse)
        assert not one.remove_quickly()
    one.remove()
    assert [name for _, _, names in os.walk(places.temp) for name in names] == []


def _link_script(one: Folders, script: str) -> None:
    os.link(script, f"{one.temp}.elsewhere")


def _open_folder(one: Folders, script: str) -> None:
    os.chmod(one.workspace, 0o777)


def _inherit(one: Folders, script: str) -> None:
    # version 2, then tag, permissions and id of each entry: what is made here is everybody's
    entries = [(1, 7, 0xFFFFFFFF), (4, 7, 0xFFFFFFFF), (32, 7, 0xFFFFFFFF)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(one.workspace, "system.posix_acl_default", acl)
    except OSError as error:
        pytest.skip(f"this file system has no ACLs: {error}")


def _leave_file(one: Folders, script: str) -> None:
    Path(one.workspace, "left").touch()


def _replace_folder(one: Folders, script: str) -> None:
    os.mkdir(f"{one.of_run}/elsewhere")
    os.rmdir(one.workspace)
    os.symlink(f"{one.of_run}/elsewhere", one.workspace)


@pytest.mark.parametrize("spoil", [_link_script, _open_folder, _inherit, _leave_file, _replace_folder])
def test_what_is_not_as_it_was_given_is_not_used_again(
    places: Places, spoil: Callable[[Folders, str], None]
) -> None:
    one = folders(places)
    script = one.make().write_script("_1.sh", "a")
    kept = os.open(
        script if spoil is _link_script else one.workspace, os.O_RDONLY
    )  # no other file gets its number
    try:
        spoil(one, script)
        if not one.remove_quickly():
            one.remove()
        second = folders(places, 1)
        script = second.make().write_script("_1.sh", "b")
        used = {os.stat(path).st_ino for path in (second.workspace, second.of_run, script)}
        assert os.fstat(kept).st_ino not in used
    finally:
        os.close(kept)
    status = os.lstat(second.workspace)
    assert stat.S_ISDIR(status.st_mode)
    assert os.listdir(second.workspace) == []


def test_spares_that_a_step_removed_are_made_anew(places: Places) -> None:
    one = folders(places)
    one.make().write_script("_1.sh", "a")
    assert one.remove_quickly()
    remove_tree(f"{places.temp}/spare")
    second = folders(places, 1)
    assert Path(second.make().write_script("_1.sh", "b")).read_text() == "b"
    assert os.listdir(second.workspace) == []
    assert second.remove_quickly()


def test_jobs_of_a_run_share_its_folder_while_one_of_them_is_there(places: Places) -> None:
    first, second = folders(places), folders(places, 1)
    first.make()
    second.make()
    assert first.remove_quickly()
    assert os.listdir(second.of_run) == ["1-1"]
    third = folders(places, 2)
    third.make()
    assert sorted(os.listdir(second.of_run)) == ["1-1", "2-1"]


def test_a_workspace_with_content_is_removed_whatever_its_modes(places: Places, tmp_path: Path) -> None:
    one = folders(places)
    one.make()
    deep = Path(one.workspace, "a", "b")
    deep.mkdir(parents=True)
    (deep / "f").touch()
    deep.chmod(0o500)
    deep.parent.chmod(0o000)
    assert not one.remove_quickly()
    one.remove()
    assert os.listdir(places.work) == []


def test_a_link_in_the_place_of_a_workspace_is_removed_and_not_what_it_leads_to(
    places: Places, tmp_path: Path
) -> None:
    mine = tmp_path / "mine" / "deep"
    mine.mkdir(parents=True, mode=0o755)
    (mine / "file").touch()
    mine.chmod(0o755)
    one = folders(places)
    one.make()
    os.rmdir(one.workspace)
    os.symlink(mine.parent, one.workspace)
    assert not one.remove_quickly()
    one.remove()
    assert os.listdir(places.work) == []
    assert (mine / "file").exists()
    assert stat.S_IMODE(mine.stat().st_mode) == 0o755


def test_a_kept_workspace_stays(places: Places) -> None:
    one = Folders(places, AttemptKey("run", 0, 1), keep=True)
    one.make()
    Path(one.workspace, "f").touch()
    if not one.remove_quickly():
        one.remove()
    places.clear()
    assert os.path.exists(f"{one.workspace}/f")
    assert not os.path.exists(places.temp)


def test_clear_removes_all(places: Places, tmp_path: Path) -> None:
    used(places)
    used(places, 1)
    places.clear()
    assert os.listdir(tmp_path) == []
    used(places)


def test_clear_removes_spare_folders_whether_as_they_were_given_or_not(
    places: Places, tmp_path: Path
) -> None:
    both = [folders(places, number) for number in range(2)]
    temps = [one.make() for one in both]
    temps[0].write_event(b"{}")
    temps[0].write_script("_1.sh", "a secret")
    assert all(one.remove_quickly() for one in both)
    temps[0].remove()
    assert not os.path.exists(temps[0].path)
    Path(temps[1].path, "of somebody else").touch()
    places.clear()
    assert os.listdir(tmp_path) == []


def test_what_a_dead_agent_left_is_out_of_the_way_at_once(places: Places, tmp_path: Path) -> None:
    left = folders(places)
    left.make()
    Path(left.workspace, "f").touch()
    places.set_aside()
    assert not os.path.exists(left.workspace)
    # that one died too, before it had removed anything
    used(places, 1)
    successor = Places(places.work, places.temp, places.tool_cache)
    successor.set_aside()
    live = used(successor, 2)
    successor.remove_set_aside()
    assert sorted(os.listdir(tmp_path)) == ["temp", "work"]
    assert os.path.exists(live.event_path)


def test_nothing_was_left(places: Places, tmp_path: Path) -> None:
    places.set_aside()
    places.remove_set_aside()
    assert os.listdir(tmp_path) == []
