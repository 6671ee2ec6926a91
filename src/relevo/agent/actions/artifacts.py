"""What upload and download have in common: names of artifacts, their ids, and the list of them that the engine keeps."""

from __future__ import annotations

from typing import Final

import msgspec

from relevo.agent.actions.contract import ActionContext, ActionFailed
from relevo.agent.reporter import BlobUnavailable
from relevo.protocol.artifacts import ListedArtifact

_FORBIDDEN: Final = '":<>|*?\r\n\\/\0'


async def listed(ctx: ActionContext) -> list[ListedArtifact]:
    """The artifacts that can be downloaded in this run, by name. Raises ActionFailed."""
    data = bytearray()
    try:
        async for chunk in ctx.reporter.get_blob(f"artifacts:{ctx.run_id}"):
            data += chunk
    except BlobUnavailable as error:
        raise ActionFailed(f"the run's artifacts cannot be listed: {error}") from error
    return sorted(
        msgspec.json.decode(bytes(data), type=list[ListedArtifact]), key=lambda artifact: artifact.name
    )


def is_taken(ctx: ActionContext, name: str, artifacts: list[ListedArtifact]) -> bool:
    """Whether an artifact of that name is in the way: one of this very attempt, or of another job of this run.

    What an earlier attempt of this job saved, or the run that this one retries, is replaced.
    """
    return any(
        artifact.name == name
        and artifact.run == ctx.run_id
        and (artifact.job != ctx.job or artifact.number == ctx.attempt)
        for artifact in artifacts
    )


def artifact_id(name: str) -> str:
    """A number for an artifact, unique within its run as its name is: workflows pass it on as `artifact-ids`."""
    import hashlib

    return str(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=6).digest()))


def checked_name(name: str) -> str:
    """A name that any file system takes. Raises ActionFailed, as GitHub does, for one that some do not."""
    bad = sorted({char for char in name if char in _FORBIDDEN})
    if bad or not name or name in (".", ".."):
        shown = " ".join(repr(char) for char in bad) or repr(name)
        raise ActionFailed(f"name: {name!r} cannot name an artifact, because of {shown}")
    return name
