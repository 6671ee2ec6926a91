from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from relevo.agent.actions import setup_node
from relevo.agent.actions.contract import ActionFailed
from relevo.agent.actions.setup_node import Node
from relevo.agent.actions.version_specs import parse_version

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node on PATH")
needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm on PATH")


@pytest.fixture
def node(tmp_path: Path) -> Callable[..., Path]:
    """Makes programs that answer as a Node.js of some version would, with an npm beside them."""

    def make(path: str, version: str, lts: str = "") -> Path:
        program = tmp_path / path
        program.parent.mkdir(parents=True, exist_ok=True)
        answer = json.dumps({"version": version, "lts": lts, "path": str(program)})
        program.write_text(f"#!/bin/sh\ncat <<'E'\n{answer}\nE\n")
        program.chmod(0o755)
        npm = program.with_name("npm")
        npm.write_text(f"#!/bin/sh\necho npm of {version}\n")
        npm.chmod(0o755)
        return program

    return make


def found_in(tmp_path: Path, **env: str) -> list[Node]:
    """Those below the test's own folder: the machine has some of its own."""
    found = setup_node.candidates({"HOME": str(tmp_path), "PATH": "", **env}, str(tmp_path / "tools"))
    return [node for node in found if node.program.startswith(str(tmp_path))]


def test_all_the_places(tmp_path: Path, node: Any) -> None:
    places = [
        "bin/node",
        "tools/node/18.1.0/x64/bin/node",
        ".nvm/versions/node/v18.2.0/bin/node",
        ".fnm/node-versions/v18.3.0/installation/bin/node",
        ".local/share/fnm/node-versions/v18.4.0/installation/bin/node",
        ".volta/tools/image/node/18.5.0/bin/node",
        ".asdf/installs/nodejs/18.6.0/bin/node",
        ".local/share/mise/installs/node/18.7.0/bin/node",
        "n/n/versions/node/18.8.0/bin/node",
    ]
    for number, place in enumerate(places):
        node(place, f"v18.{number}.0")
    (tmp_path / ".local/share/mise/installs/node/18").symlink_to("18.7.0")
    found = found_in(tmp_path, PATH=f"{tmp_path}/bin:relative", N_PREFIX=f"{tmp_path}/n")
    assert [str(one.version) for one in found] == [f"18.{number}.0" for number in range(9)]


def test_what_does_not_answer_is_none(tmp_path: Path, node: Any) -> None:
    node(".nvm/versions/node/v1/bin/node", "v22.0.0-nightly2024")
    node(".nvm/versions/node/v2/bin/node", "v20.1.0").write_text("#!/bin/sh\nexit 1\n")
    node(".nvm/versions/node/v3/bin/node", "v20.1.0").write_text("#!/bin/sh\necho nonsense\n")
    assert found_in(tmp_path) == []


HERE = [
    Node(parse_version(version), lts, f"/{version}/node", f"/{version}/node")
    for version, lts in (
        ("18.20.4", "hydrogen"),
        ("20.9.0", "iron"),
        ("20.20.2", "iron"),
        ("22.11.0", "jod"),
        ("23.1.0", ""),
    )
]


@pytest.mark.parametrize(
    ("asked", "version"),
    [
        ("20", "20.20.2"),
        ("v20", "20.20.2"),
        ("20.x", "20.20.2"),
        ("20.9", "20.9.0"),
        ("v20.9.0", "20.9.0"),
        (">=18 <20", "18.20.4"),
        (">=18", "23.1.0"),
        ("^20.9.0", "20.20.2"),
        ("~20.9.0", "20.9.0"),
        ("16 || 18", "18.20.4"),
        ("lts/*", "22.11.0"),
        ("lts/iron", "20.20.2"),
        ("LTS/Hydrogen", "18.20.4"),
        ("node", "23.1.0"),
        ("latest", "23.1.0"),
        ("current", "23.1.0"),
        ("*", "23.1.0"),
    ],
)
def test_versions(asked: str, version: str) -> None:
    assert str(setup_node.choose(asked, HERE).version) == version


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ("16", "no Node.js 16 on this host. It has 18.20.4 (lts/hydrogen) at /18.20.4/node, "),
        ("lts/argon", "no Node.js lts/argon"),
        ("lts/-1", "name the line: lts/iron"),
        ("system", "'system' is not understood"),
    ],
)
def test_what_is_not_there_is_told(asked: str, problem: str) -> None:
    with pytest.raises(ActionFailed) as told:
        setup_node.choose(asked, HERE)
    assert problem in str(told.value)


