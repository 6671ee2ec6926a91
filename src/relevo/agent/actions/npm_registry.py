"""`registry-url` of actions/setup-node: an .npmrc for the job. Source: setup-node, src/authutil.ts."""

from __future__ import annotations

import os

from relevo.agent.actions.contract import ActionContext


async def configure(ctx: ActionContext, url: str) -> None:
    """Have npm use a registry. The token stays in NODE_AUTH_TOKEN, which steps set: it is not written down."""
    address = url if url.endswith("/") else f"{url}/"
    scope = ctx.input("scope")
    if not scope and "npm.pkg.github.com" in address:
        scope = str(ctx.github.get("repository_owner") or "")
    if scope:
        scope = f"@{scope.lstrip('@')}:".lower()
    lines = [
        f"{address.partition(':')[2]}:_authToken=${{NODE_AUTH_TOKEN}}",
        f"{scope}registry={address}",
        f"always-auth={str(ctx.flag('always-auth', False)).lower()}",
    ]
    path = os.path.join(ctx.temp, ".npmrc")
    await ctx.blocking(_write, path, "\n".join(lines) + "\n")
    ctx.set_env("NPM_CONFIG_USERCONFIG", path)
    # npm complains of a variable that it is to put in and is not there.
    ctx.set_env("NODE_AUTH_TOKEN", ctx.env.get("NODE_AUTH_TOKEN") or "XXXXX-XXXXX-XXXXX-XXXXX")


def _write(path: str, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(text)
