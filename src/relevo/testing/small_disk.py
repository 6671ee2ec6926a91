"""A real file system that fills up quickly, for tests of a full disk. Needs root."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small file system")


@contextmanager
def small_disk(folder: Path, size_bytes: int = 1 << 20) -> Iterator[Path]:
    """A tmpfs of that size, mounted on `folder`; skips the test where mounting is not allowed."""
    folder.mkdir()
    options = f"size={size_bytes},mode=700"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "relevo-test", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def make_read_only(folder: Path) -> None:
    """From here on nothing can be written there."""
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)


def fill(folder: Path, *, leave_bytes: int = 0) -> Path:
    """Take all room but `leave_bytes`, whoever else writes there; removing the file that is returned gives it back."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        while (left := _free_bytes(folder) - leave_bytes) > 0:
            try:
                file.write(b"\0" * left)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    return filler


def _free_bytes(folder: Path) -> int:
    free = os.statvfs(folder)
    return free.f_bavail * free.f_frsize
