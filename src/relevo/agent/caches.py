"""What jobs cache, on the host of their agent: one folder, which all processes of a home may use at the same time.

    caches/lock               held for the moment of each change
    caches/entries/<id>       one for each key: what is cached; its time of change says when it was used last
    caches/archives/<digest>  the bytes, by their BLAKE3; entries with the same bytes share them
    caches/new/<token>        archives while they are written

An entry is there whole or not at all, its key never changes its meaning, and of two that come at once the first stays.
Nothing is fsynced: an archive is compared with its digest before it is used, and what is damaged is no longer there. The
bytes are not the engine's: an absent engine stops nothing, and no run depends on them. All functions block.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec
from msgspec import Struct

#: What all caches of a home may take.
MAX_BYTES: Final = 10_000_000_000
#: An entry that was not used for so long goes.
UNUSED_S: Final = 7 * 86_400.0
#: An archive that nobody has written to for so long was given up.
_GIVEN_UP_S: Final = 6 * 3_600.0


class Scope(Struct, frozen=True):
    """Whose caches a job sees."""

    repository: str
    refs: tuple[str, ...]  #: where it looks, in this order; it saves under the first


class Entry(Struct, frozen=True):
    """A cache."""

    key: str
    version: str  #: what was asked to be cached: caches of other paths do not match
    repository: str
    ref: str
    digest: str
    size_bytes: int
    created_ns: int

    @property
    def id(self) -> str:
        """The name of its file."""
        return _id(self.repository, self.ref, self.version, self.key)


class Gone(Struct, frozen=True):
    """What an eviction removed, or would remove."""

    entries: int
    size_bytes: int


class Caches:
    """The caches in a folder. Nothing is made before something is saved."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._entries = f"{path}/entries"
        self._archives = f"{path}/archives"
        self._new = f"{path}/new"

    def get(self, scope: Scope, version: str, key: str) -> Entry | None:
        """The cache that was saved under this very key by the scope itself."""
        return self._read(_id(scope.repository, scope.refs[0], version, key))

    def find(self, scope: Scope, version: str, key: str, restore_keys: Sequence[str] = ()) -> Entry | None:
        """The cache that fits best: in each ref of the scope the key itself, then the newest whose key begins with the
        key, then with one of `restore_keys`, in their order."""
        for ref in scope.refs:
            exact = self._read(_id(scope.repository, ref, version, key))
            if exact is not None:
                return exact
            here = [
                entry
                for entry in self._all()
                if (entry.repository, entry.ref, entry.version) == (scope.repository, ref, version)
            ]
            for prefix in (key, *restore_keys):
                fitting = [entry for entry in here if entry.key.startswith(prefix)]
                if fitting:
                    return max(fitting, key=lambda entry: (entry.created_ns, entry.key))
        return None

    def archive(self, entry: Entry) -> str:
        """The path of its bytes, which may be gone or damaged."""
        return f"{self._archives}/{entry.digest}"

    def new(self) -> str:
        """The path of a file in which an archive can be written. Raises OSError."""
        for folder in (self._entries, self._archives, self._new):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        return f"{self._new}/{os.urandom(12).hex()}"

    def add(self, entry: Entry, written: str) -> bool:
        """Have an archive that was written as a cache; False when its key is there by now. Raises OSError."""
        with self._locked():
            if self._read(entry.id) is not None:
                return False
            os.replace(written, self.archive(entry))
            aside = f"{self._new}/{entry.id}"
            with open(aside, "wb") as file:
                file.write(msgspec.json.encode(entry))
            os.replace(aside, f"{self._entries}/{entry.id}")
            return True

    def used(self, entry: Entry) -> None:
        """It was used just now."""
        try:
            os.utime(f"{self._entries}/{entry.id}")
        except FileNotFoundError:
            pass  # it was evicted meanwhile

    def forget(self, entry: Entry) -> None:
        """It is damaged: its key is free again, and so is every other key of these bytes."""
        with self._locked():
            for other in self._all():
                if other.digest == entry.digest:
                    _remove(f"{self._entries}/{other.id}")
            _remove(self.archive(entry))

    def usage(self) -> tuple[int, int]:
        """How many caches there are, and what their archives take in bytes."""
        entries = list(self._all())
        return len(entries), sum({entry.digest: entry.size_bytes for entry in entries}.values())

    def evict(
        self,
        now_s: float,
        *,
        max_bytes: int = MAX_BYTES,
        unused_s: float = UNUSED_S,
        dry: bool = False,
    ) -> Gone:
        """Remove caches that nobody used for long, then those used longest ago until the rest fits; `dry`: only tell.

        Raises OSError.
        """
        if not os.path.isdir(self._entries):
            return Gone(0, 0)
        with self._locked():
            ordered = sorted((self._used_s(entry), entry.created_ns, entry) for entry in self._all())
            sharing: dict[str, int] = {}
            for _, _, entry in ordered:
                sharing[entry.digest] = sharing.get(entry.digest, 0) + 1
            total = sum({entry.digest: entry.size_bytes for _, _, entry in ordered}.values())
            count = freed = 0
            for used_s, _, entry in ordered:
                if now_s - used_s <= unused_s and total - freed <= max_bytes:
                    continue
                count += 1
                sharing[entry.digest] -= 1
                freed += 0 if sharing[entry.digest] else entry.size_bytes
                if not dry:
                    _remove(f"{self._entries}/{entry.id}")
            if not dry:
                self._sweep({digest for digest, users in sharing.items() if users}, now_s)
        return Gone(count, freed)

    def _sweep(self, named: set[str], now_s: float) -> None:
        """Remove archives that no entry names, entries that cannot be read, and what was never finished."""
        for name in os.listdir(self._entries):
            if self._read(name) is None:
                _remove(f"{self._entries}/{name}")
        for name in os.listdir(self._archives):
            if name not in named:
                _remove(f"{self._archives}/{name}")
        for name in os.listdir(self._new):
            path = f"{self._new}/{name}"
            try:
                if now_s - os.stat(path).st_mtime > _GIVEN_UP_S:
                    os.unlink(path)
            except FileNotFoundError:
                pass  # it was finished meanwhile

    def _used_s(self, entry: Entry) -> float:
        try:
            return os.stat(f"{self._entries}/{entry.id}").st_mtime
        except FileNotFoundError:
            return 0.0  # somebody removed it by hand

    def _all(self) -> Iterator[Entry]:
        try:
            names = os.listdir(self._entries)
        except FileNotFoundError:
            return
        for name in names:
            entry = self._read(name)
            if entry is not None:
                yield entry

    def _read(self, name: str) -> Entry | None:
        try:
            with open(f"{self._entries}/{name}", "rb") as file:
                entry = msgspec.json.decode(file.read(), type=Entry)
        except (FileNotFoundError, msgspec.DecodeError):
            return None  # a power loss may have left it empty
        return entry if entry.id == name else None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        import fcntl

        os.makedirs(self._path, mode=0o700, exist_ok=True)
        fd = os.open(f"{self._path}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def _id(repository: str, ref: str, version: str, key: str) -> str:
    import hashlib

    whole = "\0".join((repository.lower(), ref, version, key))
    return hashlib.blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # what was asked for holds
