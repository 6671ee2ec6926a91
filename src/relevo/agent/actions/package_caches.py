"""The `cache:` input of the actions that set tools up: what a package manager has downloaded, by a hash of lock files."""

from __future__ import annotations

from collections.abc import Sequence

from relevo.agent.actions import caching, tools
from relevo.agent.actions.contract import ActionContext, ActionFailed


class NoDependencies(ActionFailed):
    """No file tells what the packages are."""


async def restore(
    ctx: ActionContext, stem: str, paths: Sequence[str], files: Sequence[str], *, nearest: bool = False
) -> None:
    """Restore the cache of `paths` whose key is the stem and the hash of the files that tell the packages, and save it at the
    job's end if there is none.

    `files`: patterns, which `cache-dependency-path` replaces. `nearest`: one with the same stem is better than none. Output:
    `cache-hit`. Raises NoDependencies.
    """
    from relevo.agent.hash_files import hash_files

    patterns = dependency_files(ctx) or list(files)
    digest = await ctx.blocking(hash_files, ctx.workspace, patterns)
    if not digest:
        raise NoDependencies(
            f"cache: no file in {ctx.workspace} matches {', '.join(patterns)}: check the repository out before, or"
            " name the files that tell the dependencies with cache-dependency-path"
        )
    near = [f"{stem}-"] if nearest else []
    want = caching.wanted(ctx, "\n".join(paths), f"{stem}-{digest}", near)
    matched = await caching.restore(ctx, want)
    if matched is None:
        ctx.log(f"Cache not found for key: {want.key}")
    caching.save_later(ctx, want, matched)
    ctx.set_output("cache-hit", "true" if matched == want.key else "false")


def dependency_files(ctx: ActionContext) -> list[str]:
    """What `cache-dependency-path` names."""
    return [line.strip() for line in ctx.input("cache-dependency-path").splitlines() if line.strip()]


def platform() -> str:
    """The part of keys that says for which machines a cache is."""
    return f"Linux-{tools.architecture()}"
