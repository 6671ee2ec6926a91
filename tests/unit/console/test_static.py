"""The page that is committed is the one that its sources make."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

from relevo.console import static_folder

WEB = Path(__file__).parents[3] / "web"
STATIC = Path(static_folder())
#: As in web/vite.config.ts.
SOURCES = (
    "index.html",
    "package-lock.json",
    "package.json",
    "public",
    "src",
    "tsconfig.json",
    "vite.config.ts",
)


def digest(folder: Path, paths: list[Path]) -> str:
    lines = sorted((path.relative_to(folder).as_posix(), path) for path in paths)
    whole = hashlib.sha256()
    for name, path in lines:
        whole.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else [folder]


def recorded() -> dict[str, str]:
    found: dict[str, str] = json.loads((STATIC / "built.json").read_text())
    return found


def test_the_page_was_built_from_these_sources() -> None:
    sources = [path for name in SOURCES for path in files(WEB / name)]
    assert recorded()["sources"] == digest(WEB, sources), (
        "web/ has changed since the page was built: make console"
    )


def test_the_page_is_as_it_was_built() -> None:
    built = [path for path in files(STATIC) if path.name != "built.json"]
    assert recorded()["built"] == digest(STATIC, built), (
        "files of the page were changed by hand: make console"
    )


def test_the_page_allows_no_inline_script_or_style() -> None:
    html = (STATIC / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)", html)
    assert not re.search(r"<style|\sstyle=|\son\w+=", html)


def test_all_that_the_page_names_is_there() -> None:
    html = (STATIC / "index.html").read_text()
    named = re.findall(r'(?:src|href)="/([^"]+)"', html)
    assert named
    assert all((STATIC / name).is_file() for name in named)


def test_packed_files_hold_the_same() -> None:
    packed = list(STATIC.rglob("*.gz"))
    assert packed
    for path in packed:
        assert gzip.decompress(path.read_bytes()) == path.with_suffix("").read_bytes()


@pytest.mark.parametrize(
    ("pattern", "limit_bytes"), [("index-*.js", 45_000), ("index-*.css", 8_000), ("*.js", 95_000)]
)
def test_the_page_stays_small(pattern: str, limit_bytes: int) -> None:
    packed = sum(len(gzip.compress(path.read_bytes())) for path in (STATIC / "assets").glob(pattern))
    assert 0 < packed <= limit_bytes
