from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from relevo.agent.actions import setup_go
from relevo.agent.actions.contract import ActionFailed
from relevo.agent.actions.setup_go import Go
from relevo.agent.actions.version_specs import parse_version

needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="there is no go on PATH")


@pytest.fixture
def go(tmp_path: Path) -> Callable[..., Path]:
    """Makes programs that answer as a Go of some version would."""

    def make(root: str, version: str) -> Path:
        program = tmp_path / root / "bin/go"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(
            "#!/bin/sh\n"
            f'case "$*" in "env GOVERSION GOROOT") echo go{version}; echo {tmp_path / root};;'
            '"env GOPATH") echo "$HOME/go";;'
            '"env GOMODCACHE GOCACHE") echo "$HOME/go/mod"; echo "$HOME/build";; esac\n'
        )
        program.chmod(0o755)
        return program

    return make


def test_all_the_places(tmp_path: Path, go: Any) -> None:
    roots = [
        "path",
        "tools/go/1.21.1/x64",
        "sdk/go1.21.2",
        "go/sdk/go1.21.3",
        ".asdf/installs/golang/1.21.4/go",
        ".local/share/mise/installs/go/1.21.5",
    ]
    for number, root in enumerate(roots):
        go(root, f"1.21.{number}")
    go("sdk/broken", "devel").write_text("#!/bin/sh\nexit 2\n")
    go("sdk/gotip", "devel +abc")
    env = {"HOME": str(tmp_path), "PATH": f"{tmp_path}/path/bin"}
    found = setup_go.candidates(env, str(tmp_path / "tools"))
    mine = [one.text for one in found if one.program.startswith(str(tmp_path))]
    assert mine == [f"1.21.{number}" for number in range(6)]


HERE = [
    Go(parse_version(text), text, f"/{text}", f"/{text}/bin/go")
    for text in ("1.20", "1.21.3", "1.21.9", "1.22.1", "1.23rc1")
]


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("1.21", "1.21.9"),
        ("1.21.x", "1.21.9"),
        ("1.21.3", "1.21.3"),
        ("go1.21.3", "1.21.3"),
        ("1.20.0", "1.20"),
        ("^1.20", "1.22.1"),
        (">=1.20 <1.22", "1.21.9"),
        ("~1.21.3", "1.21.9"),
        ("1", "1.22.1"),
        ("stable", "1.22.1"),
        ("latest", "1.22.1"),
        ("oldstable", "1.21.9"),
        ("1.23rc1", "1.23rc1"),
        ("1.23.0-rc.1", "1.23rc1"),
    ],
)
def test_versions(asked: str, text: str) -> None:
    assert setup_go.choose(asked, HERE).text == text


@pytest.mark.parametrize(("asked", "text"), [("1.19", "1.22.1"), ("1.21.4", "1.22.1"), ("1.21", "1.21.9")])
def test_a_later_one_where_that_will_do(asked: str, text: str) -> None:
    assert setup_go.choose(asked, HERE, at_least=True).text == text


@pytest.mark.parametrize("asked", ["1.19", "1.23", "tip"])
def test_what_is_not_there_is_told(asked: str) -> None:
    with pytest.raises(ActionFailed, match="go-version"):
        setup_go.choose(asked, HERE)
    with pytest.raises(ActionFailed, match="oldstable"):
        setup_go.choose("oldstable", HERE[:1])


def test_the_error_says_what_to_do() -> None:
    with pytest.raises(ActionFailed) as told:
        setup_go.choose("1.19", HERE)
    for part in ("no Go 1.19", "1.20 at /1.20/bin/go", "~/sdk", "apt-get install golang-go"):
        assert part in str(told.value)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("go.mod", "module x\n\ngo 1.21\n", "1.21"),
        ("go.mod", "module x\n\ngo 1.21.3\n\ntoolchain go1.22.1\n", "1.22.1"),
        ("go.mod", "module x\n\ngo 1.23rc1 // soon\n", "1.23rc1"),
        ("go.work", "go 1.22\n\nuse ./a\n", "1.22"),
        (".go-version", "1.21.3\n", "1.21.3"),
        (".tool-versions", "nodejs 20\ngolang 1.21.3\n", "1.21.3"),
        ("go.mod", "module x\n", ""),
    ],
)
def test_version_files(tmp_path: Path, name: str, text: str, expected: str) -> None:
    (tmp_path / name).write_text(text)
    assert setup_go.read_version_file(str(tmp_path / name)) == expected


