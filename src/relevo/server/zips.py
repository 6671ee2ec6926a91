"""Artifacts as zip: what lies in a store as tar, packed anew in bounded memory."""

from __future__ import annotations

import asyncio
import os
import tarfile
import tempfile
import zipfile
from collections.abc import AsyncIterator
from typing import Any, Final

from relevo.domain.errors import DamagedError

PIECE_BYTES: Final = 256 * 1024


async def zipped(source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The files of a tar (plain or in gzip) as a zip, in pieces. Uses temporary files without a name. Raises DamagedError."""
    with (
        tempfile.TemporaryFile(prefix="relevo-") as archive,
        tempfile.TemporaryFile(prefix="relevo-") as made,
    ):
        async for piece in source:
            await asyncio.to_thread(archive.write, piece)
        await asyncio.to_thread(_pack, archive, made)
        while piece := await asyncio.to_thread(made.read, PIECE_BYTES):
            yield piece


def _pack(archive: Any, made: Any) -> None:
    archive.seek(0)
    try:
        with (
            tarfile.open(fileobj=archive, mode="r:*") as files,
            zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed,
        ):
            for member in files:
                _add(files, member, packed)
    except (tarfile.TarError, EOFError) as error:
        raise DamagedError(f"the archive cannot be read: {error}", where="artifact") from error
    made.seek(0)


def _add(files: tarfile.TarFile, member: tarfile.TarInfo, packed: zipfile.ZipFile) -> None:
    # What is in it was checked when it was packed; names that would lead out of a folder are left out all the same.
    name = os.path.normpath(member.name)
    if name.startswith(("/", "..")):
        return
    info = zipfile.ZipInfo(f"{name}/" if member.isdir() else name)
    info.external_attr = (member.mode & 0o777) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    if member.isdir():
        info.external_attr |= 0o40000 << 16 | 0x10
        packed.writestr(info, b"")
    elif member.issym():
        info.external_attr |= 0o120000 << 16
        packed.writestr(info, member.linkname)
    elif member.isreg():
        info.external_attr |= 0o100000 << 16
        content = files.extractfile(member)
        assert content is not None
        with content, packed.open(info, "w", force_zip64=member.size >= 1 << 31) as to:
            while data := content.read(PIECE_BYTES):
                to.write(data)
