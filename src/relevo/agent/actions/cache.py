"""actions/cache: restores a cache, and saves one at the job's end if the job succeeded and its key had none."""

from __future__ import annotations

from typing import Final

from relevo.agent.actions import caching
from relevo.agent.actions.contract import ActionContext, ActionFailed
from relevo.agent.actions.inputs import warn_unknown

_KNOWN: Final = frozenset(
    {
        "path",
        "key",
        "restore-keys",
        "upload-chunk-size",
        "enablecrossosarchive",
        "fail-on-cache-miss",
        "lookup-only",
        "save-always",
    }
)


async def main(ctx: ActionContext) -> None:
    """Restore. Outputs: see `restore`."""
    warn_unknown(ctx, _KNOWN)
    if ctx.flag("save-always", False):
        ctx.warn(
            "save-always does not work as intended, on GitHub neither: the cache is saved only if the job succeeds."
            " Use actions/cache/restore, and actions/cache/save with `if: always()`"
        )
    want, matched = await restore(ctx)
    caching.save_later(ctx, want, matched)


post: Final = caching.save_at_end


async def restore(ctx: ActionContext) -> tuple[caching.Wanted, str | None]:
    """Restore as the inputs say; returns what was wanted, and the key of what was found.

    Outputs: `cache-primary-key`; if a cache was found, `cache-hit` (whether by the very key) and `cache-matched-key`.
    Raises ActionFailed for a miss with `fail-on-cache-miss`.
    """
    restore_keys = [line.strip() for line in ctx.input("restore-keys").splitlines() if line.strip()]
    fail_on_miss = ctx.flag("fail-on-cache-miss", False)
    lookup_only = ctx.flag("lookup-only", False)
    ctx.flag("enableCrossOsArchive", False)
    want = caching.wanted(ctx, ctx.input("path"), ctx.input("key"), restore_keys)
    ctx.set_output("cache-primary-key", want.key)
    matched = await caching.restore(ctx, want, lookup_only=lookup_only)
    if matched is not None:
        ctx.set_output("cache-hit", "true" if matched == want.key else "false")
        ctx.set_output("cache-matched-key", matched)
    elif fail_on_miss:
        raise ActionFailed(
            f"Failed to restore cache entry. Exiting as fail-on-cache-miss is set. Input key: {want.key}"
        )
    else:
        ctx.log(f"Cache not found for input keys: {', '.join((want.key, *restore_keys))}")
    return want, matched
