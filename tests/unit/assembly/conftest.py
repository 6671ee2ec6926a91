from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import blake3
import pytest

Git = Callable[..., str]


class MemoryBlobs:
    """A BlobStore in memory, which remembers what was left open."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.open = 0

    async def create(self) -> MemoryWriter:
        self.open += 1
        return MemoryWriter(self)

    async def size(self, digest: str) -> int | None:
        return len(self.held[digest]) if digest in self.held else None

    async def read(self, digest: str, *, chunk_bytes: int = 1 << 20) -> AsyncIterator[bytes]:
        data = self.held[digest]
        for start in range(0, len(data), chunk_bytes):
            yield data[start : start + chunk_bytes]

    async def delete(self, digest: str) -> None:
        self.held.pop(digest, None)

    async def list(self) -> list[tuple[str, int]]:
        return [(digest, len(data)) for digest, data in self.held.items()]


class MemoryWriter:
    def __init__(self, blobs: MemoryBlobs) -> None:
        self.blobs = blobs
        self.data = bytearray()

    async def write(self, data: bytes | memoryview) -> None:
        self.data += data

    async def commit(self) -> str:
        digest = blake3.blake3(self.data).hexdigest()
        self.blobs.held[digest] = bytes(self.data)
        self.blobs.open -= 1
        return digest

    async def abort(self) -> None:
        self.blobs.open -= 1


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


def run_git(folder: Path, *arguments: str) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.org",
        "GIT_AUTHOR_DATE": "1700000000 +0000",
        "GIT_COMMITTER_DATE": "1700000000 +0000",
    }
    done = subprocess.run(["git", *arguments], cwd=folder, env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("utf-8", "surrogateescape").rstrip("\n")


@pytest.fixture
def git() -> Git:
    return run_git


@pytest.fixture(autouse=True)
def _no_configuration_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit on `main`."""
    folder = tmp_path / "project"
    folder.mkdir()
    run_git(folder, "init", "-q", "-b", "main")
    (folder / "README").write_text("hello\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    run_git(folder, "add", "-A")
    run_git(folder, "commit", "-q", "-m", "First\n\nwith a body")
    return folder


def read_tree(root: Path) -> dict[bytes, tuple[str, bytes]]:
    """Path → (kind, content) of every file and link below a folder, without `.git`."""
    found: dict[bytes, tuple[str, bytes]] = {}
    base = os.fsencode(root)
    for folder, folders, files in os.walk(base):
        if b".git" in folders:
            folders.remove(b".git")
        for name in [*files, *folders]:
            path = os.path.join(folder, name)
            key = os.path.relpath(path, base)
            if os.path.islink(path):
                found[key] = ("link", os.readlink(path))
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    kind = "exec" if os.stat(path).st_mode & 0o100 else "file"
                    found[key] = (kind, file.read())
    return found


@pytest.fixture
def tree() -> Callable[[Path], dict[bytes, tuple[str, bytes]]]:
    return read_tree