def test_the_error_says_what_to_do() -> None:
    with pytest.raises(ActionFailed) as told:
        setup_node.choose("99", [])
    for part in ("none at all", "looked in PATH", "nvm", "apt-get install nodejs", "Nothing is downloaded"):
        assert part in str(told.value)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (".nvmrc", "v20.9.0\n", "20.9.0"),
        (".nvmrc", "lts/iron", "lts/iron"),
        (".nvmrc", "node\n", "node"),
        (".nvmrc", "20 # ours\n", "20"),
        (".node-version", "\n18.20.4\n", "18.20.4"),
        (".tool-versions", "python 3.11.4\nnodejs 20.9.0\n", "20.9.0"),
        ("package.json", '{"engines": {"node": ">=18"}}', ">=18"),
        ("package.json", '{"engines": {"node": ">=18"}, "volta": {"node": "20.9.0"}}', "20.9.0"),
        (
            "package.json",
            '{"devEngines": {"runtime": {"name": "node", "version": "^22"}}, "engines": {"node": "18"}}',
            "^22",
        ),
        ("package.json", '{"devEngines": {"runtime": [{"name": "bun"}]}, "engines": {"node": "18"}}', "18"),
        ("package.json", '{"volta": {"extends": "base/package.json"}}', "18.1.0"),
        ("package.json", '{"volta": {"extends": "package.json"}}', ""),
        ("package.json", '{"devEngines": [], "engines": []}', ""),
        ("package.json", "[]", ""),
        (".nvmrc", "", ""),
    ],
)
def test_version_files(tmp_path: Path, name: str, text: str, expected: str) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base/package.json").write_text('{"volta": {"node": "18.1.0"}}')
    (tmp_path / name).write_text(text)
    assert setup_node.read_version_file(str(tmp_path / name), str(tmp_path)) == expected


def test_a_version_file_stays_in_the_workspace(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"volta": {"extends": "../../etc/x.json"}}')
    with pytest.raises(ActionFailed, match="outside of the workspace"):
        setup_node.read_version_file(str(tmp_path / "package.json"), str(tmp_path))
    (tmp_path / "package.json").write_text("{")
    with pytest.raises(ActionFailed, match="is no JSON"):
        setup_node.read_version_file(str(tmp_path / "package.json"), str(tmp_path))


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        ({"node_version_file": ".nvmrc"}, r"there is no \.nvmrc in the workspace"),
        ({"node_version": "20", "architecture": "sparc"}, "sparc cannot run here"),
        ({"node_version": "20", "cache": "bower"}, "'bower' is none of npm, pnpm, yarn"),
    ],
)
async def test_inputs_that_cannot_be_served(context: Any, inputs: dict[str, str], problem: str) -> None:
    with pytest.raises(ActionFailed, match=problem):
        await setup_node.main(context(**inputs))


async def test_later_steps_get_it_and_nothing_else(working: Any, node: Any, tmp_path: Path) -> None:
    program = node("one/bin/node", "v97.1.0", "Iron")
    (program.parent / "python3").write_text("not for PATH")
    (tmp_path / "one/bin/node").chmod(0o755)
    ctx = working(node_version="97", colour="red")
    ctx.env = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    await setup_node.main(ctx)
    (folder,) = ctx.paths
    assert folder.startswith(ctx.temp)
    assert sorted(os.listdir(folder)) == ["node", "npm"]
    assert os.path.realpath(f"{folder}/node") == str(program)
    assert ctx.exported == {"NPM_CONFIG_PREFIX": os.path.dirname(folder)}
    assert ctx.outputs == {"node-version": "v97.1.0"}
    assert ctx.posts == 0
    assert "'colour'" in ctx.warnings[0]


