"""What `artifacts:<run>` of GetBlob is answered with: a JSON list of these."""

from __future__ import annotations

from msgspec import Struct


class ListedArtifact(Struct, frozen=True):
    """One artifact that can be downloaded in a run."""

    name: str
    digest: str  #: of the blob
    size_bytes: int
    files: int
    run: str  #: whose it is: the run itself, or the one that it retries
    job: int
    number: int  #: of the attempt that saved it
