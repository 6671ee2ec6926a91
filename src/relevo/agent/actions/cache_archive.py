"""The format of caches: members one after another, each a length, a `Member` in msgpack, and its bytes.

It is read and written in bounded memory, by the same program on the same host; a tar with times to the nanosecond took
four times the processor to write. A member's path is relative to a root, the n-th place that the patterns name: the same
patterns mean the same roots in another workspace.

Reading trusts nothing: no member reaches outside of its root, neither by its name nor through a link that is there already
or came before. A file is replaced by a rename, so that whoever uses it meanwhile has the old or the new one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import nullcontext
from typing import IO, Final, Literal

import msgspec
from blake3 import blake3
from msgspec import Struct

from relevo.agent.actions import globs
from relevo.domain.errors import RelevoError

_CHUNK_BYTES: Final = 1 << 20
_LENGTH_BYTES: Final = 4
#: A path and the aim of a link, 4 KiB each at most on Linux, and some numbers.
_MEMBER_LIMIT_BYTES: Final = 1 << 14


class CacheRefused(RelevoError):
    """An archive that would write outside of its roots, or is none; files that changed while they were read, or too many."""


class Member(Struct, array_like=True, frozen=True, gc=False):
    """One file, folder or link of an archive."""

    kind: Literal["file", "folder", "link", "same"]  #: same: another name of the file that `to` names
    root: int
    path: bytes  #: below the root; empty: the root itself
    mode: int = 0
    mtime_ns: int = 0
    size: int = 0  #: bytes that follow
    to: bytes = b""
    shared: bool = False  #: a `same` of it may follow


class Packed(Struct, frozen=True):
    """What was written."""

    members: int
    size_bytes: int
    digest: str  #: BLAKE3


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Member).decode


def roots(patterns: list[globs.Pattern]) -> list[str]:
    """Where patterns look: the same number for the same lines."""
    return [pattern.search_path for pattern in patterns if not pattern.negate]


def pack(patterns: list[globs.Pattern], target: IO[bytes], *, limit_bytes: int) -> Packed:
    """Write an archive of all that the patterns mean; no members: there is nothing. Raises CacheRefused, OSError."""
    digest = blake3()
    size = members = 0
    names: dict[tuple[int, int], bytes] = {}

    def put(data: bytes) -> None:
        digest.update(data)
        target.write(data)

    for root, path, status in _found(patterns):
        member, source = _member(root, roots(patterns)[root], path, status, names)
        if member is None:
            continue
        with source or nullcontext():
            header = _encode(member)
            size += _LENGTH_BYTES + len(header) + member.size
            if size > limit_bytes:
                raise CacheRefused(f"the cache is over the limit of {limit_bytes:,} bytes")
            put(len(header).to_bytes(_LENGTH_BYTES))
            put(header)
            left = member.size
            while left and source is not None:
                data = source.read(min(left, _CHUNK_BYTES))
                if not data:
                    raise CacheRefused(f"{path} became shorter while it was read")
                left -= len(data)
                put(data)
        members += 1
    return Packed(members, size, digest.hexdigest())


def _member(
    root: int, base: str, path: str, status: os.stat_result, names: dict[tuple[int, int], bytes]
) -> tuple[Member | None, IO[bytes] | None]:
    """A member, and the file that its bytes come from. None for what cannot be kept, or went away."""
    below = b"" if path == base else os.fsencode(os.path.relpath(path, base))
    mode, mtime_ns = status.st_mode & 0o777, status.st_mtime_ns
    if stat.S_ISDIR(status.st_mode):
        return Member("folder", root, below, mode, mtime_ns), None
    if stat.S_ISLNK(status.st_mode):
        return Member("link", root, below, mode, mtime_ns, to=os.readlink(os.fsencode(path))), None
    if not stat.S_ISREG(status.st_mode):
        return None, None  # a socket or a pipe means nothing later
    node = (status.st_dev, status.st_ino)
    if node in names:
        return Member("same", root, below, to=names[node]), None
    try:
        file = open(path, "rb", buffering=0)  # noqa: SIM115  # the caller closes it
    except FileNotFoundError:
        return None, None  # somebody else uses the folder, too
    shared = status.st_nlink > 1
    if shared:
        names[node] = b"%d/%s" % (root, below)
    return Member("file", root, below, mode, mtime_ns, os.fstat(file.fileno()).st_size, shared=shared), file


def _found(patterns: list[globs.Pattern]) -> Iterator[tuple[int, str, os.stat_result]]:
    """What patterns mean, each path once, folders before what they hold: number of the root, path, status."""
    starts: dict[str, int] = {}
    for number, root in enumerate(roots(patterns)):
        starts.setdefault(root, number)
    for root, number in starts.items():
        if any(root.startswith(f"{other.rstrip('/')}/") and root != other for other in starts):
            continue  # it is met on the way from the other one
        pending = [root]
        while pending:
            path = pending.pop()
            try:
                # A root that is a link stands for what it points to; other links stay links.
                status = os.stat(path) if path == root else os.lstat(path)
                is_folder = stat.S_ISDIR(status.st_mode)
                names = sorted(os.listdir(path), reverse=True) if is_folder else []
            except FileNotFoundError:
                continue
            if globs.wanted(path, patterns, is_folder=is_folder):
                yield number, path, status
            if is_folder and globs.may_hold(path, patterns):
                pending += [os.path.join(path, name) for name in names]


def check(source: IO[bytes], digest: str) -> None:
    """Compare an archive with its digest, and go back to its beginning. Raises CacheRefused, OSError."""
    found = blake3()
    while data := source.read(_CHUNK_BYTES):
        found.update(data)
    if found.hexdigest() != digest:
        raise CacheRefused("its bytes are not those that were saved")
    source.seek(0)


def unpack(source: IO[bytes], targets: list[str]) -> int:
    """Lay an archive out in its roots, over what is there; returns the number of members. Raises CacheRefused, OSError."""
    layout = _Layout(targets)
    members = 0
    while length := source.read(_LENGTH_BYTES):
        size = int.from_bytes(length)
        if len(length) < _LENGTH_BYTES or size > _MEMBER_LIMIT_BYTES:
            raise CacheRefused("it is no archive of a cache")
        try:
            member = _decode(source.read(size))
        except msgspec.DecodeError as error:
            raise CacheRefused(f"it is no archive of a cache: {error}") from error
        layout.add(member, source)
        members += 1
    layout.finish()
    return members


class _Layout:
    """Where members go, and the folders on the way."""

    def __init__(self, targets: list[str]) -> None:
        # Links that lie there already are the user's; after this none is followed.
        self._targets = [os.path.realpath(target) for target in targets]
        self._folders: set[str] = set()  # real ones, that may be written to
        self._later: dict[str, tuple[int, int | None]] = {}  # folder → mode and time that it gets in the end
        self._shared: dict[bytes, str] = {}
        self._aside = f".relevo-{os.getpid()}"

    def add(self, member: Member, source: IO[bytes]) -> None:
        place = self._place(member)
        if member.kind == "folder":
            self._make(place)
            self._later[place] = (member.mode, member.mtime_ns)
            return
        aside = os.path.join(os.path.dirname(place), self._aside)
        try:
            if member.kind == "file":
                _write_file(member, source, aside)
            elif member.kind == "link":
                os.symlink(os.fsdecode(member.to), aside)
                os.utime(aside, ns=(member.mtime_ns, member.mtime_ns), follow_symlinks=False)
            elif member.to in self._shared:
                os.link(self._shared[member.to], aside, follow_symlinks=False)
            else:
                raise CacheRefused(f"{place} is to be the same as a file that never came")
            os.replace(aside, place)
        except IsADirectoryError:
            raise CacheRefused(f"{place} is a folder, and should become a {member.kind}") from None
        finally:
            if os.path.lexists(aside):
                os.unlink(aside)
        if member.shared:
            self._shared[b"%d/%s" % (member.root, member.path)] = place

    def finish(self) -> None:
        """Folders get their modes and times last: what is put into them would change both."""
        for folder, (mode, mtime_ns) in reversed(self._later.items()):
            if mtime_ns is not None:
                os.utime(folder, ns=(mtime_ns, mtime_ns))
            os.chmod(folder, mode)

    def _place(self, member: Member) -> str:
        if not 0 <= member.root < len(self._targets):
            raise CacheRefused(f"it has a place number {member.root}, which the paths do not name")
        root = self._targets[member.root]
        parent = os.path.dirname(root)
        if parent not in self._folders:
            if os.path.realpath(parent) != parent:
                raise CacheRefused(f"it would reach {root} through a link of its own")
            os.makedirs(parent, exist_ok=True)
            self._folders.add(parent)
        if not member.path:
            return root
        *above, name = os.fsdecode(member.path).split("/")
        if any(part in ("", ".", "..") for part in (*above, name)) or b"\0" in member.path:
            raise CacheRefused(f"{member.path!r} reaches outside of {root}")
        folder = root
        self._make(folder)
        for part in above:
            folder = os.path.join(folder, part)
            self._make(folder)
        return os.path.join(folder, name)

    def _make(self, folder: str) -> None:
        """Have a folder that may be written to. A link or a file in its place goes."""
        if folder in self._folders:
            return
        try:
            status = os.lstat(folder)
        except FileNotFoundError:
            os.mkdir(folder)
        else:
            if not stat.S_ISDIR(status.st_mode):
                os.unlink(folder)
                os.mkdir(folder)
            elif status.st_mode & 0o700 != 0o700:
                # Go's module cache has such folders, and may be there already.
                os.chmod(folder, 0o700)
                self._later[folder] = (status.st_mode & 0o777, None)
        self._folders.add(folder)


def _write_file(member: Member, source: IO[bytes], path: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "wb", buffering=0) as target:
        left = member.size
        while left:
            data = source.read(min(left, _CHUNK_BYTES))
            if not data:
                raise CacheRefused("it is cut short")
            left -= len(data)
            target.write(data)
        os.fchmod(target.fileno(), member.mode & 0o777)
    os.utime(path, ns=(member.mtime_ns, member.mtime_ns))