async def test_without_a_version_whatever_is_there_stays(working: Any, node: Any) -> None:
    program = node("bin/node", "v97.1.0")
    ctx = working()
    ctx.env = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    await setup_node.main(ctx)
    assert ctx.outputs == {"node-version": "v97.1.0"}
    assert ctx.paths == []


async def test_a_registry(working: Any) -> None:
    ctx = working(registry_url="https://npm.pkg.github.com", always_auth="true")
    ctx.github["repository_owner"] = "Team"
    await setup_node.main(ctx)
    path = Path(ctx.exported["NPM_CONFIG_USERCONFIG"])
    assert path.read_text().splitlines() == [
        "//npm.pkg.github.com/:_authToken=${NODE_AUTH_TOKEN}",
        "@team:registry=https://npm.pkg.github.com/",
        "always-auth=true",
    ]
    assert path.stat().st_mode & 0o777 == 0o600
    assert ctx.exported["NODE_AUTH_TOKEN"].startswith("XXXXX-")


async def test_a_cache_wants_a_lock_file(working: Any, node: Any) -> None:
    program = node("bin/node", "v97.1.0")
    ctx = working(node_version="97", cache="npm")
    ctx.env = {**os.environ, "PATH": str(program.parent)}
    with pytest.raises(ActionFailed, match=r"no lock file in .*\(package-lock.json, npm-shrinkwrap.json"):
        await setup_node.main(ctx)


@pytest.mark.parametrize(
    ("manager", "script", "lock"),
    [
        ("pnpm", '[ "$*" = "store path --silent" ] && echo "$PLACE"', "pnpm-lock.yaml"),
        (
            "yarn",
            '[ "$*" = "--version" ] && echo 1.22.0; [ "$*" = "cache dir" ] && echo "$PLACE"; :',
            "yarn.lock",
        ),
        (
            "yarn",
            '[ "$*" = "--version" ] && echo 4.1.0; [ "$*" = "config get cacheFolder" ] && echo "$PLACE"; :',
            "yarn.lock",
        ),
        ("npm", 'echo "npm warn old"; [ "$*" = "config get cache" ] && echo "$PLACE"', "npm-shrinkwrap.json"),
    ],
)
async def test_the_managers_tell_where_they_keep_things(
    working: Any, node: Any, tmp_path: Path, manager: str, script: str, lock: str
) -> None:
    program = node("bin/node", "v97.1.0")
    tool = program.with_name(manager)
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)

    def prepared(place: str) -> Any:
        ctx = working(place, node_version="97", cache=manager)
        kept = tmp_path / place / "kept"
        ctx.env = {
            **os.environ,
            "PATH": f"{tool.parent}:/usr/bin:/bin",
            "PLACE": str(kept),
            "HOME": str(tmp_path / place),
        }
        (Path(ctx.workspace) / lock).write_text("locked")
        return ctx, kept

    first, kept = prepared("one")
    await setup_node.main(first)
    assert first.outputs["cache-hit"] == "false"
    kept.mkdir()
    (kept / "package").write_text("bytes")
    await setup_node.post(first)
    second, kept = prepared("two")
    await setup_node.main(second)
    assert second.outputs["cache-hit"] == "true"
    assert (kept / "package").read_text() == "bytes"
    assert f"-{manager}-" in second.state["cache"]


@needs_node
@needs_npm
async def test_the_real_one(working: Any) -> None:
    ctx = working(node_version=">=10")
    ctx.env = dict(os.environ)
    await setup_node.main(ctx)
    env = {**os.environ, **ctx.exported, "PATH": f"{ctx.paths[0]}:{os.environ['PATH']}"}
    said: list[bytes] = []
    assert await ctx.run(["node", "--version"], env=env, on_output=said.append) == 0
    assert said[0].decode().strip() == ctx.outputs["node-version"]
    assert await ctx.run(["npm", "prefix", "-g"], env=env, on_output=said.append) == 0
    assert said[1].decode().strip().endswith(ctx.exported["NPM_CONFIG_PREFIX"])
