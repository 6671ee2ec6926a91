"""actions/setup-node: `node` and `npm` of the later steps are of the version asked for, from what the host has.

Nothing is downloaded. The steps get a folder of their own with the programs of that installation, which is npm's prefix, too: what
they install globally reaches neither the host nor other jobs, and nothing else of /usr/bin comes to the front of PATH.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from relevo.agent.actions import caching, node_caches, npm_registry, tools
from relevo.agent.actions.contract import ActionContext, ActionFailed
from relevo.agent.actions.inputs import choice, inside, warn_unknown
from relevo.agent.actions.version_specs import SpecInvalid, Version, parse, parse_version

_KNOWN: Final = frozenset(
    {
        "always-auth",
        "architecture",
        "cache",
        "cache-dependency-path",
        "check-latest",
        "mirror",
        "mirror-token",
        "node-version",
        "node-version-file",
        "package-manager-cache",
        "registry-url",
        "scope",
        "token",
    }
)
_ASK: Final = (
    "-p",
    "JSON.stringify({version: process.version, lts: process.release.lts || '', path: process.execPath})",
)
#: What comes with Node.js, beside itself.
_PROGRAMS: Final = ("npm", "npx", "corepack")
_PLACES: Final = (
    "PATH",
    "RUNNER_TOOL_CACHE",
    "nvm",
    "fnm",
    "volta",
    "asdf",
    "mise",
    "n",
)
_LATEST: Final = frozenset({"node", "latest", "current"})


class Node(Struct, frozen=True):
    """An installation that answered."""

    version: Version
    lts: str  #: the code name of its line, in lower case; "": it is no LTS
    program: str  #: as it was found
    path: str  #: what it is itself

    @property
    def told(self) -> str:
        return f"{self.version}{f' (lts/{self.lts})' if self.lts else ''} at {self.program}"


class _Answer(Struct):
    version: str
    lts: str
    path: str


async def main(ctx: ActionContext) -> None:
    """Set Node.js up. Outputs: `node-version` (`v20.1.0`), `cache-hit` with `cache`."""
    warn_unknown(ctx, _KNOWN)
    tools.check_architecture(ctx)
    manager = ctx.input("cache")
    if manager:
        choice(manager, "cache", node_caches.MANAGERS)
    ctx.flag("package-manager-cache", True)
    asked = await _asked_for(ctx)
    found: list[Node] = await ctx.blocking(candidates, ctx.env, ctx.tool_cache)
    if asked is None:
        # As on GitHub: whatever is there already.
        node = next((node for node in found if node.program == _first_on_path(ctx.env)), None)
        if node is not None:
            ctx.log(f"Node.js {node.told}")
            ctx.set_output("node-version", f"v{node.version}")
        elif manager:
            raise tools.missing("node-version", "Node.js", [], ["PATH"], "apt-get install nodejs npm")
        env = ctx.env
    else:
        node = choose(asked, found)
        env = await _activate(ctx, node)
    if registry := ctx.input("registry-url"):
        await npm_registry.configure(ctx, registry)
    if manager:
        await node_caches.restore(ctx, manager, env)


post: Final = caching.save_at_end


async def _asked_for(ctx: ActionContext) -> str | None:
    version, file = ctx.input("node-version"), ctx.input("node-version-file")
    if version and file:
        ctx.warn(
            "Both node-version and node-version-file inputs are specified, only node-version will be used"
        )
    if version or not file:
        return version or None
    path = inside(ctx.workspace, file, "node-version-file")
    try:
        asked: str | None = await ctx.blocking(read_version_file, path, ctx.workspace)
    except FileNotFoundError:
        raise ActionFailed(f"node-version-file: there is no {file} in the workspace") from None
    if not asked:
        raise ActionFailed(f"node-version-file: {file} tells no version of Node.js")
    ctx.log(f"Resolved {file} as {asked}")
    return asked


def read_version_file(path: str, workspace: str) -> str:
    """The version in a `.nvmrc`, `.node-version`, `.tool-versions` or `package.json`; "" if it tells none. Blocking.

    Raises FileNotFoundError, ActionFailed.
    """
    seen: set[str] = set()
    while True:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
        if not path.endswith(".json"):
            match = re.search(r"^(?:node(?:js)?\s+)?v?([^\s#]+)\s*(?:#.*)?$", text.strip(), re.MULTILINE)
            return match[1] if match else ""
        try:
            manifest = msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise ActionFailed(f"node-version-file: {path} is no JSON: {error}") from error
        manifest = manifest if isinstance(manifest, dict) else {}
        found, extends = _told_by(manifest), _field(manifest, "volta", "extends")
        if found or not extends:
            return found
        seen.add(path)
        path = inside(workspace, os.path.join(os.path.dirname(path), extends), "node-version-file")
        if path in seen:
            return ""


def _told_by(manifest: dict[str, Any]) -> str:
    engines = manifest.get("devEngines")
    runtime = engines.get("runtime") if isinstance(engines, dict) else None
    for one in runtime if isinstance(runtime, list) else [runtime]:
        if isinstance(one, dict) and one.get("name") == "node" and one.get("version"):
            return _field(manifest, "volta", "node") or str(one["version"])
    return _field(manifest, "volta", "node") or _field(manifest, "engines", "node")


def _field(manifest: dict[str, Any], section: str, name: str) -> str:
    found = manifest.get(section)
    return str(found.get(name) or "") if isinstance(found, dict) else ""


def candidates(env: Mapping[str, str], tool_cache: str) -> list[Node]:
    """All that answer, those on PATH first. Blocking."""
    home = env.get("HOME") or os.path.expanduser("~")
    data = env.get("XDG_DATA_HOME") or f"{home}/.local/share"
    paths = [
        *tools.on_path(env, "node"),
        *(path for root in tools.caches(tool_cache, "node") for path in tools.below(root, "*/*/bin/node")),
        *tools.below(env.get("NVM_DIR") or f"{home}/.nvm", "versions/node/*/bin/node"),
        *tools.below(f"{home}/.fnm", "node-versions/*/installation/bin/node"),
        *tools.below(f"{data}/fnm", "node-versions/*/installation/bin/node"),
        *tools.below(env.get("VOLTA_HOME") or f"{home}/.volta", "tools/image/node/*/bin/node"),
        *tools.below(env.get("ASDF_DATA_DIR") or f"{home}/.asdf", "installs/nodejs/*/bin/node"),
        *tools.below(f"{data}/mise", "installs/node/*/bin/node"),
        *tools.below(env.get("N_PREFIX") or "/usr/local", "n/versions/node/*/bin/node"),
    ]
    found = (ask(path) for path in tools.unique(paths))
    return [node for node in found if node is not None]


def ask(path: str) -> Node | None:
    """What a program says of itself; None when it is no Node.js that works, or no release of it. Blocking."""
    said = tools.ask(path, _ASK)
    if said is None:
        return None
    try:
        answer = msgspec.json.decode(said, type=_Answer)
        return Node(parse_version(answer.version), answer.lts.lower(), path, answer.path)
    except (msgspec.DecodeError, SpecInvalid):
        return None


def choose(asked: str, found: list[Node]) -> Node:
    """The latest that a spec or an alias (`lts/*`, `lts/iron`, `node`, `latest`) admits. Raises ActionFailed."""
    lowered = asked.strip().lower()
    if re.fullmatch(r"lts/-\d+", lowered):
        raise ActionFailed(
            f"node-version: {asked} needs the list of all releases, which is not fetched; name the line: lts/iron"
        )
    if lowered in _LATEST:
        fitting = found
    elif lowered.startswith("lts/"):
        line = lowered.removeprefix("lts/")
        fitting = [node for node in found if node.lts and line in ("*", node.lts)]
    else:
        try:
            spec = parse(asked)
        except SpecInvalid as error:
            raise ActionFailed(f"node-version: {error}") from error
        fitting = [node for node in found if spec.admits(node.version)]
    if not fitting:
        install = "nvm install, fnm install, or apt-get install nodejs npm"
        raise tools.missing(
            "node-version", f"Node.js {asked}", [node.told for node in found], _PLACES, install
        )
    return max(fitting, key=lambda node: node.version)


def _first_on_path(env: Mapping[str, str]) -> str | None:
    return next(tools.on_path(env, "node"), None)


async def _activate(ctx: ActionContext, node: Node) -> Mapping[str, str]:
    """Have the steps that follow use it; returns the environment that they will have."""
    prefix = os.path.join(ctx.temp, f"node-{node.version}-{os.urandom(4).hex()}")
    await ctx.blocking(_link, node, prefix)
    ctx.add_path(f"{prefix}/bin")
    ctx.set_env("NPM_CONFIG_PREFIX", prefix)
    ctx.log(f"Node.js {node.told}")
    ctx.set_output("node-version", f"v{node.version}")
    path = f"{prefix}/bin:{ctx.env.get('PATH', os.defpath)}"
    return {**ctx.env, "PATH": path, "NPM_CONFIG_PREFIX": prefix}


def _link(node: Node, prefix: str) -> None:
    os.makedirs(f"{prefix}/bin")
    os.makedirs(f"{prefix}/lib")  # npm looks for what is installed globally there
    os.symlink(node.path, f"{prefix}/bin/node")
    for name in _PROGRAMS:
        # A version manager's shim lies elsewhere than what it stands for.
        beside = (os.path.join(os.path.dirname(path), name) for path in (node.path, node.program))
        found = next((path for path in beside if os.access(path, os.X_OK)), None)
        if found is not None:
            os.symlink(found, f"{prefix}/bin/{name}")
