"""Restoring and saving of caches for the actions that do: `cache` and its halves, and those that set tools up.

A cache never makes a job fail: what goes wrong is a warning, and the job goes on as if there were none, as on GitHub.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from relevo.agent import caches
from relevo.agent.actions import cache_worker, globs
from relevo.agent.actions.contract import ActionContext, ActionFailed
from relevo.agent.caches import Caches, Entry, Scope

_KEY_LIMIT: Final = 512
_KEYS_LIMIT: Final = 10
#: An answer is a line; more than this means that something else was said.
_ANSWER_LIMIT_BYTES: Final = 1 << 16
_STATE: Final = "cache"


class Wanted(Struct, frozen=True):
    """A cache by its paths and keys, once they are checked."""

    paths: str
    key: str
    version: str  #: what tells caches of other paths apart
    restore_keys: tuple[str, ...] = ()


class _Later(Struct, frozen=True):
    """What main leaves for the job's end."""

    want: Wanted
    matched: str | None


def wanted(ctx: ActionContext, paths: str, key: str, restore_keys: Sequence[str] = ()) -> Wanted:
    """Check paths and keys. Raises ActionFailed."""
    if not paths.strip():
        raise ActionFailed("path: is required; give files, folders or patterns, one a line")
    if not key:
        raise ActionFailed("key: is required")
    try:
        parsed = globs.parse(paths, ctx.workspace, _home(ctx))
    except globs.PatternInvalid as error:
        raise ActionFailed(f"path: {error}") from error
    if all(pattern.negate for pattern in parsed):
        raise ActionFailed("path: every line only excludes; name what is to be cached")
    keys = (key, *restore_keys)
    if len(keys) > _KEYS_LIMIT:
        raise ActionFailed(f"Key Validation Error: Keys are limited to a maximum of {_KEYS_LIMIT}.")
    for one in keys:
        if len(one) > _KEY_LIMIT:
            raise ActionFailed(f"Key Validation Error: {one} cannot be larger than {_KEY_LIMIT} characters.")
        if "," in one:
            raise ActionFailed(f"Key Validation Error: {one} cannot contain commas.")
    return Wanted(paths, key, _version(ctx, paths), tuple(restore_keys))


