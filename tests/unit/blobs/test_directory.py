from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from relevo.blobs.directory import DirectoryBlobs
from relevo.domain.errors import InfrastructureError
from relevo.testing.contracts.blobs import BlobsContract, get, put
from relevo.testing.small_disk import fill, needs_root, small_disk


@pytest.fixture
def blobs(tmp_path: Path) -> Iterator[DirectoryBlobs]:
    blobs = DirectoryBlobs(str(tmp_path / "blobs"))
    yield blobs
    blobs.close()


class TestDirectory(BlobsContract):
    async def damage(self, blobs: DirectoryBlobs, digest: str) -> None:
        path = Path(blobs._path(digest))
        path.write_bytes(b"\xff" + path.read_bytes()[1:])


def opened(folder: Path) -> list[str]:
    """What this process has open of a folder. (It has open, and closes, much else meanwhile.)"""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # of what lists them
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    return [path for path in found if path.startswith(str(folder))]


def unfinished(tmp_path: Path) -> list[str]:
    return os.listdir(tmp_path / "blobs" / "unfinished")


async def test_nothing_is_made_before_the_first_blob(blobs: DirectoryBlobs, tmp_path: Path) -> None:
    assert await blobs.list() == []
    assert os.listdir(tmp_path) == []


async def test_no_unfinished_file_stays(blobs: DirectoryBlobs, tmp_path: Path) -> None:
    digest = await put(blobs, b"x" * 500_000)
    writer = await blobs.create()
    await writer.write(b"y" * 500_000)
    assert len(unfinished(tmp_path)) == 1
    await writer.abort()
    assert unfinished(tmp_path) == []
    assert oct((tmp_path / "blobs" / digest[:2] / digest).stat().st_mode & 0o777) == "0o600"


async def test_a_writer_that_is_dropped_leaves_no_file_and_no_descriptor(
    blobs: DirectoryBlobs, tmp_path: Path
) -> None:
    await put(blobs, b"x")
    writer = await blobs.create()
    await writer.write(b"y" * 500_000)
    assert len(opened(tmp_path)) == 1
    del writer
    gc.collect()
    while unfinished(tmp_path):  # the thread that wrote has not let go of it yet
        await asyncio.sleep(0)
        gc.collect()
    assert opened(tmp_path) == []


async def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    folder = tmp_path / "blobs" / "unfinished"
    folder.mkdir(parents=True)
    (folder / "4194305-1").write_bytes(b"left")  # no pid is that high
    (folder / f"{os.getppid()}-1").write_bytes(b"being written")
    blobs = DirectoryBlobs(str(tmp_path / "blobs"))
    await put(blobs, b"x")
    assert unfinished(tmp_path) == [f"{os.getppid()}-1"]
    blobs.close()


@needs_root
async def test_a_full_disk_is_told_and_passes(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        blobs = DirectoryBlobs(str(disk / "blobs"))
        kept = await put(blobs, b"kept")
        filler = fill(disk, leave_bytes=400_000)
        writer = await blobs.create()
        with pytest.raises(InfrastructureError, match="No space left"):
            await writer.write(b"z" * 3_000_000)
        await writer.abort()
        filler.unlink()
        digest = await put(blobs, b"z" * 300_000)
        assert await get(blobs, digest) == b"z" * 300_000
        assert await get(blobs, kept) == b"kept"
        blobs.close()


async def test_a_reader_that_leaves_early_closes_its_file(blobs: DirectoryBlobs) -> None:
    digest = await put(blobs, b"x" * 1_000_000)
    before = len(os.listdir("/proc/self/fd"))
    reading = blobs.read(digest, chunk_bytes=1_000)
    await anext(reading)
    await reading.aclose()
    await asyncio.sleep(0)
    assert len(os.listdir("/proc/self/fd")) == before
