from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.agent.hash_files import _compiled, hash_files

FILES = ("a.lock", "b.lock", "sub/a.lock", "sub/deep/c.txt", ".hidden/d.lock", "z/[x]", "Ünï.lock")


@pytest.fixture
def tree(tmp_path: Path) -> str:
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "link").symlink_to(tmp_path / "sub")
    (tmp_path / "file-link").symlink_to(tmp_path / "a.lock")
    return str(tmp_path)


def expected(*names: str) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(name.encode()).digest() for name in names)).hexdigest()


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["a.lock"], ["a.lock"]),
        (["./a.lock"], ["a.lock"]),
        (["*.lock"], ["a.lock", "b.lock", "Ünï.lock"]),
        (["**/*.lock"], [".hidden/d.lock", "a.lock", "b.lock", "sub/a.lock", "Ünï.lock"]),
        (["**/a.lock", "b.lock"], ["a.lock", "b.lock", "sub/a.lock"]),
        (["**/*.lock\n!sub/**\n!.hidden"], ["a.lock", "b.lock", "Ünï.lock"]),
        (["*.lock", "!a.*"], ["b.lock", "Ünï.lock"]),
        (["!a.lock", "a.lock"], ["a.lock"]),
        (["sub"], ["sub/a.lock", "sub/deep/c.txt"]),
        (["sub/"], ["sub/a.lock", "sub/deep/c.txt"]),
        (["sub/*/c.txt"], ["sub/deep/c.txt"]),
        (["sub/**/c.txt"], ["sub/deep/c.txt"]),
        (["?.lock"], ["a.lock", "b.lock"]),
        (["[ab].lock"], ["a.lock", "b.lock"]),
        (["[!b].lock"], ["a.lock"]),
        (["z/\\[x\\]"], ["z/[x]"]),
        (["# all\na.lock"], ["a.lock"]),
        (["file-link"], ["a.lock"]),
    ],
)
def test_patterns(tree: str, patterns: list[str], names: list[str]) -> None:
    assert hash_files(tree, patterns) == expected(*names)


@pytest.mark.parametrize(
    "pattern", ["none", "link/a.lock", "../x", "/etc/passwd", "!a.lock", "", "#x", "A.LOCK"]
)
def test_nothing_matches(tree: str, pattern: str) -> None:
    assert hash_files(tree, [pattern]) == ""


def test_absolute_patterns(tree: str) -> None:
    assert hash_files(tree, [f"{tree}/a.lock"]) == expected("a.lock")
    assert hash_files(tree, [tree]) == hash_files(tree, ["**"])


@given(st.text("ab/*?[]!^-\\.&~|{"))
def test_any_pattern_is_a_pattern(glob: str) -> None:
    _compiled(glob).match("a/b")
