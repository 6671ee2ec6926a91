"""`cache: npm | yarn | pnpm` of actions/setup-node."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from relevo.agent.actions import package_caches, tools
from relevo.agent.actions.contract import ActionContext, ActionFailed

#: Package manager → its lock files; the first one that is there counts. Source: setup-node, src/cache-utils.ts.
MANAGERS: Final[Mapping[str, tuple[str, ...]]] = {
    "npm": ("package-lock.json", "npm-shrinkwrap.json", "yarn.lock"),
    "pnpm": ("pnpm-lock.yaml",),
    "yarn": ("yarn.lock",),
}


async def restore(ctx: ActionContext, manager: str, env: Mapping[str, str]) -> None:
    """Restore what the manager has downloaded; `env`: with the Node.js that was set up. Raises ActionFailed."""
    names = MANAGERS[manager]
    lock = next((name for name in names if os.path.isfile(os.path.join(ctx.workspace, name))), None)
    if lock is None and not package_caches.dependency_files(ctx):
        raise ActionFailed(
            f"cache: there is no lock file in {ctx.workspace} ({', '.join(names)}): check the repository out"
            " before, or name it with cache-dependency-path"
        )
    folders = await _folders(ctx, manager, env)
    stem = f"node-cache-{package_caches.platform()}-{manager}"
    await package_caches.restore(ctx, stem, folders, [lock or ""])


async def _folders(ctx: ActionContext, manager: str, env: Mapping[str, str]) -> list[str]:
    if manager == "npm":
        return await tools.told_folders(ctx, ["npm", "config", "get", "cache"], env)
    if manager == "pnpm":
        return await tools.told_folders(ctx, ["pnpm", "store", "path", "--silent"], env)
    version = (await tools.told(ctx, ["yarn", "--version"], env) or [""])[-1]
    # Yarn 1 keeps its own ways.
    argv = ["yarn", "cache", "dir"] if version.startswith("1.") else ["yarn", "config", "get", "cacheFolder"]
    return await tools.told_folders(ctx, argv, env)