def _version(ctx: ActionContext, paths: str) -> str:
    """A hash of the paths, the same for each attempt: its own folders have other names the next time."""
    import hashlib

    own = sorted(
        ((ctx.workspace, "{workspace}"), (ctx.temp, "{temp}"), (_home(ctx), "~")),
        key=lambda place: -len(place[0]),
    )
    lines = []
    for line in filter(None, map(str.strip, paths.splitlines())):
        bare = line.lstrip("! ")
        before = line[: len(line) - len(bare)]
        for folder, name in own:
            if bare == folder or bare.startswith(f"{folder}/"):
                bare = name + bare[len(folder) :]
                break
        lines.append(before + bare.removeprefix("{workspace}/"))
    return hashlib.sha256("|".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


async def restore(ctx: ActionContext, want: Wanted, *, lookup_only: bool = False) -> str | None:
    """Lay out the cache that fits best (`lookup_only`: only find it); returns its key, None: there is none."""
    try:
        return await _restore(ctx, want, Caches(ctx.caches), lookup_only=lookup_only)
    except OSError as error:
        ctx.warn(f"Failed to restore: {error}")
        return None


async def _restore(ctx: ActionContext, want: Wanted, kept: Caches, *, lookup_only: bool) -> str | None:
    while True:
        entry: Entry | None = await ctx.blocking(
            kept.find, scope(ctx), want.version, want.key, want.restore_keys
        )
        if entry is None:
            return None
        if lookup_only:
            ctx.log(f"Cache found and can be restored from key: {entry.key}")
            return entry.key
        answer = await _work(ctx, want, kept.archive(entry), digest=entry.digest)
        if not answer.error:
            break
        if not answer.damaged:
            ctx.warn(f"Failed to restore: {answer.error}")
            return None
        ctx.warn(f"The cache {entry.key} is damaged, and is removed: {answer.error}")
        await ctx.blocking(kept.forget, entry)
    await ctx.blocking(kept.used, entry)
    ctx.log(f"Cache restored from key: {entry.key} ({answer.members:,} files, {_size(entry.size_bytes)})")
    return entry.key


def save_later(ctx: ActionContext, want: Wanted, matched: str | None) -> None:
    """Have `save_at_end` save it; `matched`: the key of what was restored."""
    ctx.save_state(_STATE, msgspec.json.encode(_Later(want, matched)).decode())
    ctx.register_post()


async def save_at_end(ctx: ActionContext) -> None:
    """The `post` of actions that cache: save if the job succeeded and the very key was not found."""
    later = msgspec.json.decode(ctx.state[_STATE], type=_Later)
    if ctx.job_status != "success":
        ctx.log("The job did not succeed: no cache is saved")
    elif later.matched == later.want.key:
        ctx.log(f"Cache hit occurred on the primary key {later.matched}, not saving cache.")
    else:
        await save(ctx, later.want)


async def save(ctx: ActionContext, want: Wanted) -> None:
    """Save what the paths mean now, unless the key has a cache already."""
    kept, mine = Caches(ctx.caches), scope(ctx)
    try:
        if await ctx.blocking(kept.get, mine, want.version, want.key) is not None:
            ctx.log(
                f"There is a cache with the key {want.key} already: a key is saved once, and never changed"
            )
            return
        written = await ctx.blocking(kept.new)
        try:
            await _save(ctx, want, kept, mine, written)
        finally:
            await ctx.blocking(_remove, written)
    except OSError as error:
        ctx.warn(f"Failed to save: {error}")


async def _save(ctx: ActionContext, want: Wanted, kept: Caches, mine: Scope, written: str) -> None:
    answer = await _work(ctx, want, written, limit_bytes=caches.MAX_BYTES)
    if answer.error:
        ctx.warn(f"Failed to save: {answer.error}")
        return
    if not answer.members:
        ctx.warn(
            "Path Validation Error: Path(s) specified in the action for caching do(es) not exist,"
            " hence no cache is being saved."
        )
        return
    entry = Entry(
        want.key,
        want.version,
        mine.repository,
        mine.refs[0],
        answer.digest,
        answer.size_bytes,
        time.time_ns(),
    )
    if not await ctx.blocking(kept.add, entry, written):
        ctx.log(f"Another job has saved a cache with the key {want.key} meanwhile")
        return
    ctx.log(f"Cache saved with key: {want.key} ({answer.members:,} files, {_size(answer.size_bytes)})")
    await ctx.blocking(kept.evict, time.time())


def scope(ctx: ActionContext) -> Scope:
    """A branch has caches of its own, and sees those of the branch that it is for and of the default branch."""
    github = ctx.github
    refs = [str(github.get("ref") or "")]
    if github.get("base_ref"):
        refs.append(f"refs/heads/{github['base_ref']}")
    default = ((github.get("event") or {}).get("repository") or {}).get("default_branch")
    if default:
        refs.append(f"refs/heads/{default}")
    return Scope(str(github.get("repository") or ""), tuple(dict.fromkeys(refs)))


async def _work(
    ctx: ActionContext, want: Wanted, archive: str, *, digest: str = "", limit_bytes: int = 0
) -> cache_worker.Answer:
    order = cache_worker.Order(want.paths, ctx.workspace, _home(ctx), archive, digest, limit_bytes)
    argv, env = cache_worker.command(order)
    said = bytearray()

    def take(data: bytes) -> None:
        said.extend(data[: _ANSWER_LIMIT_BYTES - len(said)])

    code = await ctx.run(argv, env=env, on_output=take)
    try:
        return msgspec.json.decode(bytes(said), type=cache_worker.Answer)
    except msgspec.DecodeError:
        text = bytes(said).decode("utf-8", "replace").strip()
        return cache_worker.Answer(
            error=f"the process that reads and writes caches ended with {code}: {text}"
        )


def _home(ctx: ActionContext) -> str:
    return ctx.env.get("HOME") or os.path.expanduser("~")


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # it is a cache now, or was never written
