from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.agent.actions import globs


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for name in (
        "dist/a.whl",
        "dist/b.tar.gz",
        "dist/deep/c.whl",
        "src/x.py",
        "src/x.pyc",
        "src/[odd]/y.py",
        ".hidden/z",
        "src/.env",
        "top.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


# patterns → (root, files), all relative to the workspace
SCENARIOS = {
    "a file": ("dist/a.whl", "dist", ["dist/a.whl"]),
    "a folder": ("dist", "dist", ["dist/a.whl", "dist/b.tar.gz", "dist/deep/c.whl"]),
    "a folder with a slash": ("dist/", "dist", ["dist/a.whl", "dist/b.tar.gz", "dist/deep/c.whl"]),
    "a file with a slash is none": ("top.txt/", "top.txt", []),
    "dot slash": ("./dist/a.whl", "dist", ["dist/a.whl"]),
    "all": (
        ".",
        ".",
        [
            "dist/a.whl",
            "dist/b.tar.gz",
            "dist/deep/c.whl",
            "src/[odd]/y.py",
            "src/x.py",
            "src/x.pyc",
            "top.txt",
        ],
    ),
    "star": ("dist/*.whl", "dist", ["dist/a.whl"]),
    "star of folders means what is below": ("di*", ".", ["dist/a.whl", "dist/b.tar.gz", "dist/deep/c.whl"]),
    "two stars": ("**/*.whl", ".", ["dist/a.whl", "dist/deep/c.whl"]),
    "two stars in the middle": ("dist/**/c.whl", "dist", ["dist/deep/c.whl"]),
    "two stars at the end": ("dist/**", "dist", ["dist/a.whl", "dist/b.tar.gz", "dist/deep/c.whl"]),
    "question mark": ("src/x.p?", "src", ["src/x.py"]),
    "class": ("dist/[ab].*", "dist", ["dist/a.whl", "dist/b.tar.gz"]),
    "class negated": ("dist/[!a].*", "dist", ["dist/b.tar.gz"]),
    "class escapes": ("src/[[]odd]", "src", ["src/[odd]/y.py"]),
    "exclusion": ("dist\n!dist/**/*.whl", "dist", ["dist/b.tar.gz"]),
    "exclusion of a folder": ("dist\n!dist/deep", "dist", ["dist/a.whl", "dist/b.tar.gz"]),
    "inclusion after exclusion": ("dist\n!dist/*\ndist/a.whl", "dist", ["dist/a.whl"]),
    "least common ancestor": ("dist/deep/c.whl\nsrc/x.py", ".", ["dist/deep/c.whl", "src/x.py"]),
    "paths below others do not count": (
        "dist\ndist/deep",
        "dist",
        ["dist/a.whl", "dist/b.tar.gz", "dist/deep/c.whl"],
    ),
    "exclusions do not move the root": ("dist/a.whl\n!src", "dist", ["dist/a.whl"]),
    "a missing one moves the root": ("dist/a.whl\nnothing", ".", ["dist/a.whl"]),
    "comments and blank lines": ("# all wheels\n\n  dist/*.whl  ", "dist", ["dist/a.whl"]),
    "nothing": ("nope/*", "nope", []),
    "hidden is left out": ("src/*", "src", ["src/[odd]/y.py", "src/x.py", "src/x.pyc"]),
    "hidden folder is left out": (".hidden", ".hidden", []),
    "no braces": ("dist/{a,b}.whl", "dist/{a,b}.whl", []),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenarios(workspace: Path, name: str) -> None:
    patterns, root, files = SCENARIOS[name]
    found = globs.find(patterns, str(workspace))
    assert [os.path.relpath(path, workspace) for path in found.files] == files
    assert os.path.relpath(found.root, workspace) == root


def test_hidden_files_when_asked(workspace: Path) -> None:
    found = globs.find(".hidden\nsrc/.env", str(workspace), hidden=True)
    assert [os.path.relpath(path, workspace) for path in found.files] == [".hidden/z", "src/.env"]


def test_absolute_paths_outside_of_the_workspace(
    workspace: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "report.xml").write_text("x")
    found = globs.find(f"{other}/*.xml", str(workspace))
    assert found == globs.Found(str(other), (str(other / "report.xml"),))


def test_a_workspace_whose_name_is_a_pattern(tmp_path: Path) -> None:
    odd = tmp_path / "a*[b]? \\c"
    odd.mkdir()
    (odd / "x").write_text("x")
    (tmp_path / "aaa[b]y").mkdir()
    assert globs.find("*", str(odd)).files == (str(odd / "x"),)


def test_links_are_followed_without_going_in_circles(workspace: Path) -> None:
    (workspace / "dist" / "again").symlink_to(workspace / "dist")
    (workspace / "dist" / "broken").symlink_to("nowhere")
    (workspace / "dist" / "source").symlink_to("../src")
    found = [os.path.relpath(path, workspace) for path in globs.find("dist/**/*.*", str(workspace)).files]
    assert "dist/source/x.py" in found
    assert "dist/broken" not in found
    assert not any("again" in path for path in found)


@pytest.mark.parametrize("pattern", ["a/../b", "a/./b", "..", "../x", "!"])
def test_what_is_no_pattern(workspace: Path, pattern: str) -> None:
    with pytest.raises(globs.PatternInvalid):
        globs.find(pattern, str(workspace))


@given(st.text(max_size=30))
def test_any_text_is_a_pattern_or_refused(text: str) -> None:
    try:
        globs.find(text.replace("/", "") + "\n", "/nonexistent-workspace")
    except globs.PatternInvalid:
        pass
