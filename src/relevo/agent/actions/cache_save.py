"""actions/cache/save: the half of actions/cache that saves, at once and whatever became of the job."""

from __future__ import annotations

from typing import Final

from relevo.agent.actions import caching
from relevo.agent.actions.contract import ActionContext
from relevo.agent.actions.inputs import warn_unknown

_KNOWN: Final = frozenset({"path", "key", "upload-chunk-size", "enablecrossosarchive"})


async def main(ctx: ActionContext) -> None:
    """Save."""
    warn_unknown(ctx, _KNOWN)
    ctx.flag("enableCrossOsArchive", False)
    await caching.save(ctx, caching.wanted(ctx, ctx.input("path"), ctx.input("key")))
