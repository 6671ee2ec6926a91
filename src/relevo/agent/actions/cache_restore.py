"""actions/cache/restore: the half of actions/cache that restores."""

from __future__ import annotations

from typing import Final

from relevo.agent.actions import cache
from relevo.agent.actions.contract import ActionContext
from relevo.agent.actions.inputs import warn_unknown

_KNOWN: Final = frozenset(
    {"path", "key", "restore-keys", "enablecrossosarchive", "fail-on-cache-miss", "lookup-only"}
)


async def main(ctx: ActionContext) -> None:
    """Restore. Outputs: `cache-hit`, `cache-primary-key`, `cache-matched-key`."""
    warn_unknown(ctx, _KNOWN)
    await cache.restore(ctx)
