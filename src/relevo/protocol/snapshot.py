"""The format of a snapshot blob: what the engine takes of a working tree, and `actions/checkout` lays out.

A magic line, one line of JSON (`SnapshotHeader`), then a git pack with every object that the refs reach, up to the
`shallow` commits. The pack is git's own, so that any git can read it.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

MAGIC: Final = b"relevo snapshot 1\n"
#: No header is longer: a repository with 100,000 refs has one of about 10 MB.
HEADER_LIMIT_BYTES: Final = 64 << 20
#: The key of the `github` context under which the digest of the run's snapshot reaches `actions/checkout`.
CONTEXT_KEY: Final = "relevo_snapshot"


class SnapshotHeader(Struct, frozen=True):
    """What is beside the objects."""

    commit: str  #: what HEAD will be
    branch: str = ""  #: the branch that HEAD is on; "": detached
    refs: dict[str, str] = {}  #: full name → object id: tags, and branches under refs/remotes/origin/
    tags_at_commit: tuple[str, ...] = ()  #: names of those of the tags that are at `commit`
    shallow: tuple[str, ...] = ()  #: commits whose parents are not in the pack
    object_format: str = "sha1"
    config: dict[
        str, str
    ] = {}  #: what decides how bytes are laid out: core.autocrlf, core.eol, core.symlinks
    remote_url: str = ""  #: of `origin`, without credentials


class SnapshotInvalid(msgspec.DecodeError):
    """These bytes are no snapshot, or one of a later version."""


def encode_header(header: SnapshotHeader) -> bytes:
    """What stands before the pack."""
    return MAGIC + msgspec.json.encode(header) + b"\n"


def decode_header(line: bytes) -> SnapshotHeader:
    """The header from its line of JSON. Raises SnapshotInvalid."""
    try:
        return msgspec.json.decode(line, type=SnapshotHeader)
    except msgspec.DecodeError as error:
        raise SnapshotInvalid(f"the snapshot's header cannot be read: {error}") from error
