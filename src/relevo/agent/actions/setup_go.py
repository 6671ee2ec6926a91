"""actions/setup-go: `go` of the later steps is of the version asked for, from what the host has. Nothing is downloaded."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from relevo.agent.actions import caching, package_caches, tools
from relevo.agent.actions.contract import ActionContext, ActionFailed
from relevo.agent.actions.inputs import inside, warn_unknown
from relevo.agent.actions.version_specs import SpecInvalid, Version, parse, parse_version

_KNOWN: Final = frozenset(
    {
        "architecture",
        "cache",
        "cache-dependency-path",
        "check-latest",
        "go-download-base-url",
        "go-version",
        "go-version-file",
        "token",
    }
)
_MODULE_FILES: Final = ("go.mod", "go.work")
_PLACES: Final = (
    "PATH",
    "RUNNER_TOOL_CACHE",
    "/usr/local/go*",
    "/usr/lib/go*",
    "~/sdk",
    "~/go/sdk",
    "asdf",
    "mise",
)
#: `go` never fetches another one of itself: the one that was asked for is used.
_LOCAL: Final = {"GOTOOLCHAIN": "local"}


class Go(Struct, frozen=True):
    """An installation that answered."""

    version: Version
    text: str  #: the version as it calls itself: 1.26.8, 1.22rc1
    root: str  #: GOROOT
    program: str

    @property
    def told(self) -> str:
        return f"{self.text} at {self.program}"


class Asked(Struct, frozen=True):
    """What the workflow wants."""

    version: str
    at_least: bool = False  #: a later one will do where that one is not here


async def main(ctx: ActionContext) -> None:
    """Set Go up. Outputs: `go-version`, `cache-hit`."""
    warn_unknown(ctx, _KNOWN)
    tools.check_architecture(ctx)
    cached = ctx.flag("cache", True)
    asked = await _asked_for(ctx)
    found: list[Go] = await ctx.blocking(candidates, ctx.env, ctx.tool_cache)
    if asked is None:
        go = next(iter(found), None)
        if go is None:
            raise _missing("", found)
    else:
        go = choose(asked.version, found, at_least=asked.at_least)
        if asked.at_least and not admits(asked.version, go):
            ctx.log(
                f"Go {asked.version} is not here; {go.text} serves it, as a go.mod names the oldest that will do"
            )
    env = await _activate(ctx, go)
    ctx.set_output("cache-hit", "false")
    if cached:
        await _restore(ctx, go, env)


post: Final = caching.save_at_end


async def _asked_for(ctx: ActionContext) -> Asked | None:
    """None: any, the one on PATH first."""
    version, file = ctx.input("go-version"), ctx.input("go-version-file")
    if version and file:
        ctx.warn("Both go-version and go-version-file inputs are specified, only go-version will be used")
    if version or not file:
        return Asked(version) if version else None
    try:
        asked: str = await ctx.blocking(read_version_file, inside(ctx.workspace, file, "go-version-file"))
    except FileNotFoundError:
        raise ActionFailed(f"go-version-file: there is no {file} in the workspace") from None
    if not asked:
        raise ActionFailed(f"go-version-file: {file} tells no version of Go")
    ctx.log(f"{file} asks for Go {asked}")
    return Asked(asked, at_least=os.path.basename(file) in _MODULE_FILES)


def read_version_file(path: str) -> str:
    """The version in a `go.mod`, `go.work`, `.go-version` or `.tool-versions`; "" if it tells none. Blocking.

    Raises FileNotFoundError.
    """
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read()
    name = os.path.basename(path)
    if name in _MODULE_FILES:
        toolchain = re.search(r"^toolchain go(1\.\d+(?:\.\d+|rc\d+)?)", text, re.MULTILINE)
        match = toolchain or re.search(r"^go (\d+(?:\.\d+)*(?:rc\d+)?)", text, re.MULTILINE)
    elif name == ".tool-versions":
        match = re.search(r"^golang\s+(\S+)", text, re.MULTILINE)
    else:
        match = re.search(r"^\s*(?:go)?(\S+)", text)
    return match[1] if match else ""


def candidates(env: Mapping[str, str], tool_cache: str) -> list[Go]:
    """All that answer, those on PATH first. Blocking."""
    home = env.get("HOME") or os.path.expanduser("~")
    data = env.get("XDG_DATA_HOME") or f"{home}/.local/share"
    paths = [
        *tools.on_path(env, "go"),
        *(path for root in tools.caches(tool_cache, "go") for path in tools.below(root, "*/*/bin/go")),
        *tools.below("/usr/local", "go*/bin/go"),
        *tools.below("/usr/lib", "go*/bin/go"),
        *tools.below(f"{home}/sdk", "go*/bin/go"),
        *tools.below(f"{home}/go/sdk", "go*/bin/go"),
        *tools.below(env.get("ASDF_DATA_DIR") or f"{home}/.asdf", "installs/golang/*/go/bin/go"),
        *tools.below(f"{data}/mise", "installs/go/*/bin/go"),
    ]
    found = (ask(path) for path in tools.unique(paths))
    return [go for go in found if go is not None]


def ask(path: str) -> Go | None:
    """What a program says of itself; None when it is no Go that works, or no release of it. Blocking."""
    said = tools.ask(path, ["env", "GOVERSION", "GOROOT"], _LOCAL)
    lines = said.decode("utf-8", "replace").splitlines() if said is not None else []
    if len(lines) != 2 or not lines[0].startswith("go") or not os.path.isabs(lines[1]):
        return None
    text = lines[0].removeprefix("go").partition(" ")[0]
    try:
        return Go(parse_version(text), text, lines[1], path)
    except SpecInvalid:
        return None


def admits(spec: str, go: Go) -> bool:
    """Whether a version is one that a spec names. Raises SpecInvalid."""
    return parse(spec).admits(go.version)


def choose(asked: str, found: list[Go], *, at_least: bool = False) -> Go:
    """The latest that a spec or an alias (`stable`, `oldstable`, `latest`) admits. Raises ActionFailed.

    `stable` is the latest release that is here, `oldstable` the latest of the minor release before it. `at_least`: where
    none is admitted, the latest release that is later.
    """
    wanted = asked.strip().lower()
    released = sorted((go for go in found if go.version.is_final), key=lambda go: go.version)
    if wanted in ("stable", "latest"):
        fitting = released
    elif wanted == "oldstable":
        fitting = [go for go in released if _minor(go) < _minor(released[-1])]
    else:
        try:
            spec = parse(wanted.removeprefix("go"))
        except SpecInvalid as error:
            raise ActionFailed(f"go-version: {error}") from error
        fitting = [go for go in found if spec.admits(go.version)]
        if not fitting and at_least:
            later = parse(f">={wanted}")
            fitting = [go for go in released if later.admits(go.version)]
    if not fitting:
        raise _missing(asked, found)
    return max(fitting, key=lambda go: go.version)


def _minor(go: Go) -> tuple[int, int]:
    return go.version.major, go.version.minor


def _missing(asked: str, found: list[Go]) -> ActionFailed:
    install = "apt-get install golang-go, or unpack one of https://go.dev/dl to ~/sdk/goVERSION"
    return tools.missing("go-version", f"Go {asked}".strip(), [go.told for go in found], _PLACES, install)


async def _activate(ctx: ActionContext, go: Go) -> Mapping[str, str]:
    """Have the steps that follow use it; returns the environment that they will have."""
    folder = os.path.join(go.root, "bin")
    env = {**ctx.env, "PATH": f"{folder}:{ctx.env.get('PATH', os.defpath)}", **_LOCAL}
    for name, value in _LOCAL.items():
        ctx.set_env(name, value)
    if _minor(go) < (1, 9):
        ctx.set_env("GOROOT", go.root)  # older ones do not find it by themselves
    gopath, *_ = await tools.told_folders(ctx, [f"{folder}/go", "env", "GOPATH"], env)
    # What `go install` makes is found by the steps that follow.
    ctx.add_path(f"{gopath.partition(':')[0]}/bin")
    ctx.add_path(folder)
    ctx.log(f"Go {go.told}")
    ctx.set_output("go-version", go.text)
    return env


async def _restore(ctx: ActionContext, go: Go, env: Mapping[str, str]) -> None:
    """Modules and what was built of them, by go.sum. Without one a warning, as the cache is on by default."""
    folders = await tools.told_folders(ctx, [f"{go.root}/bin/go", "env", "GOMODCACHE", "GOCACHE"], env)
    try:
        stem = f"setup-go-{package_caches.platform()}-go-{go.text}"
        await package_caches.restore(ctx, stem, folders, ["go.sum"])
    except package_caches.NoDependencies as error:
        ctx.warn(f"Restore cache failed: {error}")
