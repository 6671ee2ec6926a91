"""actions/checkout: the run's snapshot of the working tree, as a git repository in the workspace.

There is nothing to fetch from: what the run was submitted with is what every job gets. Inputs for credentials have
nothing to do, hence they are accepted; inputs that ask for another repository or for content that a snapshot does not hold
are refused.
"""

from __future__ import annotations

import os
from typing import Final

from relevo.agent.actions import git_layout, transfer
from relevo.agent.actions.contract import ActionContext, ActionFailed
from relevo.agent.actions.inputs import inside, number, refuse, warn_unknown
from relevo.protocol.snapshot import CONTEXT_KEY, SnapshotInvalid
from relevo.runtime.git import GitFailed

#: Without effect here: there is no server to fetch from, hence no credentials to use or to keep, and no objects to spare.
_WITHOUT_EFFECT: Final = frozenset(
    {
        "token",
        "persist-credentials",
        "set-safe-directory",
        "show-progress",
        "ssh-known-hosts",
        "ssh-strict",
        "ssh-user",
        "filter",
    }
)
_HONOURED: Final = frozenset(
    {
        "repository",
        "ref",
        "path",
        "clean",
        "fetch-depth",
        "fetch-tags",
        "sparse-checkout",
        "sparse-checkout-cone-mode",
        "lfs",
        "submodules",
        "ssh-key",
        "github-server-url",
    }
)


async def main(ctx: ActionContext) -> None:
    """Lay the snapshot out. Outputs: `ref` and `commit`."""
    warn_unknown(ctx, _HONOURED | _WITHOUT_EFFECT)
    _refuse_what_is_not_there(ctx)
    digest = ctx.github.get(CONTEXT_KEY)
    if not digest:
        raise ActionFailed(
            "this run was submitted without a snapshot of a working tree; submit it from the project's folder"
        )
    request = git_layout.Request(
        target=inside(ctx.workspace, ctx.input("path", "."), "path"),
        ref=ctx.input("ref"),
        depth=number(ctx.input("fetch-depth", "1"), "fetch-depth", 0, 1 << 31),
        tags=ctx.flag("fetch-tags", False),
        clean=ctx.flag("clean", True),
        sparse=tuple(line.strip() for line in ctx.input("sparse-checkout").splitlines() if line.strip()),
        sparse_cone=ctx.flag("sparse-checkout-cone-mode", True),
    )
    blob = os.path.join(ctx.temp, f"snapshot-{os.urandom(8).hex()}")
    try:
        await transfer.fetch(ctx, f"blob:{digest}", blob)
        layout = await ctx.blocking(git_layout.lay_out, blob, request)
    except git_layout.RefNotThere as error:
        raise ActionFailed(f"ref: {error}") from error
    except (GitFailed, SnapshotInvalid) as error:
        raise ActionFailed(str(error)) from error
    except OSError as error:
        raise ActionFailed(f"the files could not be laid out: {error}") from error
    finally:
        await ctx.blocking(_remove, blob)
    where = os.path.relpath(request.target, os.path.realpath(ctx.workspace))
    ctx.log(
        f"{layout.branch or 'detached HEAD'} at {layout.commit}" + ("" if where == "." else f" in {where}")
    )
    ctx.set_output("ref", request.ref or str(ctx.github.get("ref", "")))
    ctx.set_output("commit", layout.commit)


def _refuse_what_is_not_there(ctx: ActionContext) -> None:
    own = str(ctx.github.get("repository", ""))
    wanted = ctx.input("repository", own)
    if wanted.lower() != own.lower():
        raise ActionFailed(
            f"repository: {wanted} is not the repository of this run ({own}); `git clone` it in a run: step"
        )
    refuse(ctx, {"ssh-key": "nothing is fetched here; a run: step can fetch with a key from a secret"})
    if ctx.flag("lfs", False):
        raise ActionFailed("lfs: a snapshot does not hold LFS content; run `git lfs pull` in a run: step")
    submodules = ctx.input("submodules", "false").lower()
    if submodules in ("true", "recursive"):
        raise ActionFailed(
            "submodules: a snapshot does not hold them; run `git submodule update --init` in a run: step"
        )
    if submodules != "false":
        raise ActionFailed(f"submodules: {submodules!r} is none of false, true, recursive")
    server = str(ctx.github.get("server_url", ""))
    if ctx.input("github-server-url", server).rstrip("/") != server.rstrip("/"):
        ctx.warn("github-server-url is without effect: nothing is fetched")


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # it was never made