async def test_later_steps_get_it(working: Any, go: Any, tmp_path: Path) -> None:
    program = go("sdk/go", "1.97.3")
    ctx = working(go_version="1.97", cache="false", colour="red")
    ctx.env = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    await setup_go.main(ctx)
    home = os.environ["HOME"]
    assert ctx.paths == [str(program.parent), f"{home}/go/bin"]
    assert ctx.exported == {"GOTOOLCHAIN": "local"}
    assert ctx.outputs == {"go-version": "1.97.3", "cache-hit": "false"}
    assert ctx.posts == 0
    assert "'colour'" in ctx.warnings[0]


async def test_goroot_for_those_that_need_it(working: Any, go: Any, tmp_path: Path) -> None:
    program = go("old", "1.8.7")
    ctx = working(go_version="1.8", cache="false")
    ctx.env = {**os.environ, "PATH": str(program.parent)}
    await setup_go.main(ctx)
    assert ctx.exported["GOROOT"] == str(tmp_path / "old")


async def test_the_file_of_the_module(working: Any, go: Any) -> None:
    program = go("sdk/go", "1.97.3")
    ctx = working(go_version_file="go.mod", cache="false")
    ctx.env = {**os.environ, "PATH": str(program.parent)}
    with pytest.raises(ActionFailed, match=r"there is no go\.mod"):
        await setup_go.main(ctx)
    (Path(ctx.workspace) / "go.mod").write_text("module x\n")
    with pytest.raises(ActionFailed, match="tells no version"):
        await setup_go.main(ctx)
    (Path(ctx.workspace) / "go.mod").write_text("module x\ngo 1.97\n")
    await setup_go.main(ctx)
    assert ctx.outputs["go-version"] == "1.97.3"
    (Path(ctx.workspace) / "go.mod").write_text("module x\ngo 1.96\n")
    await setup_go.main(ctx)  # any later one will do
    assert ctx.outputs["go-version"] == "1.97.3"
    (Path(ctx.workspace) / "go.mod").write_text("module x\ngo 1.98\n")
    with pytest.raises(ActionFailed, match=r"no Go 1\.98"):
        await setup_go.main(ctx)
    Path(ctx.workspace, ".go-version").write_text("1.96\n")
    ctx = working(go_version_file=".go-version", cache="false")
    with pytest.raises(ActionFailed, match=r"no Go 1\.96"):
        await setup_go.main(ctx)


async def test_modules_and_builds_are_cached_unless_there_is_no_sum(
    working: Any, go: Any, tmp_path: Path
) -> None:
    program = go("sdk/go", "1.97.3")

    def prepared(place: str) -> Any:
        ctx = working(place, go_version="1.97")
        ctx.env = {**ctx.env, "PATH": f"{program.parent}:/usr/bin:/bin"}
        return ctx

    first = prepared("one")
    await setup_go.main(first)
    assert "Restore cache failed: cache: no file in" in first.warnings[0]
    assert first.posts == 0
    (Path(first.workspace) / "go.sum").write_text("sums")
    await setup_go.main(first)
    for name in ("go/mod/m", "build/b"):
        path = Path(first.env["HOME"]) / name
        path.parent.mkdir(parents=True)
        path.write_text(name)
    await setup_go.post(first)
    second = prepared("two")
    (Path(second.workspace) / "go.sum").write_text("sums")
    await setup_go.main(second)
    assert second.outputs["cache-hit"] == "true"
    assert (Path(second.env["HOME"]) / "build/b").read_text() == "build/b"
    assert (Path(second.env["HOME"]) / "go/mod/m").read_text() == "go/mod/m"


@needs_go
async def test_the_real_one(working: Any) -> None:
    ctx = working(go_version="stable", cache="false")
    ctx.env = dict(os.environ)
    await setup_go.main(ctx)
    env = {**os.environ, **ctx.exported, "PATH": ":".join([*ctx.paths, os.environ["PATH"]])}
    said: list[bytes] = []
    assert await ctx.run(["go", "version"], env=env, on_output=said.append) == 0
    assert f" go{ctx.outputs['go-version']} " in said[0].decode()
