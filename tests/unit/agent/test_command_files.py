from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.agent.command_files import (
    FILES,
    LIMIT_BYTES,
    CommandFileInvalid,
    CommandFiles,
    parse_assignments,
    parse_paths,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("\n\n", []),
        ("a=1", [("a", "1")]),
        ("a=1\nb=2\n", [("a", "1"), ("b", "2")]),
        ("a=1=2\n", [("a", "1=2")]),
        ("a=\n", [("a", "")]),
        ("a=x<<y\n", [("a", "x<<y")]),
        ("a = 1\n", [("a ", " 1")]),
        ("\ufeffa=1\n", [("a", "1")]),
        ("a=1\na=2\n", [("a", "1"), ("a", "2")]),
        ("a<<END\nEND\n", [("a", "")]),
        ("a<<END\none\nEND\n", [("a", "one")]),
        ("a<<END\none\ntwo\nEND", [("a", "one\ntwo")]),
        ("a<<END\n\nEND\n", [("a", "")]),
        ("a<<END\n\n\nEND\n", [("a", "\n")]),
        ("a<<END\nEND2\n END\nEND\nb=1\n", [("a", "END2\n END"), ("b", "1")]),
        ("a<<x=y\nv\nx=y\n", [("a", "v")]),
        ("a<<E\nb=1\nc<<D\nE\n", [("a", "b=1\nc<<D")]),
        ("a=1\r\n", [("a", "1\r")]),
    ],
)
def test_assignments(text: str, expected: list[tuple[str, str]]) -> None:
    assert parse_assignments(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "Invalid format 'hello'"),
        ("=1", "Invalid format '=1'. Name must not be empty"),
        ("<<E\nx\nE", "Name must not be empty and delimiter must not be empty"),
        ("a<<\nx\n", "Name must not be empty and delimiter must not be empty"),
        ("a<<E\nx\n", "Matching delimiter not found 'E'"),
        ("a<<E", "Matching delimiter not found 'E'"),
        ("a<<E\nxE\nEx\n", "Matching delimiter not found 'E'"),
    ],
)
def test_invalid_assignments(text: str, message: str) -> None:
    with pytest.raises(CommandFileInvalid, match="Invalid") as caught:
        parse_assignments(text)
    assert message in str(caught.value)


_NAMES = st.text(st.characters(exclude_characters="=<\n", exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: not name.startswith("\ufeff")
)
_VALUES = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.tuples(_NAMES, _VALUES, st.booleans())))
def test_what_is_written_is_read(entries: list[tuple[str, str, bool]]) -> None:
    text = ""
    for name, value, multi_line in entries:
        if multi_line or "\n" in value:
            text += f"{name}<<delimiter-of-mine\n{value}\ndelimiter-of-mine\n"
        else:
            text += f"{name}={value}\n"
    expected = [(name, value) for name, value, _ in entries if "delimiter-of-mine" not in value]
    if len(expected) == len(entries):
        assert parse_assignments(text) == expected


@given(st.text("a<=E\n"))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_assignments(text)
    except CommandFileInvalid:
        return
    for name, value in found:
        assert name
        assert value in text


def test_paths() -> None:
    assert parse_paths("/a\n\n/b c\n") == ["/a", "/b c"]


def test_files_are_there_and_emptied(tmp_path: Path) -> None:
    files = CommandFiles(str(tmp_path))
    files.make()
    assert {os.path.basename(path) for path in files.variables.values()} == set(os.listdir(tmp_path))
    assert set(files.variables) == set(FILES)
    assert files.collect() == {}
    Path(files.variables["GITHUB_OUTPUT"]).write_text("a=1\n")
    assert files.collect() == {"GITHUB_OUTPUT": b"a=1\n"}
    assert files.collect() == {}


def test_an_earlier_steps_child_does_not_write_into_a_later_step(tmp_path: Path) -> None:
    files = CommandFiles(str(tmp_path))
    files.make()
    with open(files.variables["GITHUB_OUTPUT"], "ab", buffering=0) as child:
        child.write(b"a=1\n")
        files.collect()
        child.write(b"b=2\n")
    assert files.collect() == {}


def test_a_step_may_remove_the_files_and_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "temp"
    folder.mkdir()
    files = CommandFiles(str(folder))
    files.make()
    for path in files.variables.values():
        os.unlink(path)
    folder.rmdir()
    assert files.collect() == {}
    assert len(os.listdir(folder)) == len(FILES)


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_put_in_place_of_a_file_is_not_read(tmp_path: Path, kind: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a=1\n")
    folder = tmp_path / "temp"
    folder.mkdir()
    files = CommandFiles(str(folder))
    files.make()
    path = files.variables["GITHUB_ENV"]
    os.unlink(path)
    if kind == "link":
        os.symlink(secret, path)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        os.mkdir(path)
        Path(path, "inside").write_text("x")
    with pytest.raises(CommandFileInvalid, match=r"\$GITHUB_ENV is no plain file"):
        files.collect()
    assert files.collect() == {}


def test_a_file_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    files = CommandFiles(str(tmp_path))
    files.make()
    os.truncate(files.variables["GITHUB_OUTPUT"], LIMIT_BYTES + 1)
    with pytest.raises(CommandFileInvalid, match="GITHUB_OUTPUT"):
        files.collect()
    assert files.collect() == {}


def test_a_full_disk_loses_nothing_of_what_a_step_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = CommandFiles(str(tmp_path))
    files.make()
    Path(files.variables["GITHUB_PATH"]).write_text("/opt\n")
    os.truncate(files.variables["GITHUB_ENV"], LIMIT_BYTES + 1)
    Path(files.variables["GITHUB_OUTPUT"]).write_text("a=1\n")

    def full(path: str, *mode: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", path)

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(os, "mknod", full)
            with pytest.raises(OSError, match="No space"):
                files.collect()
    with pytest.raises(CommandFileInvalid, match="GITHUB_ENV"):
        files.collect()
    assert files.collect() == {}


def test_what_was_read_before_the_disk_was_full_is_told_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = CommandFiles(str(tmp_path))
    files.make()
    Path(files.variables["GITHUB_OUTPUT"]).write_text("a=1\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "mknod", lambda path, mode: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        with pytest.raises(OSError, match="full"):
            files.collect()
    assert files.collect() == {"GITHUB_OUTPUT": b"a=1\n"}
