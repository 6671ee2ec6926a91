"""actions/upload-artifact (v4): files of the workspace, kept with the run under a name."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Final

from relevo.agent.actions import archive, globs, transfer
from relevo.agent.actions.artifacts import artifact_id, checked_name, is_taken, listed
from relevo.agent.actions.contract import ActionContext, ActionFailed
from relevo.agent.actions.inputs import choice, number, warn_unknown

_KNOWN: Final = frozenset(
    {
        "name",
        "path",
        "if-no-files-found",
        "retention-days",
        "compression-level",
        "overwrite",
        "include-hidden-files",
    }
)


async def main(ctx: ActionContext) -> None:
    """Upload. Outputs: `artifact-id`, `artifact-digest` (BLAKE3 of its bytes), `artifact-url` (empty: there is no page).

    Artifacts live as long as their run, whatever `retention-days` says. They are compressed only when
    `compression-level` is given: mostly they stay on one machine, where that costs more than it saves.
    """
    warn_unknown(ctx, _KNOWN)
    name = checked_name(ctx.input("name", "artifact"))
    patterns = ctx.input("path")
    if not patterns:
        raise ActionFailed("path: is required; give files, folders or patterns, one a line")
    if_none = choice(ctx.input("if-no-files-found", "warn"), "if-no-files-found", {"warn", "error", "ignore"})
    level = number(ctx.input("compression-level", "0"), "compression-level", 0, 9)
    number(ctx.input("retention-days", "0"), "retention-days", 0, 36_500)
    hidden = ctx.flag("include-hidden-files", False)
    overwrite = ctx.flag("overwrite", False)
    try:
        found = await ctx.blocking(_find, patterns, ctx.workspace, hidden)
    except globs.PatternInvalid as error:
        raise ActionFailed(f"path: {error}") from error
    if not found.files:
        _nothing_found(ctx, patterns, if_none)
        return
    if not overwrite and is_taken(ctx, name, await listed(ctx)):
        raise ActionFailed(
            f"name: the run has an artifact {name!r} already; choose another name, or set overwrite: true"
        )
    size = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal size
        async for chunk in transfer.chunks(ctx, archive.pack(found.root, found.files, level=level)):
            size += len(chunk)
            yield chunk

    try:
        digest = await ctx.reporter.put_blob(counted())
    except archive.ArchiveRefused as error:
        raise ActionFailed(str(error)) from error
    except OSError as error:
        raise ActionFailed(f"a file cannot be read: {error}") from error
    ctx.reporter.artifact(name, digest, size, len(found.files))
    ctx.log(f"{name}: {len(found.files)} file(s), {size} bytes, below {_shown(found.root, ctx.workspace)}")
    ctx.set_output("artifact-id", artifact_id(name))
    ctx.set_output("artifact-digest", digest)
    ctx.set_output("artifact-url", "")


def _find(patterns: str, workspace: str, hidden: bool) -> globs.Found:
    return globs.find(patterns, workspace, hidden=hidden)


def _nothing_found(ctx: ActionContext, patterns: str, what_then: str) -> None:
    message = f"No files were found with the provided path: {', '.join(patterns.split())}. No artifacts will be uploaded."
    if what_then == "error":
        raise ActionFailed(message)
    if what_then == "warn":
        ctx.warn(message)
    else:
        ctx.log(message)


def _shown(root: str, workspace: str) -> str:
    relative = os.path.relpath(root, workspace)
    return root if relative.startswith("..") else relative
