from __future__ import annotations

import io
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.agent.actions import cache_archive, globs
from relevo.agent.actions.cache_archive import CacheRefused, Member, pack, roots, unpack

LIMIT = 1 << 40


def patterns(text: str, base: Path) -> list[globs.Pattern]:
    return globs.parse(text, str(base / "workspace"), str(base / "home"))


def packed(text: str, base: Path) -> bytes:
    target = io.BytesIO()
    done = pack(patterns(text, base), target, limit_bytes=LIMIT)
    assert done.size_bytes == len(target.getvalue())
    return target.getvalue()


def carried(text: str, base: Path, to: Path) -> None:
    """Pack what patterns mean in one place, and lay it out in another."""
    unpack(io.BytesIO(packed(text, base)), roots(patterns(text, to)))


def write(path: Path, text: str = "x", mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_files_keep_all_that_matters(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    tool = write(one / "workspace/out/bin/tool", "run", 0o755)
    locked = write(one / "workspace/out/mod/a.go", "package a", 0o444)
    os.utime(tool, ns=(5, 1_234_567_890_123_456_789))
    (one / "workspace/out/bin/link").symlink_to("tool")
    (one / "workspace/out/away").symlink_to("/nowhere/at/all")
    os.link(tool, one / "workspace/out/same")
    (one / "workspace/out/empty").mkdir()
    os.utime(one / "workspace/out/empty", ns=(7, 1_000_000_001))
    locked.parent.chmod(0o555)
    carried("out", one, two)
    out = two / "workspace/out"
    assert below(out) == below(one / "workspace/out")
    assert (out / "bin/tool").stat().st_mode & 0o777 == 0o755
    assert (out / "bin/tool").stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert (out / "mod").stat().st_mode & 0o777 == 0o555
    assert (out / "mod/a.go").stat().st_mode & 0o777 == 0o444
    assert os.readlink(out / "bin/link") == "tool"
    assert os.readlink(out / "away") == "/nowhere/at/all"
    assert os.path.samefile(out / "same", out / "bin/tool")
    assert (out / "empty").stat().st_mtime_ns == 1_000_000_001
    # Again, over what is there and may not be written to.
    carried("out", one, two)
    assert (out / "mod").stat().st_mode & 0o777 == 0o555
    for folder in (one, two):
        (folder / "workspace/out/mod").chmod(0o755)


def test_home_and_workspace_may_lie_elsewhere_the_next_time(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    write(one / "home/.npm/a")
    write(one / "workspace/p/node_modules/b")
    write(one / "workspace/p/src/c")
    write(one / "workspace/single.bin")
    text = "~/.npm\n**/node_modules\nsingle.bin\nmissing"
    carried(text, one, two)
    assert below(two) == [
        "home",
        "home/.npm",
        "home/.npm/a",
        "workspace",
        "workspace/p",
        "workspace/p/node_modules",
        "workspace/p/node_modules/b",
        "workspace/single.bin",
    ]


def test_exclusions_and_places_within_each_other(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    write(one / "home/cache/keep/a")
    write(one / "home/cache/tmp/b")
    write(one / "home/cache/lock.lck")
    text = "~/cache/keep\n~/cache\n~/cache\n!~/cache/tmp\n!~/cache/*.lck"
    carried(text, one, two)
    assert below(two / "home") == ["cache", "cache/keep", "cache/keep/a"]


def test_a_root_that_is_a_link_is_followed_on_both_sides(tmp_path: Path) -> None:
    for base in (tmp_path / "1", tmp_path / "2"):
        (base / "home").mkdir(parents=True)
        (base / "disk").mkdir()
        (base / "home/cache").symlink_to(base / "disk")
    write(tmp_path / "1/disk/a")
    carried("~/cache", tmp_path / "1", tmp_path / "2")
    assert (tmp_path / "2/home/cache").is_symlink()
    assert (tmp_path / "2/disk/a").read_text() == "x"


def test_the_same_files_make_the_same_bytes(tmp_path: Path) -> None:
    for base in (tmp_path / "1", tmp_path / "2"):
        for name in "cab":
            os.utime(write(base / "workspace/out" / name), (1, 1))
        os.utime(base / "workspace/out", (1, 1))
    assert packed("out", tmp_path / "1") == packed("out", tmp_path / "2")


def test_sockets_and_names_that_are_no_text(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    folder = one / "workspace/out"
    folder.mkdir(parents=True)
    (folder / os.fsdecode(b"caf\xe9")).write_text("latin")
    with socket.socket(socket.AF_UNIX) as door:
        here = os.open(folder, os.O_RDONLY)
        door.bind(f"/proc/self/fd/{here}/s")
        os.close(here)
        carried("out", one, two)
    assert os.listdir(os.fsencode(two / "workspace/out")) == [b"caf\xe9"]


def test_nothing_there_is_nothing_packed(tmp_path: Path) -> None:
    assert pack(patterns("out\n~/x/*", tmp_path), io.BytesIO(), limit_bytes=LIMIT).members == 0


def test_too_much_is_refused_before_it_is_written(tmp_path: Path) -> None:
    write(tmp_path / "workspace/out/big", "x" * 100_000)
    target = io.BytesIO()
    with pytest.raises(CacheRefused, match="over the limit"):
        pack(patterns("out", tmp_path), target, limit_bytes=50_000)
    assert len(target.getvalue()) < 1_000


def test_a_file_is_replaced_not_written_into(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    write(one / "workspace/out/a", "new")
    write(one / "workspace/out/dir/b", "new")
    old = write(two / "workspace/out/a", "old")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (two / "workspace/out/dir").symlink_to(elsewhere)
    with old.open() as reader:
        carried("out", one, two)
        assert reader.read() == "old"
    assert old.read_text() == "new"
    assert (two / "workspace/out/dir/b").read_text() == "new"
    assert not (two / "workspace/out/dir").is_symlink(), "no link is followed"
    assert list(elsewhere.iterdir()) == []


def test_a_folder_in_the_way_of_a_file_is_told(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    write(one / "workspace/out/a")
    write(two / "workspace/out/a/b")
    with pytest.raises(CacheRefused, match="out/a is a folder"):
        carried("out", one, two)
    assert below(two / "workspace/out") == ["a", "a/b"]


def archive(*members: tuple[Member, bytes]) -> io.BytesIO:
    out = io.BytesIO()
    for member, data in members:
        header = cache_archive._encode(member)
        out.write(len(header).to_bytes(4) + header + data)
    out.seek(0)
    return out


@pytest.mark.parametrize(
    "members",
    [
        [(Member("file", 0, b"../escaped", size=1), b"x")],
        [(Member("file", 0, b"/escaped", size=1), b"x")],
        [(Member("file", 0, b"a/../../escaped", size=1), b"x")],
        [(Member("file", 2, b"escaped", size=1), b"x")],
        [(Member("file", -1, b"escaped", size=1), b"x")],
        [(Member("file", 0, b"a\0b", size=1), b"x")],
        [(Member("same", 0, b"a", to=b"0/none"), b"")],
        [(Member("file", 0, b"a", size=5), b"x")],
        [
            (Member("link", 0, b"", to=b"OUTSIDE"), b""),
            (Member("file", 0, b"escaped", size=1), b"x"),
            (Member("file", 9, b"stop"), b""),
        ],
        [
            (Member("link", 0, b"deep", to=b"OUTSIDE"), b""),
            (Member("file", 0, b"deep/escaped", size=1), b"x"),
            (Member("file", 9, b"stop"), b""),
        ],
        [
            (Member("link", 0, b"inner", to=b"OUTSIDE"), b""),
            (Member("file", 1, b"escaped", size=1), b"x"),
        ],
    ],
)
def test_nothing_reaches_outside(members: list[tuple[Member, bytes]], tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    prepared = [
        (Member(m.kind, m.root, m.path, m.mode, m.mtime_ns, m.size, os.fsencode(outside)), data)
        if m.to == b"OUTSIDE"
        else (m, data)
        for m, data in members
    ]
    root = tmp_path / "root"
    with pytest.raises(CacheRefused):
        unpack(archive(*prepared), [str(root), str(root / "inner/place")])
    assert list(outside.iterdir()) == []
    assert not (tmp_path / "escaped").exists()


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_harmless(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    base = tmp_path_factory.mktemp("any")
    try:
        unpack(io.BytesIO(data), [str(base / "root")])
    except CacheRefused:
        pass
    assert {path.name for path in base.iterdir()} <= {"root"}


def test_damage_is_found(tmp_path: Path) -> None:
    write(tmp_path / "workspace/out/a", "content")
    path = tmp_path / "archive"
    with path.open("wb") as target:
        done = pack(patterns("out", tmp_path), target, limit_bytes=LIMIT)
    with path.open("rb") as source:
        cache_archive.check(source, done.digest)
        assert source.tell() == 0
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with path.open("rb") as source, pytest.raises(CacheRefused):
        cache_archive.check(source, done.digest)
