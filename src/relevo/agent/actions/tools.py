"""Tools that a host has: where they lie, and what they say of themselves. Nothing is downloaded.

Version managers keep each version in a folder of its own; a program on PATH stands for the installation that it leads to.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from relevo.agent.actions.contract import ActionContext, ActionFailed

_TIMEOUT_S: Final = 20.0
_ARCHITECTURES: Final = {"x86_64": "x64", "aarch64": "arm64", "armv7l": "arm", "i686": "x86"}
#: Of what a tool says of itself, and of where it keeps things.
_SAID_LIMIT_BYTES: Final = 1 << 16
#: path, size, time of change of a program, and what it was asked → what it said. Tools do not change under a running agent.
_said: dict[tuple[str, int, int, tuple[str, ...]], bytes | None] = {}


def architecture() -> str:
    """Of this host, as the actions call it: x64, arm64."""
    machine = os.uname().machine
    return _ARCHITECTURES.get(machine, machine)


def check_architecture(ctx: ActionContext) -> None:
    """Raise ActionFailed when another one is asked for."""
    own = architecture()
    wanted = ctx.input("architecture", own).lower()
    if wanted not in (own, os.uname().machine):
        raise ActionFailed(f"architecture: this host is {own}, {wanted} cannot run here")


def caches(tool_cache: str, name: str) -> list[str]:
    """Folders in which runners keep a tool by version and architecture."""
    roots = dict.fromkeys([tool_cache, "/opt/hostedtoolcache"])
    return [os.path.join(root, name) for root in roots]


def below(root: str, pattern: str) -> Iterator[str]:
    """Paths below a folder that a pattern means, the last first: the latest by name, mostly. Blocking."""
    import glob

    yield from sorted(glob.glob(os.path.join(glob.escape(root), pattern)), reverse=True)


def on_path(env: Mapping[str, str], name: str) -> Iterator[str]:
    """Programs of a name on a PATH, and where distributions put them. Blocking."""
    folders = [*env.get("PATH", "").split(":"), "/usr/local/bin", "/usr/bin"]
    for folder in dict.fromkeys(folders):
        path = os.path.join(folder, name)
        if os.path.isabs(folder) and os.access(path, os.X_OK):
            yield path


def unique(paths: Iterable[str]) -> list[str]:
    """Each file or folder once, under the first of its names. Blocking."""
    first: dict[str, str] = {}
    for path in paths:
        first.setdefault(os.path.realpath(path), path)
    return list(first.values())


def ask(path: str, arguments: Sequence[str], extra: Mapping[str, str] | None = None) -> bytes | None:
    """What a program prints, asked once for each state of its file; None when it does not work. Blocking.

    `extra` is added to the environment, which has nothing of a job's own: PYTHONHOME, GOROOT or NODE_OPTIONS would make
    a tool pretend to be another one.
    """
    import subprocess

    try:
        status = os.stat(path)
    except OSError:
        return None
    key = (os.path.realpath(path), status.st_size, status.st_mtime_ns, tuple(arguments))
    if key in _said:
        return _said[key]
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
    try:
        done = subprocess.run(
            [path, *arguments],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            env={**env, **(extra or {})},
            check=True,
        )
        said: bytes | None = done.stdout
    except (OSError, subprocess.SubprocessError):
        said = None  # broken, or something else of that name
    _said[key] = said
    return said


async def told(ctx: ActionContext, argv: Sequence[str], env: Mapping[str, str] | None = None) -> list[str]:
    """The lines that a tool prints in the job's worker, blank ones left out. Raises ActionFailed with them if it fails."""
    said = bytearray()

    def take(data: bytes) -> None:
        said.extend(data[: _SAID_LIMIT_BYTES - len(said)])

    code = await ctx.run(argv, env=env, on_output=take)
    lines = [line.strip() for line in bytes(said).decode("utf-8", "replace").splitlines() if line.strip()]
    if code:
        raise ActionFailed(f"`{' '.join(argv)}` ended with {code}: {' '.join(lines[-5:])}")
    return lines


async def told_folders(
    ctx: ActionContext, argv: Sequence[str], env: Mapping[str, str] | None = None
) -> list[str]:
    """The folders that a tool prints, one a line; what else it says (npm warns there) is left out."""
    folders = [line for line in await told(ctx, argv, env) if os.path.isabs(line)]
    if not folders:
        raise ActionFailed(f"`{' '.join(argv)}` tells no folder")
    return folders


def missing(
    asked_by: str, wanted: str, there: Collection[str], places: Collection[str], install: str
) -> ActionFailed:
    """The error when nothing fits: what was looked for, what there is, where was looked, what to do."""
    return ActionFailed(
        f"{asked_by}: no {wanted} on this host. It has {', '.join(there) or 'none at all'}; looked in"
        f" {', '.join(places)}. Nothing is downloaded: install it ({install}), or ask for a version that is there"
    )
