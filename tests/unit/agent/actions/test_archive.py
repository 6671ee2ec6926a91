from __future__ import annotations

import io
import os
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relevo.agent.actions import archive
from relevo.agent.actions.archive import ArchiveRefused


def packed(root: Path, *names: str, level: int = 0) -> bytes:
    return b"".join(archive.pack(str(root), tuple(str(root / name) for name in names), level=level))


def unpacked(data: bytes, base: Path) -> Path:
    (base / "blob").write_bytes(data)
    archive.unpack(str(base / "blob"), str(base / "out"))
    return base / "out"


def made(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


@pytest.mark.parametrize("level", [0, 1, 9])
def test_modes_links_and_times_survive(tmp_path: Path, level: int) -> None:
    root = tmp_path / "in"
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "tool").write_bytes(b"#!")
    (root / "deep" / "tool").chmod(0o755)
    (root / "private").write_bytes(b"x" * 3_000_000)
    (root / "private").chmod(0o600)
    os.utime(root / "private", (1_600_000_000, 1_600_000_000))
    (root / "link").symlink_to("deep/tool")
    out = unpacked(packed(root, "deep/tool", "link", "private", level=level), tmp_path)
    assert (out / "deep" / "tool").stat().st_mode & 0o777 == 0o755
    assert (out / "private").stat().st_mode & 0o777 == 0o600
    assert (out / "private").stat().st_mtime == 1_600_000_000
    assert (out / "private").read_bytes() == b"x" * 3_000_000
    assert os.readlink(out / "link") == "deep/tool"


def test_a_link_to_what_is_not_packed_is_followed(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    (tmp_path / "outside").write_text("content")
    (root / "link").symlink_to("../outside")
    out = unpacked(packed(root, "link"), tmp_path)
    assert not (out / "link").is_symlink()
    assert (out / "link").read_text() == "content"


def test_any_tar_reads_it(tmp_path: Path) -> None:
    (tmp_path / "name with ü and \udcff").write_text("x")
    (tmp_path / ("long" * 60)).write_text("y")
    data = packed(tmp_path, "name with ü and \udcff", "long" * 60)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == ["name with ü and \udcff", "long" * 60]


def test_pieces_are_bounded(tmp_path: Path) -> None:
    with open(tmp_path / "big", "wb") as file:
        file.truncate(64 << 20)
    sizes = [len(piece) for piece in archive.pack(str(tmp_path), (str(tmp_path / "big"),))]
    assert max(sizes) <= 2 << 20
    assert sum(sizes) > 64 << 20


def test_a_file_that_shrinks_is_refused(tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(b"x" * (8 << 20))
    pieces = archive.pack(str(tmp_path), (str(big),))
    next(pieces)
    os.truncate(big, 100)
    with pytest.raises(ArchiveRefused, match="shorter"):
        list(pieces)


@pytest.mark.parametrize(
    "evil",
    [
        member("../escaped"),
        member("a/../../escaped"),
        member("/escaped"),
        member("link", tarfile.SYMTYPE, "../escaped"),
        member("link", tarfile.SYMTYPE, "/etc/passwd"),
        member("deep/link", tarfile.SYMTYPE, "../../escaped"),
        member("hard", tarfile.LNKTYPE, "../escaped"),
        member("device", tarfile.CHRTYPE),
        member("pipe", tarfile.FIFOTYPE),
        member("."),
    ],
    ids=lambda info: f"{info.name} {info.type!r} {info.linkname}",
)
def test_nothing_reaches_outside(tmp_path: Path, evil: tarfile.TarInfo) -> None:
    with pytest.raises(ArchiveRefused):
        unpacked(made((evil, b"")), tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["blob", "out"]


def test_a_link_of_the_archive_is_not_written_through(tmp_path: Path) -> None:
    data = made(
        (member("folder", tarfile.SYMTYPE, "elsewhere"), b""),
        (member("folder/file"), b"x"),
    )
    with pytest.raises(ArchiveRefused):
        unpacked(data, tmp_path)


def test_a_link_that_lies_there_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "out" / "folder").symlink_to("../outside")
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "out" / "file").symlink_to("../victim")
    with pytest.raises(ArchiveRefused, match="by a link"):
        unpacked(made((member("folder/file"), b"x")), tmp_path)
    unpacked(made((member("file"), b"new")), tmp_path)
    assert (tmp_path / "victim").read_text() == "kept"
    assert (tmp_path / "out" / "file").read_text() == "new"


def test_set_uid_is_dropped(tmp_path: Path) -> None:
    out = unpacked(made((member("tool", mode=0o6777), b"x")), tmp_path)
    assert (out / "tool").stat().st_mode & 0o7777 == 0o755


@pytest.mark.parametrize("cut", [100, 512, 700, 1_200])
def test_a_damaged_archive_is_refused(tmp_path: Path, cut: int) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1_000)
    with pytest.raises(ArchiveRefused, match="damaged"):
        unpacked(packed(tmp_path, "a")[:cut], tmp_path)


_part = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=20
).filter(lambda text: text not in (".", "..") and len(text.encode()) < 200)


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.lists(_part, min_size=1, max_size=3).map("/".join),
        st.tuples(st.binary(max_size=2_000), st.booleans()),
        min_size=1,
        max_size=6,
    )
)
def test_any_files_survive(files: dict[str, tuple[bytes, bool]]) -> None:
    with tempfile.TemporaryDirectory() as base:
        root = Path(base) / "in"
        written = {}
        for name, (content, executable) in files.items():
            try:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(content)
            except OSError:
                continue  # one entry lies where another has a folder
            (root / name).chmod(0o755 if executable else 0o644)
            written[name] = (content, executable)
        out = unpacked(packed(root, *written), Path(base))
        for name, (content, executable) in written.items():
            assert (out / name).read_bytes() == content
            assert bool((out / name).stat().st_mode & 0o100) == executable
