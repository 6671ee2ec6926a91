"""`cache: pip | pipenv | poetry` of actions/setup-python."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from relevo.agent.actions import package_caches, tools
from relevo.agent.actions.contract import ActionContext, ActionFailed
from relevo.agent.actions.pythons import Python

#: Package manager → the files that tell what it installs. Source: setup-python, src/cache-distributions.
MANAGERS: Final[Mapping[str, tuple[str, ...]]] = {
    "pip": ("**/requirements.txt",),
    "pipenv": ("**/Pipfile.lock",),
    "poetry": ("**/poetry.lock",),
}


async def restore(ctx: ActionContext, manager: str, python: Python, executable: str) -> None:
    """Restore what the manager keeps, for this Python. Raises ActionFailed."""
    # The interpreter that was set up is found first, as it will be by the steps.
    path = f"{os.path.dirname(executable)}:{ctx.env.get('PATH', os.defpath)}"
    env = {**ctx.env, "PATH": path}
    stem = f"setup-python-{package_caches.platform()}-python-{python.version}-{manager}"
    if manager == "pip":
        folders = await tools.told_folders(ctx, [executable, "-m", "pip", "cache", "dir"], env)
        try:
            await package_caches.restore(ctx, stem, folders, MANAGERS["pip"], nearest=True)
        except package_caches.NoDependencies:
            if package_caches.dependency_files(ctx):
                raise
            await package_caches.restore(ctx, stem, folders, ("**/pyproject.toml",), nearest=True)
        return
    if manager == "pipenv":
        home = ctx.env.get("WORKON_HOME") or "~/.local/share/virtualenvs"
        await package_caches.restore(ctx, stem, [home], MANAGERS["pipenv"])
        return
    await package_caches.restore(ctx, stem, await _poetry_folders(ctx, env), MANAGERS["poetry"])


async def _poetry_folders(ctx: ActionContext, env: Mapping[str, str]) -> list[str]:
    """Where poetry keeps environments: for all projects in one place, or in the project's folder."""
    config = {}
    for line in await tools.told(ctx, ["poetry", "config", "--list"], env):
        name, _, value = line.partition(" = ")
        # `virtualenvs.path = "{cache-dir}/virtualenvs"  # /home/me/.cache/pypoetry/virtualenvs`
        config[name] = (value.partition("  # ")[2] or value).strip().strip('"')
    folders = [config["virtualenvs.path"]] if os.path.isabs(config.get("virtualenvs.path", "")) else []
    if config.get("virtualenvs.in-project") == "true":
        folders.append("**/.venv")
    if not folders:
        raise ActionFailed("cache: `poetry config --list` tells no virtualenvs.path")
    return folders
