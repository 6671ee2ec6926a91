"""How a home's database is opened, and what SQLite's errors mean to us."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import apsw

from relevo.domain.errors import DamagedError, RelevoError, UserError
from relevo.store.contract import StoreUnavailable

_NO_ACCESS: Final = (
    apsw.CantOpenError,
    apsw.ReadOnlyError,
    apsw.PermissionsError,
    apsw.AuthError,
    FileNotFoundError,
    NotADirectoryError,
    PermissionError,
)

APPLICATION_ID: Final = 0x72656C76  #: "relv"
#: How long a statement waits for another process's transaction. Ours take milliseconds, a migration some seconds.
BUSY_MS: Final = 5_000
#: Pages in the WAL before they are moved into the database. Moving stops commits: so many for 4 ms, four times as many for 27.
CHECKPOINT_PAGES: Final = 2_000
CACHE_KIB: Final = 16_384
_WAL_RETRY_MS: Final = 20


def connect_writer(path: str) -> apsw.Connection:
    """A connection that may write; the file is made if absent (0600). Commits are on disk when they return (WAL, FULL)."""
    if not os.path.exists(path):
        # Never opened by hand when it exists: closing any descriptor of it would drop the locks of this process.
        _make_private(path)
    connection = apsw.Connection(path)
    try:
        connection.set_busy_timeout(BUSY_MS)
        _enter_wal(connection)
        # secure_delete: what a destroyed secret's row held is overwritten, not only unlinked.
        connection.execute(
            f"PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};"
            f"PRAGMA cache_size = -{CACHE_KIB}; PRAGMA secure_delete = FAST; PRAGMA cell_size_check = ON"
        ).fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: str) -> apsw.Connection:
    """A connection that cannot write. Works beside a writer, and on a medium that nobody can write."""
    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.set_busy_timeout(BUSY_MS)
        connection.execute("SELECT 1 FROM sqlite_schema").fetchall()
    except (apsw.CantOpenError, apsw.ReadOnlyError):
        # A WAL database needs its -shm file, which cannot be made here. When no WAL waits, nobody writes either.
        connection.close()
        if os.path.exists(f"{path}-wal") and os.path.getsize(f"{path}-wal"):
            raise
        connection = apsw.Connection(
            f"file:{_uri_path(path)}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        )
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: apsw.Connection) -> Iterator[apsw.Cursor]:
    """A transaction that has the write lock from its beginning, so that what it reads stays true until it commits.

    Its cursor ends with it: a statement that was not read to its end would keep the connection's snapshot, and every
    later transaction would be refused as out of date.
    """
    connection.execute("BEGIN IMMEDIATE")
    cursor = connection.cursor()
    try:
        yield cursor
        cursor.close(True)
        connection.execute("COMMIT")
    except BaseException:
        cursor.close(True)
        if connection.in_transaction:  # SQLite itself rolls back when the disk is full
            connection.execute("ROLLBACK")
        raise


def opening_error(error: Exception, path: str) -> RelevoError:
    """What it means that a home could not be opened."""
    if isinstance(error, apsw.NotADBError):
        return UserError(
            f"{path} is not a relevo database", hint="name another RELEVO_HOME, or move that file away"
        )
    if isinstance(error, _NO_ACCESS) or (isinstance(error, OSError) and error.errno == errno.EROFS):
        folder = os.path.dirname(path) or "."
        return UserError(
            f"{path} cannot be written: {error}",
            hint=f"give this user write access to {folder}, or name another folder with RELEVO_HOME",
        )
    return running_error(error, path)


def running_error(error: Exception, path: str) -> RelevoError:
    """What it means that a statement failed: damage, or something that may pass."""
    if isinstance(error, RelevoError):
        return error
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return DamagedError(
            f"a page of the database is damaged: {error}; `relevo db check` tells what it holds", where=path
        )
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return StoreUnavailable(f"{path} is locked by another process for more than {BUSY_MS // 1_000} s")
    if is_full(error):
        return StoreUnavailable(f"no room for {path}: make some, and all goes on by itself", full=True)
    return StoreUnavailable(f"{path}: {error}")


def is_full(error: Exception) -> bool:
    """Whether an error says that the disk lacks room."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    # The index of the WAL is enlarged with a plain write, whose ENOSPC comes back as an I/O error.
    return isinstance(error, apsw.FullError) or (
        isinstance(error, apsw.IOError) and getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE
    )


def _enter_wal(connection: apsw.Connection) -> None:
    """Several processes may do this to a new file at once, and SQLite heeds no busy time-out then: tried again instead."""
    for left in reversed(range(BUSY_MS // _WAL_RETRY_MS)):
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            return
        except apsw.BusyError:
            if not left:
                raise
            time.sleep(_WAL_RETRY_MS / 1_000)


def _make_private(path: str) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        pass  # another process was quicker
    except OSError as error:
        raise opening_error(error, path) from error


def _uri_path(path: str) -> str:
    from urllib.parse import quote

    return quote(os.path.abspath(path))
