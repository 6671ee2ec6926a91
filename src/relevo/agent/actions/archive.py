"""The format of artifacts: a tar (pax), plain or in gzip, that keeps modes and links. Written and read in bounded memory.

Reading trusts nothing: no entry reaches outside of the target folder, neither by its name, nor by a link in the archive,
nor by one that lies there already. What is no file, folder or link is refused.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from typing import IO, Final

from relevo.domain.errors import RelevoError

_CHUNK_BYTES: Final = 1 << 20


class ArchiveRefused(RelevoError):
    """An archive that would write outside of its folder, or is damaged; or a file that changed while it was packed."""


def pack(root: str, files: tuple[str, ...], *, level: int = 0) -> Iterator[bytes]:
    """The archive of `files` (absolute, below `root`), in pieces of about 1 MiB. Blocking.

    A link to a file that is packed too stays a link; any other is followed. `level` 1–9: in gzip.
    Raises ArchiveRefused when a file changes under our hands, OSError.
    """
    raw = _collected(_tar(root, files))
    return _gzip(raw, level) if level else raw


def unpack(path: str, target: str) -> int:
    """Unpack the archive in the file `path` into a folder, over what is there; returns the number of files. Blocking.

    Raises ArchiveRefused, OSError.
    """
    os.makedirs(target, exist_ok=True)
    base = os.path.realpath(target)
    links: list[tuple[str, str]] = []
    count = 0
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                place = _place(base, member.name)
                if member.isdir():
                    os.makedirs(place, exist_ok=True)
                elif member.issym():
                    _check_link(base, place, member.linkname)
                    links.append((place, member.linkname))
                elif member.isreg():
                    _write_file(archive, member, place)
                else:
                    raise ArchiveRefused(f"{member.name} is neither file, folder nor link")
                count += not member.isdir()
    except (tarfile.TarError, EOFError) as error:
        raise ArchiveRefused(f"the archive is damaged: {error}") from error
    # Links come last, so that nothing is written through one of them.
    for place, to in links:
        _clear(place)
        os.symlink(to, place)
    return count


def _tar(root: str, files: tuple[str, ...]) -> Iterator[bytes]:
    packed = {os.path.realpath(path) for path in files if not os.path.islink(path)}
    for path in files:
        info = tarfile.TarInfo(os.path.relpath(path, root))
        if (link := _kept_link(path, packed)) is not None:
            info.type = tarfile.SYMTYPE
            info.linkname = link
            info.mode = 0o777
            yield _header(info)
            continue
        with open(path, "rb") as file:
            stat = os.fstat(file.fileno())
            info.size = stat.st_size
            info.mode = stat.st_mode & 0o777
            info.mtime = int(stat.st_mtime)
            yield _header(info)
            yield from _content(file, path, stat.st_size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _kept_link(path: str, packed: set[str]) -> str | None:
    """Where a link points to, if it can stay one: relative, and to a file that is packed."""
    if not os.path.islink(path) or os.path.realpath(path) not in packed:
        return None
    to = os.readlink(path)
    return None if os.path.isabs(to) else to


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _content(file: IO[bytes], path: str, size: int) -> Iterator[bytes]:
    left = size
    while left:
        data = file.read(min(left, _CHUNK_BYTES))
        if not data:
            raise ArchiveRefused(f"{path} became shorter while it was packed; upload it when it is complete")
        left -= len(data)
        yield data
    yield bytes(-size % tarfile.BLOCKSIZE)


def _collected(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces: each of them crosses threads and sockets."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _CHUNK_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if size:
        yield b"".join(held)


def _gzip(pieces: Iterator[bytes], level: int) -> Iterator[bytes]:
    import zlib

    compressor = zlib.compressobj(level, zlib.DEFLATED, 31)
    for piece in pieces:
        if data := compressor.compress(piece):
            yield data
    yield compressor.flush()


def _place(base: str, name: str) -> str:
    """Where an entry belongs, its folder made. Raises ArchiveRefused when that is outside of `base`."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or name.startswith("/") or not parts:
        raise ArchiveRefused(f"{name!r} reaches outside of the folder")
    folder = os.path.join(base, *parts[:-1])
    os.makedirs(folder, exist_ok=True)
    real = os.path.realpath(folder)
    if real != base and not real.startswith(base.rstrip("/") + "/"):
        raise ArchiveRefused(f"{name!r} reaches outside of the folder, by a link that lies there")
    return os.path.join(real, parts[-1])


def _check_link(base: str, place: str, to: str) -> None:
    aim = os.path.normpath(os.path.join(os.path.dirname(place), to))
    if os.path.isabs(to) or not aim.startswith(base.rstrip("/") + "/"):
        raise ArchiveRefused(
            f"the link {os.path.relpath(place, base)!r} points outside of the folder, to {to!r}"
        )


def _write_file(archive: tarfile.TarFile, member: tarfile.TarInfo, place: str) -> None:
    source = archive.extractfile(member)
    assert source is not None
    _clear(place)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    # Owner and group as whoever unpacks; no set-uid, and the owner may always read and write.
    with open(os.open(place, flags, 0o600), "wb") as target:
        left = member.size
        while left:
            data = source.read(min(left, _CHUNK_BYTES))
            if not data:
                raise ArchiveRefused(f"the archive is damaged: {member.name} is cut short")
            target.write(data)
            left -= len(data)
        os.fchmod(target.fileno(), member.mode & 0o755 | 0o600)
    os.utime(place, (member.mtime, member.mtime))


def _clear(place: str) -> None:
    if os.path.islink(place) or not os.path.isdir(place):
        try:
            os.unlink(place)
        except FileNotFoundError:
            pass  # nothing is in the way
    else:
        raise ArchiveRefused(f"{place} is a folder where a file should be")
