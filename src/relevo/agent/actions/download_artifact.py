"""actions/download-artifact (v4): artifacts of this run, into the workspace."""

from __future__ import annotations

import os
from typing import Final

from relevo.agent.actions import archive, transfer
from relevo.agent.actions.artifacts import artifact_id, listed
from relevo.agent.actions.contract import ActionContext, ActionFailed
from relevo.agent.actions.inputs import choice, warn_unknown
from relevo.protocol.artifacts import ListedArtifact

_KNOWN: Final = frozenset(
    {
        "name",
        "artifact-ids",
        "path",
        "pattern",
        "merge-multiple",
        "github-token",
        "repository",
        "run-id",
        "digest-mismatch",
    }
)


async def main(ctx: ActionContext) -> None:
    """Download one artifact by `name`, or all, or those that match `pattern`. Output: `download-path`."""
    warn_unknown(ctx, _KNOWN)
    _refuse_other_runs(ctx)
    name, ids = ctx.input("name"), ctx.input("artifact-ids")
    if name and ids:
        raise ActionFailed("name and artifact-ids exclude each other: give one of them")
    # Bytes that do not agree with their digest never arrive, whatever is chosen here.
    choice(ctx.input("digest-mismatch", "error"), "digest-mismatch", {"ignore", "info", "warn", "error"})
    path = os.path.expanduser(ctx.input("path", ctx.workspace))
    target = os.path.normpath(os.path.join(ctx.workspace, path))
    merge = ctx.flag("merge-multiple", False)
    artifacts = _chosen(await listed(ctx), name, ids, ctx.input("pattern"))
    if not artifacts:
        ctx.warn("No artifact of this run matches: nothing was downloaded")
    for artifact in artifacts:
        place = target if name or merge else os.path.join(target, artifact.name)
        await _download(ctx, artifact.name, place)
    await ctx.blocking(os.makedirs, target, 0o777, True)
    ctx.set_output("download-path", target)


def _chosen(artifacts: list[ListedArtifact], name: str, ids: str, pattern: str) -> list[ListedArtifact]:
    from fnmatch import fnmatchcase

    if name:
        chosen = [artifact for artifact in artifacts if artifact.name == name]
        if not chosen:
            raise ActionFailed(f"name: the run has no artifact {name!r}; it has {_names(artifacts)}")
        return chosen
    if ids:
        wanted = {part.strip() for part in ids.split(",") if part.strip()}
        chosen = [artifact for artifact in artifacts if artifact_id(artifact.name) in wanted]
        if len(chosen) < len(wanted):
            raise ActionFailed(f"artifact-ids: not all of {ids} are in this run; it has {_names(artifacts)}")
        return chosen
    patterns = _expanded(pattern)
    return [
        artifact
        for artifact in artifacts
        if not pattern or any(fnmatchcase(artifact.name, one) for one in patterns)
    ]


def _expanded(pattern: str) -> list[str]:
    """`wheel-{linux,mac}` as the patterns that it stands for."""
    import re

    braces = re.search(r"\{([^{}]*,[^{}]*)\}", pattern)
    if braces is None:
        return [pattern]
    before, after = pattern[: braces.start()], pattern[braces.end() :]
    return [whole for part in braces[1].split(",") for whole in _expanded(before + part + after)]


async def _download(ctx: ActionContext, name: str, place: str) -> None:
    blob = os.path.join(ctx.temp, f"artifact-{os.urandom(8).hex()}")
    try:
        await transfer.fetch(ctx, f"artifact:{ctx.run_id}/{name}", blob)
        count = await ctx.blocking(archive.unpack, blob, place)
    except archive.ArchiveRefused as error:
        raise ActionFailed(f"{name}: {error}") from error
    except OSError as error:
        raise ActionFailed(f"{name}: the files could not be written: {error}") from error
    finally:
        await ctx.blocking(_remove, blob)
    ctx.log(f"{name}: {count} file(s) into {place}")


def _refuse_other_runs(ctx: ActionContext) -> None:
    run = ctx.input("run-id", str(ctx.github.get("run_id", "")))
    repository = ctx.input("repository", str(ctx.github.get("repository", "")))
    if run not in (ctx.run_id, str(ctx.github.get("run_id", ""))):
        raise ActionFailed(f"run-id: artifacts of another run ({run}) cannot be downloaded here")
    if repository.lower() != str(ctx.github.get("repository", "")).lower():
        raise ActionFailed(
            f"repository: artifacts of another repository ({repository}) cannot be downloaded here"
        )


def _names(artifacts: list[ListedArtifact]) -> str:
    return ", ".join(artifact.name for artifact in artifacts) or "none"


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # it was never made
